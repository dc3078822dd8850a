"""walras receipt get, verify"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from walras.audit import envelope
from walras.audit.note import NoteKey, parse_vkey
from walras.audit.policy import Approved, Log, Policy
from walras.audit.proof import (
    MAX_PROOF_BYTES,
    SUFFIX,
    TlogProof,
    encode_proof,
    log_only,
    open_proof,
    parse_proof,
)
from walras.cli.options import (
    DEFAULT_ADDRESS,
    Address,
    LogKey,
    parse_duration,
    parse_id,
    parse_log_key,
)
from walras.cli.output import Json, fields, next_step, print_json, say
from walras.cli.remote import log_of
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.protocol.records import KIND_OF_TYPE
from walras.sdk.client import Client
from walras.witness.policy_file import read_policy

_POLL_SECONDS = 0.25

PolicyFile = Annotated[
    Path | None,
    typer.Option(help="A tlog-policy file: which witnesses must have cosigned, and how many."),
]


def register(app: typer.Typer, name: str) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Get and verify receipts as files.")
    group.command("get")(get)
    group.command("verify")(verify)
    app.add_typer(group, name=name)


def get(
    intent: Annotated[str, typer.Argument(help="The intent's id.")],
    out: Annotated[
        Path | None, typer.Option(help=f"Where it goes; unset: the intent's id and {SUFFIX}.")
    ] = None,
    policy: PolicyFile = None,
    wait: Annotated[
        str, typer.Option(help="How long for witnesses, with --policy: 30s, 10m.")
    ] = "30s",
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Write an intent's receipt to a file that proves on its own that the log holds it.

    It is checked before it is written, by the policy's witnesses too, if one is given.
    """
    path = out or Path(f"{intent}{SUFFIX}")
    asked = read_policy(policy) if policy is not None else None
    proof, approved = asyncio.run(
        _get(parse_id(intent, "intent"), asked, parse_duration(wait) / 1000, address, log_key)
    )
    path.write_bytes(encode_proof(proof))
    document = {"file": str(path), **_document(proof, approved)}
    if as_json:
        print_json(document)
        return
    fields(document)
    next_step(f"walras receipt verify {path} --key VKEY", "with a key from a source you trust")


async def _get(
    intent: bytes, policy: Policy | None, seconds: float, address: str, log_key: str
) -> tuple[TlogProof, Approved]:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    async with Client(address) as client:
        key = (await log_of(client, log_key)).key
        wanted = _with_log(policy, key)
        while True:
            proof = await client.receipt(intent)
            try:
                return proof, open_proof(proof, wanted)
            except AuditFailure as failure:
                # The witnesses are asked after the intent is in the log; anything else is final.
                if failure.reason is not Reason.QUORUM_UNMET or loop.time() >= end:
                    raise
            await asyncio.sleep(_POLL_SECONDS)


def verify(
    file: Annotated[Path, typer.Argument(help="A receipt, as walras receipt get writes it.")],
    key: Annotated[
        str,
        typer.Option("--key", "-k", help="The log's verifier key, or a file with it."),
    ] = "",
    policy: PolicyFile = None,
    intent: Annotated[str, typer.Option(help="The id that it must be the receipt of.")] = "",
    as_json: Json = False,
) -> None:
    """Check a receipt without asking anybody. Exit code 1 if it proves nothing."""
    asked = read_policy(policy) if policy is not None else None
    given = parse_vkey(parse_log_key(key)) if key else None
    if given is not None:
        wanted = _with_log(asked, given)
    elif asked is not None and asked.logs:
        wanted = asked
    else:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "nothing says which log to believe",
            hint="give the log's key by --key, or a --policy that has logs",
        )
    with file.open("rb") as stream:
        proof = parse_proof(stream.read(MAX_PROOF_BYTES + 1))
    document = _document(proof, _opened(proof, wanted))
    if intent and document["id"] != parse_id(intent, "intent").hex():
        raise AuditFailure(
            Reason.PROOF_INVALID, f"it is the receipt of {document['id']}, not of {intent}"
        )
    if as_json:
        print_json(document)
        return
    fields(document)
    say("the log holds it")


def _opened(proof: TlogProof, wanted: Policy) -> Approved:
    try:
        return open_proof(proof, wanted)
    except AuditFailure as failure:
        if failure.reason is not Reason.LOG_UNKNOWN:
            raise
        hint = "if the log's key was replaced, give the next one: walras keys follow VKEY"
        raise AuditFailure(failure.reason, failure.message, hint=hint, **failure.fields) from None


def _with_log(policy: Policy | None, key: NoteKey) -> Policy:
    """The policy's witnesses over this one log."""
    return log_only(key) if policy is None else replace(policy, logs=(Log(key),))


def _document(proof: TlogProof, approved: Approved) -> dict[str, object]:
    """What an opened proof says."""
    signed = envelope.decode(proof.extra)
    envelope.verify_envelope(signed)
    kind = KIND_OF_TYPE.get(signed.payload_type)
    return {
        "record": kind.value if kind is not None else signed.payload_type,
        "id": envelope.record_id(signed.payload_type, signed.body).hex(),
        "signer": signed.signer.hex(),
        "entry": proof.index,
        "log": approved.checkpoint.origin,
        "size": approved.checkpoint.size,
        "root": approved.checkpoint.root.hex(),
        "cosigned": {
            name: datetime.fromtimestamp(time, UTC).isoformat() if time < 1 << 37 else str(time)
            for name, time in sorted(approved.times.items())
        },
    }
