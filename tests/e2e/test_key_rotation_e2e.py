"""Clients that know an engine's first key, before and after it got another one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from support.audit.scenario import DOMAIN, signer

from walras.api.v1 import log_service_pb2
from walras.app.config import Config, LogConfig, read_config
from walras.app.engine import Engine, run_engine
from walras.app.rotating import next_file, prepare
from walras.audit.bindings import prove, read_binding
from walras.audit.keys import Signer
from walras.audit.note import NoteKey, format_vkey, parse_vkey
from walras.cli.auditing import audit_folder
from walras.cli.fetch import fetch_log
from walras.cli.main import run
from walras.cli.remote import log_of
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.protocol.keys import KeyBinding, Role
from walras.rpc.server import start
from walras.sdk.client import Client
from walras.sdk.keys import read_key, write_key
from walras.sdk.rotation import log_keys
from walras.sdk.signing import sign_record


def config_of(folder: Path) -> Config:
    return read_config(None, data=folder, domain=DOMAIN, solvers=[], log=LogConfig(interval_ms=10))


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Engine, Client]]:
    async with run_engine(config_of(folder)) as engine:
        server, address = await start(engine, "127.0.0.1:0")
        try:
            async with Client(address, attempts=1) as client:
                yield engine, client
        finally:
            await server.stop(None)


async def published(engine: Engine) -> Path:
    """The log's folder, once the newest checkpoint is in it."""
    publishing, newest = engine.publishing, engine.sequencer.checkpoint
    assert publishing is not None
    assert newest is not None
    for _ in range(500):
        if publishing.newest is not None and publishing.newest.size >= newest.size:
            return publishing.folder
        await asyncio.sleep(0.02)
    raise AssertionError("nothing was published")


async def test_a_pinned_key_stays_usable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, copy = tmp_path / "data", tmp_path / "copy"
    async with serving(folder) as (engine, client):
        first = engine.verifier_key
        await fetch_log(client, copy, first)
        audit_folder(await published(engine), first)
    prepare(folder / "engine.key")
    prepare(folder / "vrf.key")
    async with serving(folder) as (engine, client):
        second = engine.verifier_key
        assert second != first
        assert (await log_of(client, first)).key == parse_vkey(second)
        assert (await log_of(client, second)).key == parse_vkey(second)
        keys = await log_keys(client, parse_vkey(first))
        assert [format_vkey(key) for key in keys.all] == [first, second]
        stranger = NoteKey(DOMAIN, signer("mallory").public_key)
        for asked in (log_keys(client, stranger), log_of(client, format_vkey(stranger))):
            with pytest.raises(AuditFailure) as caught:
                await asked
            assert caught.value.reason is Reason.CHECKPOINT_INVALID
        # An export goes on where the one under the old key stood; so does what is published.
        await fetch_log(client, copy, first)
        for key in (first, second):
            for log in (copy, await published(engine)):
                audited = audit_folder(log, key)
                assert audited.counts.records["key-binding"] == 2
        assert audit_folder(copy).size == audit_folder(await published(engine)).size
        code = await asyncio.to_thread(
            run, ["keys", "follow", first, "--address", client.address, "--json"]
        )
        assert code == 0
        told = json.loads(capsys.readouterr().out)["keys"]
        assert [term["verifier_key"] for term in told] == [first, second]
        assert told[1]["from_entry"] == keys.terms[1][0]


@dataclass
class Liar:
    """A server that shows what it likes of the bindings."""

    answer: log_service_pb2.GetKeyBindingsResponse

    async def key_bindings(self) -> log_service_pb2.GetKeyBindingsResponse:
        return self.answer


async def test_a_server_cannot_invent_or_hide_a_key(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as (engine, client):
        first = parse_vkey(engine.verifier_key)
        old = await client.checkpoint()
    prepare(folder / "engine.key")
    async with serving(folder) as (_, client):
        honest = await client.key_bindings()
    (binding,) = honest.bindings
    hidden = log_service_pb2.GetKeyBindingsResponse(checkpoint=honest.checkpoint)
    early = log_service_pb2.GetKeyBindingsResponse(
        checkpoint=old.checkpoint, bindings=honest.bindings
    )
    moved = log_service_pb2.GetKeyBindingsResponse()
    moved.CopyFrom(honest)
    moved.bindings[0].inclusion.leaf_index -= 1
    changed = log_service_pb2.GetKeyBindingsResponse()
    changed.CopyFrom(honest)
    agreed = read_binding(binding.entry)
    assert agreed is not None
    other = bytes([agreed.proof[0] ^ 1]) + agreed.proof[1:]
    changed.bindings[0].entry = binding.entry.replace(agreed.proof, other)
    assert changed.bindings[0].entry != binding.entry
    for answer, reason in (
        (hidden, Reason.CHECKPOINT_INVALID),
        (early, Reason.PROOF_INVALID),
        (moved, Reason.PROOF_INVALID),
        (changed, Reason.KEY_BINDING_INVALID),
    ):
        with pytest.raises(AuditFailure) as caught:
            await log_keys(Liar(answer), first)  # type: ignore[arg-type]  # all that is asked of it
        assert caught.value.reason is reason


async def test_keys_in_files_that_do_not_fit(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with run_engine(config_of(folder)):
        pass
    engine_key, vrf_key = folder / "engine.key", folder / "vrf.key"
    first = read_key(engine_key)
    with pytest.raises(InvalidInput) as caught:
        prepare(folder / "other.key")
    assert caught.value.reason is Reason.CONFIG_INVALID
    prepare(engine_key)
    with pytest.raises(InvalidInput, match="waits already"):
        prepare(engine_key)
    # Taken back, nothing has happened.
    next_file(engine_key).unlink()
    async with run_engine(config_of(folder)) as engine:
        assert engine.sequencer.state.in_force.engine == first.public_key
    # A lost VRF key is replaced by the engine's word; a lost engine key by nothing.
    vrf_key.unlink()
    made = write_key(next_file(vrf_key))
    async with run_engine(config_of(folder)) as engine:
        assert engine.sequencer.state.in_force.vrf_key == made.public_key
        assert read_key(vrf_key) == made
    # A key that was in force does not come back.
    prepare(engine_key)
    async with run_engine(config_of(folder)):
        pass
    seed = sha256(b"engine").hexdigest()
    assert Signer.from_seed(bytes.fromhex(seed)).public_key != first.public_key
    engine_key.rename(tmp_path / "kept")
    engine_key.write_text(seed)
    with pytest.raises(BaseExceptionGroup) as group:
        async with run_engine(config_of(folder)):
            pass
    assert "another engine" in str(group.value.exceptions[0])


def test_the_command_prepares_a_rotation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    write_key(folder / "engine.key")
    assert run(["keys", "rotate", "engine", "--data", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(folder / "engine.key.next")
    assert parse_vkey(told["verifier_key"]).public_key.hex() == told["public_key"]
    assert read_key(folder / "engine.key.next").public_key.hex() == told["public_key"]
    assert not list(folder.glob(".*"))
    for args in (["engine"], ["vrf"], ["operator"]):
        assert run(["keys", "rotate", *args, "--data", str(folder)]) == 2


async def test_operators_change_while_the_engine_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    first, second = folder / "operator.key", tmp_path / "second.key"
    made = write_key(second)

    async def command(*args: str) -> int:
        return await asyncio.to_thread(run, ["keys", *args, "--json"])

    async with serving(folder) as (engine, client):
        old = read_key(first)
        where = ("--address", client.address)
        # A stranger adds nobody, and the last operator stays.
        assert await command("add-operator", str(first), "--key", str(second), *where) == 2
        last = old.public_key.hex()
        assert await command("remove-operator", last, "--key", str(first), *where) == 2
        assert await command("add-operator", str(second), "--key", str(first), *where) == 0
        assert await command("remove-operator", last, "--key", str(second), *where) == 0
        assert made.public_key.hex() in capsys.readouterr().out
        assert engine.sequencer.state.in_force.operators == (made.public_key,)
        with pytest.raises(InvalidInput) as caught:
            engine.sequencer.state.check_operator(DOMAIN, old.public_key)
        assert caught.value.reason is Reason.SIGNER_UNKNOWN
        # No call replaces the engine's own keys, whoever signs.
        engine_key = engine.sequencer.signer
        claim = KeyBinding(
            DOMAIN, Role.ENGINE, engine_key.public_key, engine_key.public_key, made.public_key
        )
        with pytest.raises(InvalidInput) as caught:
            await client.bind_key(sign_record(prove(claim, made), engine_key))
        assert caught.value.reason is Reason.FIELD_INVALID
        folder_now = await published(engine)
        assert audit_folder(folder_now).counts.records["key-binding"] == 2
    # The folder opens with the key that it began with, and with the one in force.
    for key in (old, made):
        config = config_of(folder).model_copy(update={"operators": [key.public_key.hex()]})
        async with run_engine(config) as engine:
            assert engine.sequencer.state.in_force.operators == (made.public_key,)
