"""Whom to believe: logs, witnesses, and how many of them must have seen a checkpoint.

    log example.com/log+530d903a+AekyeRrm…
    witness X1 witness.example/x1+…  https://witness.example/x1
    witness X2 witness.example/x2+…
    group both all X1 X2
    quorum both

A checkpoint satisfies a policy if one of its logs signed it and the quorum cosigned it. A group
counts as one who cosigned where enough of its members did; each member stands in one group only,
so nobody counts twice.

Source: C2SP tlog-policy.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from walras.audit.cosignature import WitnessKey, cosigned_at, parse_witness_key
from walras.audit.note import Checkpoint, Note, NoteKey, is_signed, parse_checkpoint, parse_vkey
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError

MAX_POLICY_BYTES = 1 << 18
MAX_LINES = 4_096

NONE = "none"
"""The quorum that needs nobody."""

_WHITE = re.compile(r"[ \t]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_COUNT = re.compile(r"[1-9][0-9]{0,3}")

K = TypeVar("K", NoteKey, WitnessKey)


@dataclass(frozen=True, slots=True)
class Log:
    """A log to believe; its key's name is the origin of its checkpoints."""

    key: NoteKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness; `name` is the policy's own word for it, `url` its submission prefix."""

    name: str
    key: WitnessKey
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Counts as having cosigned where at least `least` of its members did."""

    name: str
    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Approved:
    """A checkpoint that satisfies a policy.

    Attributes:
        checkpoint: it.
        log: whose signature it carries.
        times: by the policy's name for each witness that cosigned, when, in seconds since 1970.
    """

    checkpoint: Checkpoint
    log: Log
    times: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Policy:
    """Make one with `parse_policy`.

    Attributes:
        logs, witnesses, groups: in the order of the text; a group only of those before it.
        quorum: the name of a witness or group, or `NONE`.
    """

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    def is_quorum(self, names: frozenset[str]) -> bool:
        """Whether it is enough that these witnesses cosigned; by the policy's names for them."""
        seen = {witness.name for witness in self.witnesses} & names
        for group in self.groups:
            if sum(member in seen for member in group.members) >= group.least:
                seen.add(group.name)
        return self.quorum == NONE or self.quorum in seen

    def times(self, note: Note) -> dict[str, int]:
        """Which of the witnesses cosigned the note, and when.

        Raises:
            AuditFailure: COSIGNATURE_INVALID: a line of one of them does not verify.
        """
        found = {each.name: cosigned_at(note, each.key) for each in self.witnesses}
        return {name: time for name, time in found.items() if time is not None}

    def approve(self, note: Note) -> Approved:
        """The checkpoint in the note, if it is of one of the logs and the quorum cosigned it.

        Raises:
            AuditFailure: CHECKPOINT_INVALID, LOG_UNKNOWN, COSIGNATURE_INVALID or QUORUM_UNMET.
        """
        checkpoint = parse_checkpoint(note.text)
        of_origin = [log for log in self.logs if log.key.name == checkpoint.origin]
        # All are looked at: a false line of any known key condemns the note.
        signed = [log for log in of_origin if is_signed(note, log.key)]
        if not signed:
            raise AuditFailure(
                Reason.LOG_UNKNOWN,
                f"no log of the policy signed this checkpoint of {checkpoint.origin!r}",
                origin=checkpoint.origin,
            )
        times = self.times(note)
        if not self.is_quorum(frozenset(times)):
            raise AuditFailure(
                Reason.QUORUM_UNMET,
                f"the quorum {self.quorum!r} did not cosign the checkpoint of size"
                f" {checkpoint.size}; who did: {', '.join(sorted(times)) or 'nobody'}",
                quorum=self.quorum,
                size=checkpoint.size,
            )
        return Approved(checkpoint, signed[0], times)


@dataclass(slots=True)
class _Draft:
    """A policy as far as it is read."""

    logs: list[Log] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    quorum: str = ""
    names: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)


def parse_policy(data: bytes) -> Policy:
    """The policy that a text stands for.

    Names are octets to the specification; here they are text in which octets that are not UTF-8
    stand as lone surrogates, so that different octets are different names.

    Raises:
        InvalidInput: POLICY_INVALID, `fields["line"]` says where.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise _invalid(f"it has {len(data)} bytes, more than {MAX_POLICY_BYTES}")
    if _CONTROL.search(data):
        raise _invalid("it has control characters besides tab and newline")
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if lines.pop():
        raise _invalid("its last line does not end in a newline")
    if len(lines) > MAX_LINES:
        raise _invalid(f"it has {len(lines)} lines, more than {MAX_LINES}")
    draft = _Draft()
    for number, line in enumerate(lines, start=1):
        words = _WHITE.split(line.strip(" \t"))
        if words[0] and not words[0].startswith("#"):
            try:
                _read_line(draft, words)
            except WalrasError as error:
                raise _invalid(f"line {number}: {error.message}", number) from error
    if not draft.quorum:
        raise _invalid("it has no quorum line")
    return Policy(tuple(draft.logs), tuple(draft.witnesses), tuple(draft.groups), draft.quorum)


def _read_line(draft: _Draft, words: Sequence[str]) -> None:
    match words:
        case ["log", vkey, *url] if len(url) <= 1:
            key = _key(vkey, parse_vkey)
            if any(log.key.public_key == key.public_key for log in draft.logs):
                raise _invalid("a log of this public key is there already")
            draft.logs.append(Log(key, *url))
        case ["witness", name, vkey, *url] if len(url) <= 1:
            witness = Witness(_new_name(draft, name), _key(vkey, parse_witness_key), *url)
            if any(w.key.public_key == witness.key.public_key for w in draft.witnesses):
                raise _invalid("a witness of this public key is there already")
            draft.witnesses.append(witness)
        case ["group", name, count, *members] if members:
            for member in members:
                _check_known(draft, member)
                if member in draft.members:
                    raise _invalid(f"{_shown(member)} is a member already, here or elsewhere")
                draft.members.add(member)
            least = _least(count, len(members))
            draft.groups.append(Group(_new_name(draft, name), least, tuple(members)))
        case ["quorum", name]:
            if draft.quorum:
                raise _invalid("it has a second quorum line")
            if name != NONE:
                _check_known(draft, name)
            draft.quorum = name
        case _:
            raise _invalid(f"not a log, witness, group or quorum: {_shown(' '.join(words))}")


def _key(text: str, parse: Callable[[str], K]) -> K:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _invalid("a verifier key is UTF-8") from None
    return parse(text)


def _new_name(draft: _Draft, name: str) -> str:
    if name == NONE or name in draft.names:
        raise _invalid(f"the name {_shown(name)} is taken")
    draft.names.add(name)
    return name


def _check_known(draft: _Draft, name: str) -> None:
    if name not in draft.names:
        raise _invalid(f"no witness or group before it has the name {_shown(name)}")


def _least(count: str, members: int) -> int:
    least = {"any": 1, "all": members}.get(count)
    if least is None and _COUNT.fullmatch(count):
        least = int(count)
    if least is None or least > members:
        raise _invalid(f"{_shown(count)} is not all, any or a number from 1 to {members}")
    return least


def _shown(text: str) -> str:
    return ascii(text[:200])


def _invalid(why: str, line: int | None = None) -> InvalidInput:
    message = f"not a tlog-policy: {why}"
    if line is None:
        return InvalidInput(Reason.POLICY_INVALID, message)
    return InvalidInput(Reason.POLICY_INVALID, message, line=line)
