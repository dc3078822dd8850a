"""walras health"""

import asyncio
from typing import Annotated, Any

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc

from walras.cli.options import DEFAULT_ADDRESS
from walras.cli.output import Json, next_step, print_json, say
from walras.core.addresses import check_address
from walras.core.errors import Reason, WalrasError
from walras.sdk.status import to_error


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(health)


def health(
    address: Annotated[
        str, typer.Argument(envvar="WALRAS_ADDRESS", help="host:port of an engine or a solver.")
    ] = DEFAULT_ADDRESS,
    seconds: Annotated[float, typer.Option(help="How long to wait for an answer.")] = 3.0,
    as_json: Json = False,
) -> None:
    """Ask a server whether it serves: exit code 0 or 1."""
    status = asyncio.run(_check(address, seconds))
    if status != "SERVING":
        raise WalrasError(
            Reason.ENGINE_UNREACHABLE, f"{address} says {status}", address=address, status=status
        )
    if as_json:
        print_json({"address": address, "status": status})
        return
    say(f"{address} is serving")
    next_step(
        f"walras watch --auctions --address {address}", "follow its auctions, if it is an engine"
    )


async def _check(address: str, seconds: float) -> str:
    async with grpc.aio.insecure_channel(check_address(address)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise to_error(error, address) from error
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
