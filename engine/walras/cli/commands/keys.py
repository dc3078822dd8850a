"""walras keys rotate, follow, add-operator, remove-operator"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from walras.app.config import read_config
from walras.app.rotating import engine_key_file, next_file, prepare, vrf_key_file
from walras.audit.bindings import EngineKeys, prove
from walras.audit.keys import Signer
from walras.audit.note import NoteKey, format_vkey, parse_vkey
from walras.cli.options import DEFAULT_ADDRESS, Address, LogKey, parse_id, parse_log_key
from walras.cli.output import Json, fields, next_step, print_json
from walras.cli.remote import checked_receipt, log_of
from walras.core.errors import InvalidInput, Reason
from walras.protocol.keys import KeyBinding, Role
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.rotation import log_keys
from walras.sdk.signing import sign_record


def register(app: typer.Typer, name: str) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Rotate an engine's keys, and follow them.")
    group.command("rotate")(rotate)
    group.command("follow")(follow)
    group.command("add-operator")(add_operator)
    group.command("remove-operator")(remove_operator)
    app.add_typer(group, name=name)


def rotate(
    role: Annotated[str, typer.Argument(help="engine or vrf.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The engine's; docs/configuration.md.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the database and keys.")] = None,
    as_json: Json = False,
) -> None:
    """Make the engine's next key. It comes into force at the engine's next start, by a record
    that the old key signs and the new one agrees to.
    """
    settings = read_config(config, data=data)
    files = {Role.ENGINE.value: engine_key_file(settings), Role.VRF.value: vrf_key_file(settings)}
    if role not in files:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"there is no such key of an engine: {role[:80]!r}",
            hint="walras keys rotate engine, or walras keys rotate vrf",
        )
    made = prepare(files[role])
    document = {"file": str(next_file(files[role])), "public_key": made.public_key.hex()}
    if role == Role.ENGINE.value:
        document["verifier_key"] = format_vkey(NoteKey(settings.domain, made.public_key))
    if as_json:
        print_json(document)
        return
    fields(document)
    if role == Role.ENGINE.value:
        next_step("publish the verifier key", "tell it to witnesses and nodes, then restart")
    else:
        next_step("walras serve …", "restart the engine: it logs the key and draws by it")


def follow(
    key: Annotated[str, typer.Argument(help="A verifier key that the log has had, or its file.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Follow a log's key to those that came later, each signed by the one before and in the log."""
    keys = asyncio.run(_follow(parse_vkey(parse_log_key(key)), address))
    terms = [
        {"from_entry": start, "verifier_key": format_vkey(each)}
        for (start, _), each in zip(keys.terms, keys.all, strict=True)
    ]
    if as_json:
        print_json({"keys": terms})
        return
    fields({f"from entry {term['from_entry']}": term["verifier_key"] for term in terms})


async def _follow(trusted: NoteKey, address: str) -> EngineKeys:
    async with Client(address) as client:
        return await log_keys(client, trusted)


OperatorKey = Annotated[Path, typer.Option("--key", "-k", help="An operator's key file.")]


def add_operator(
    new: Annotated[Path, typer.Argument(help="The new operator's key file; it must agree.")],
    key: OperatorKey,
    replace_own: Annotated[
        bool, typer.Option("--replace", help="The signing operator goes out of force.")
    ] = False,
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Add an operator to an engine, signed by one that it has."""
    operator, made = read_key(key), read_key(new)
    old = operator.public_key if replace_own else b""
    asyncio.run(_change(operator, old, made, address, log_key, as_json=as_json))


def remove_operator(
    public_key: Annotated[str, typer.Argument(help="Whom, 64 hexadecimal digits.")],
    key: OperatorKey,
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Remove an operator of an engine, signed by one that it has; one remains."""
    old = parse_id(public_key, "PUBLIC_KEY")
    asyncio.run(_change(read_key(key), old, None, address, log_key, as_json=as_json))


async def _change(
    operator: Signer, old: bytes, new: Signer | None, address: str, log_key: str, *, as_json: bool
) -> None:
    async with Client(address) as client:
        log = await log_of(client, log_key)
        added = new.public_key if new is not None else b""
        record = KeyBinding(log.domain, Role.OPERATOR, operator.public_key, old, added)
        envelope = sign_record(record if new is None else prove(record, new), operator)
        answer = await client.bind_key(envelope)
    receipt = checked_receipt(envelope, answer.receipt, log)
    document = {"added": added.hex(), "removed": old.hex(), **receipt}
    if as_json:
        print_json(document)
        return
    fields({**document, "log key": log.remark})
