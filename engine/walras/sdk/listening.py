"""A gRPC server at an address: what the engine and the solver nodes have in common."""

import grpc

from walras.core.addresses import check_address
from walras.core.errors import InvalidInput, Reason


async def listen_at(server: grpc.aio.Server, address: str) -> str:
    """Start `server` at host:port, port 0 for any free one; returns the address it then has.

    Raises:
        InvalidInput: FIELD_INVALID if `address` is not host:port; CONFIG_INVALID if it cannot be
            had.
    """
    host = check_address(address).rpartition(":")[0]
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"cannot listen on {address}",
            hint="another program may use the port; choose one with --listen, or 0 for any",
        ) from error
    await server.start()
    return f"{host}:{port}"
