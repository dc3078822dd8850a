"""The engine's own keys: which are in force, which are to come, and how they change places.

A new key waits in a file beside the old one, made by `walras keys rotate`. A start logs its binding
in one commit, and then renames the file over the old one. Whatever moment a crash comes at, one of
the two files holds the key that the log says is in force, and the next start goes on from there:

    old.key    old.key.next    the log says    the start
    in force   waits           old             logs the binding, renames
    out        in force        new             renames
    in force   -               new             goes on
"""

import os
from dataclasses import dataclass
from pathlib import Path

from walras.app.config import Config
from walras.app.sequencer import Sequencer, Transaction
from walras.audit.bindings import prove
from walras.audit.keys import Signer, public_key
from walras.audit.vrf import VrfKey
from walras.core.errors import InvalidInput, Reason
from walras.ledger.keys import Keys
from walras.protocol.keys import KeyBinding, Role
from walras.sdk.keys import read_or_write_seed, read_seed, write_key


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key of the engine's in its file.

    Attributes:
        file: where it is.
        seed: in force, or to begin a log with.
        next_seed: what is to replace it; None where nothing waits.
        promoted: the one in force is still in the file of the next.
    """

    file: Path
    seed: bytes
    next_seed: bytes | None = None
    promoted: bool = False

    @property
    def newest(self) -> bytes:
        """The seed that is in force once the engine has begun."""
        return self.next_seed or self.seed


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The keys that an engine begins with."""

    engine: OwnKey
    vrf: OwnKey


def next_file(file: Path) -> Path:
    """Where the key waits that is to replace the one in `file`."""
    return file.with_name(f"{file.name}.next")


def engine_key_file(config: Config) -> Path:
    """Where the engine's signing key is."""
    return config.engine_key or config.data / "engine.key"


def vrf_key_file(config: Config) -> Path:
    """Where the engine's VRF key is."""
    return config.data / "vrf.key"


def prepare(file: Path) -> Signer:
    """Make the key that is to replace the one in `file`; the engine's next start does it.

    Raises:
        InvalidInput: CONFIG_INVALID: there is nothing to replace, or a key waits already.
    """
    read_seed(file)
    waiting, draft = next_file(file), file.with_name(f".{file.name}.draft")
    draft.unlink(missing_ok=True)  # of a command that was killed
    try:
        made = write_key(draft)
        os.link(draft, waiting)  # whole or not at all, and never over another
        _sync(file.parent)
    except FileExistsError:
        raise InvalidInput(
            Reason.CONFIG_INVALID,
            f"{waiting} waits already",
            hint="start the engine to put it in force, or remove the file to take it back",
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    return made


def read_own_keys(config: Config, in_force: Keys | None) -> OwnKeys:
    """The engine's keys, made where there are none.

    Args:
        config: names their files.
        in_force: by the log; None where it has not begun.

    Raises:
        InvalidInput: CONFIG_INVALID: a file does not hold a key.
    """
    engine, vrf = (in_force.engine, in_force.vrf_key) if in_force is not None else (b"", b"")
    return OwnKeys(_read(engine_key_file(config), engine), _read(vrf_key_file(config), vrf))


async def bind_next(sequencer: Sequencer, own: OwnKeys) -> None:
    """Log what waits, in one commit, from which on it is in force; then rename the files.

    Called between batches, with nobody else's command on its way.

    Raises:
        InvalidInput: KEY_BINDING_INVALID: what waits was in force before.
        OSError: a file cannot be renamed; the next start tries again.
    """
    if own.engine.next_seed or own.vrf.next_seed:
        await sequencer.run(lambda tx: _bind(tx, sequencer, own))
    for key in (own.engine, own.vrf):
        if key.next_seed or key.promoted:
            next_file(key.file).replace(key.file)
            _sync(key.file.parent)


def _bind(tx: Transaction, sequencer: Sequencer, own: OwnKeys) -> None:
    old, domain = Signer.from_seed(own.engine.seed), tx.state.domain
    bindings = []
    if own.vrf.next_seed:
        drawing = VrfKey.from_seed(own.vrf.next_seed)
        before = tx.state.in_force.vrf_key  # whose secret may be lost
        claim = KeyBinding(domain, Role.VRF, old.public_key, before, drawing.public_key)
        bindings.append(prove(claim, drawing))
    new = Signer.from_seed(own.engine.newest)
    if own.engine.next_seed:
        claim = KeyBinding(domain, Role.ENGINE, old.public_key, old.public_key, new.public_key)
        bindings.append(prove(claim, new))
    # The state changes whole or not at all.
    keys = tx.state.in_force
    for index, binding in enumerate(bindings, tx.tree.size):
        keys = keys.bind(index, binding)
    for binding in bindings:
        tx.state.bind_key(binding, tx.tree.size)
        tx.record(binding)
    tx.signer = sequencer.signer = new


def _read(file: Path, in_force: bytes) -> OwnKey:
    seed, waiting = read_or_write_seed(file), next_file(file)
    if not waiting.exists():
        return OwnKey(file, seed)
    next_seed = read_seed(waiting)
    if public_key(next_seed) == in_force:
        return OwnKey(file, next_seed, promoted=True)
    return OwnKey(file, seed, next_seed)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
