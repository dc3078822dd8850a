"""Key rotation, over a log that a real engine wrote under three keys, and forgeries of it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from support.audit.log_copy import Forgery, LogCopy, read_leaf, signed_log
from support.audit.rotation_scenario import rotated
from support.audit.scenario import DOMAIN, signer
from support.audit.scenario import recorded as unrotated

from walras.audit.bindings import EngineKeys, check_proof, follow, open_at_size, prove
from walras.audit.evidence import check_evidence
from walras.audit.keys import Signer
from walras.audit.note import Checkpoint, NoteKey, open_checkpoint, sign_checkpoint
from walras.audit.verifier import replayed, verify_entries
from walras.audit.vrf import VrfKey
from walras.core.errors import AuditFailure, InvalidInput, Reason
from walras.ledger.keys import Keys
from walras.protocol.keys import KeyBinding, Role
from walras.protocol.records import Awarded, Genesis, MarketUpdate, Opened, Sealed, Settled, Voided

MALLORY = signer("mallory")


def note_keys() -> list[NoteKey]:
    return [NoteKey(DOMAIN, one.public_key) for one in rotated().signers]


def bindings(role: Role = Role.ENGINE) -> list[int]:
    """Indexes of the bindings of a role."""
    return [
        index
        for index, leaf in enumerate(rotated().log.leaves)
        if isinstance(record := read_leaf(leaf), KeyBinding) and record.role is role
    ]


def refused(act: Callable[[], object], kind: type[Exception] = AuditFailure) -> Exception:
    with pytest.raises(kind) as caught:
        act()
    return caught.value


# the honest log


def test_any_key_that_the_log_had_leads_to_the_newest() -> None:
    made = rotated()
    assert len({one.public_key for one in made.signers}) == 3
    first, second = bindings()
    assert made.keys.terms == tuple(
        zip((0, first + 1, second + 1), (one.public_key for one in made.signers), strict=True)
    )
    for key in note_keys():
        log = verify_entries(made.log, key, earlier=made.notes)
        assert log.keys == made.keys
        machine = replayed(log, made.log, key)
        assert machine.counts.records["key-binding"] == 3
        assert (machine.counts.auctions, machine.counts.voided) == (2, 1)
        assert machine.counts.winners > 0
        assert machine.state.in_force.vrf_key == made.vrfs[-1].public_key


def test_each_record_and_checkpoint_is_signed_by_the_key_of_its_time() -> None:
    made = rotated()
    used = [open_at_size(note, made.keys).size for note in made.notes]
    assert [made.keys.at(size) for size in used] == note_keys()
    for note, key in zip(made.notes, note_keys(), strict=True):
        open_checkpoint(note, key)
    # The batch that a stop left is voided by the key that sealed it.
    forgery = made.forgery()
    voided, (_, second) = forgery.find(Voided), bindings()
    assert forgery.of(Sealed, 2) < voided < second < forgery.of(Opened, 3)


def test_a_stranger_leads_nowhere() -> None:
    stranger = NoteKey(DOMAIN, MALLORY.public_key)
    for log in (rotated().log, unrotated().log):
        failure = refused(lambda log=log: verify_entries(log, stranger))  # type: ignore[misc]  # bound
        assert failure.reason is Reason.CHECKPOINT_INVALID  # type: ignore[attr-defined]  # an AuditFailure


def test_what_nodes_kept_holds_by_the_key_of_its_auction() -> None:
    made = rotated()
    node = made.nodes["second"]
    kept = [*node.tasks, *node.receipts, *(one.committed for one in node.closings)]
    for key in made.signers:
        found = check_evidence(made.log.leaves, made.log.blob, key.public_key, DOMAIN, kept)
        assert found.tasks + found.receipts + found.closings + found.void == len(kept)
    # The old key's word on a later auction is nobody's.
    last = read_task(node.tasks[-1])
    forged = made.forgery(0).seal(last, made.signers[0])
    with pytest.raises(InvalidInput) as caught:
        check_evidence(made.log.leaves, made.log.blob, made.signers[0].public_key, DOMAIN, [forged])
    assert caught.value.reason is Reason.SIGNER_UNKNOWN


def test_the_audit_counts_the_keys_that_drew() -> None:
    made = rotated()
    counts = made.log.audit(NoteKey(DOMAIN, made.signers[0].public_key))
    assert counts.vrf_keys_replaced == len(made.vrfs) - 1 == 1


def read_task(data: bytes) -> object:
    return read_leaf(data)


# checkpoints by the wrong key


@pytest.mark.parametrize("trusted", range(3))
@pytest.mark.parametrize("wrong", range(2))
def test_an_old_key_signs_no_checkpoint_beyond_its_binding(trusted: int, wrong: int) -> None:
    """Neither the log's own root, nor another."""
    made = rotated()
    tree = verify_entries(made.log, note_keys()[-1]).tree
    size = made.keys.terms[wrong + 1][0]
    for root in (tree.root(size), bytes(32)):
        note = sign_checkpoint(Checkpoint(DOMAIN, size, root), DOMAIN, made.signers[wrong])
        failure = refused(lambda note=note: open_at_size(note, made.keys))  # type: ignore[misc]  # bound
        assert failure.reason is Reason.CHECKPOINT_INVALID  # type: ignore[attr-defined]  # an AuditFailure
        refused(
            lambda note=note: verify_entries(made.log, note_keys()[trusted], earlier=[note])  # type: ignore[misc]  # bound
        )
        cut = signed_log(made.log.leaves[:size], made.log.blobs, DOMAIN, made.signers[wrong])
        refused(lambda cut=cut: verify_entries(cut, note_keys()[trusted]))  # type: ignore[misc]  # bound


def test_a_new_key_signs_no_checkpoint_before_its_binding() -> None:
    made = rotated()
    for term in (1, 2):
        size = made.keys.terms[term][0] - 1
        cut = signed_log(made.log.leaves[:size], made.log.blobs, DOMAIN, made.signers[term])
        note = cut.note
        failure = refused(lambda note=note: open_at_size(note, made.keys))  # type: ignore[misc]  # bound
        assert "was not in force" in str(failure)
        refused(lambda cut=cut: verify_entries(cut, note_keys()[0]))  # type: ignore[misc]  # bound
        refused(
            lambda note=note: verify_entries(made.log, note_keys()[-1], earlier=[note])  # type: ignore[misc]  # bound
        )


# bindings that do not follow


def rebound(forgery: Forgery, at: int, signer: Signer, **changes: object) -> int:
    forgery.leaves[at] = forgery.seal(replace(forgery.read(at), **changes), signer)
    return at


def unagreed(forgery: Forgery) -> int:
    """The new key is somebody's who did not agree."""
    at, first = bindings()[0], rotated().signers[0]
    return rebound(forgery, at, first, new_key=MALLORY.public_key)


def agreed_by_another(forgery: Forgery) -> int:
    at, first = bindings()[0], rotated().signers[0]
    return rebound(forgery, at, first, proof=prove(forgery.read(at), MALLORY).proof)


def for_another_domain(forgery: Forgery) -> int:
    at, (first, second, _) = bindings()[0], rotated().signers
    other = prove(replace(forgery.read(at), domain="other.example/log"), second)
    forgery.leaves[at] = forgery.seal(other, first)
    return at


def by_a_stranger(forgery: Forgery) -> int:
    at, second = bindings()[0], rotated().signers[1]
    claim = replace(
        forgery.read(at), signer=MALLORY.public_key, old_key=MALLORY.public_key, proof=b""
    )
    forgery.leaves.insert(at + 1, forgery.seal(prove(claim, second), MALLORY))
    return at + 1


def signed_by_the_new_key(forgery: Forgery) -> int:
    at, second = bindings()[0], rotated().signers[1]
    forgery.leaves[at] = forgery.seal(forgery.read(at), second)
    return at


def replayed_later(forgery: Forgery) -> int:
    forgery.leaves.insert(bindings()[0] + 1, forgery.leaves[bindings()[0]])
    return bindings()[0] + 1


def back_to_the_first(forgery: Forgery) -> int:
    """A key that leaked must not come back by a binding that its finder signs."""
    first, _, third = rotated().signers
    claim = KeyBinding(DOMAIN, Role.ENGINE, third.public_key, third.public_key, first.public_key)
    forgery.leaves.append(forgery.seal(prove(claim, first), third))
    return len(forgery.leaves) - 1


ENGINE_FORGERIES = {
    "unagreed": (unagreed, Reason.KEY_BINDING_INVALID),
    "agreed_by_another": (agreed_by_another, Reason.KEY_BINDING_INVALID),
    "for_another_domain": (for_another_domain, Reason.KEY_BINDING_INVALID),
    "by_a_stranger": (by_a_stranger, Reason.KEY_BINDING_INVALID),
    "signed_by_the_new_key": (signed_by_the_new_key, Reason.KEY_BINDING_INVALID),
    "replayed_later": (replayed_later, Reason.KEY_BINDING_INVALID),
    "back_to_the_first": (back_to_the_first, Reason.KEY_BINDING_INVALID),
}


@pytest.mark.parametrize("trusted", [0, 2])
@pytest.mark.parametrize("name", ENGINE_FORGERIES)
def test_level_a_refuses_a_forged_binding(name: str, trusted: int) -> None:
    attack, reason = ENGINE_FORGERIES[name]
    forgery = rotated().forgery()
    index = attack(forgery)
    failure = refused(lambda: verify_entries(forgery.log(), note_keys()[trusted]))
    assert isinstance(failure, AuditFailure)
    assert (failure.reason, failure.fields["index"]) == (reason, str(index))


# what level B finds


def old_key_after_its_time(forgery: Forgery) -> int:
    at = forgery.of(Opened, 2)
    return forgery.write(at, forgery.read(at), rotated().signers[0])


def new_key_before_its_time(forgery: Forgery) -> int:
    at = forgery.of(Settled, 1)
    return forgery.write(at, forgery.read(at), rotated().signers[1])


def bundle_by_the_old_key(forgery: Forgery) -> int:
    return forgery.rebundle(3, forgery.bundle(3), rotated().signers[1])


def binding_between_sealing_and_end(forgery: Forgery) -> int:
    """The VRF key of a batch is fixed when it is sealed, or ties could be drawn again."""
    made = rotated()
    other = VrfKey.from_seed(bytes(range(32)))
    third = made.signers[-1]
    claim = KeyBinding(
        DOMAIN, Role.VRF, third.public_key, made.vrfs[-1].public_key, other.public_key
    )
    return forgery.insert(forgery.of(Awarded, 3), prove(claim, other), third)


def vrf_by_a_stranger(forgery: Forgery) -> int:
    at = bindings(Role.VRF)[0]
    claim = prove(replace(forgery.read(at), signer=MALLORY.public_key), rotated().vrfs[1])
    forgery.leaves[at] = forgery.seal(claim, MALLORY)
    return at


def vrf_unagreed(forgery: Forgery) -> int:
    at = bindings(Role.VRF)[0]
    return rebound(forgery, at, rotated().signers[0], new_key=MALLORY.public_key)


def vrf_not_in_force(forgery: Forgery) -> int:
    made = rotated()
    at = bindings(Role.VRF)[0]
    claim = prove(replace(forgery.read(at), old_key=MALLORY.public_key), made.vrfs[1])
    forgery.leaves[at] = forgery.seal(claim, made.signers[0])
    return at


def vrf_binding_left_out(forgery: Forgery) -> int:
    """What the new key drew is of no key in force then."""
    del forgery.leaves[bindings(Role.VRF)[0]]
    return forgery.of(Sealed, 2)


def operator_by_the_engine(forgery: Forgery) -> int:
    """An engine cannot make itself an operator, who could credit anybody."""
    third = rotated().signers[-1]
    claim = KeyBinding(DOMAIN, Role.OPERATOR, third.public_key, b"", MALLORY.public_key)
    return forgery.insert(len(forgery.leaves), prove(claim, MALLORY), third)


REPLAY_FORGERIES = {
    "old_key_after_its_time": (old_key_after_its_time, Reason.RECORD_UNAUTHORISED),
    "new_key_before_its_time": (new_key_before_its_time, Reason.RECORD_UNAUTHORISED),
    "bundle_by_the_old_key": (bundle_by_the_old_key, Reason.SIGNER_UNKNOWN),
    "binding_between_sealing_and_end": (
        binding_between_sealing_and_end,
        Reason.RECORD_OUT_OF_ORDER,
    ),
    "vrf_by_a_stranger": (vrf_by_a_stranger, Reason.SIGNER_UNKNOWN),
    "vrf_unagreed": (vrf_unagreed, Reason.KEY_BINDING_INVALID),
    "vrf_not_in_force": (vrf_not_in_force, Reason.KEY_BINDING_INVALID),
    "vrf_binding_left_out": (vrf_binding_left_out, Reason.VRF_INVALID),
    "operator_by_the_engine": (operator_by_the_engine, Reason.SIGNER_UNKNOWN),
}


@pytest.mark.parametrize("name", REPLAY_FORGERIES)
def test_level_b_refuses_a_forger_with_every_key_of_the_engine(name: str) -> None:
    attack, reason = REPLAY_FORGERIES[name]
    forgery = rotated().forgery()
    index = attack(forgery)
    log = forgery.log()
    verified = verify_entries(log, note_keys()[0])
    failure = refused(lambda: replayed(verified, log, note_keys()[0]))
    assert isinstance(failure, AuditFailure)
    assert (failure.reason, failure.fields["index"]) == (reason, str(index))


def test_a_log_without_a_beginning_of_its_keys_is_refused() -> None:
    """The genesis record names another first key than the bindings say."""
    made = rotated()
    forgery = made.forgery()
    genesis = forgery.read(0)
    assert isinstance(genesis, Genesis)
    forgery.write(0, replace(genesis, engine=MALLORY.public_key), MALLORY)
    log = forgery.log()
    verified = verify_entries(log, note_keys()[0])
    failure = refused(lambda: replayed(verified, log, note_keys()[0]))
    assert failure.reason is Reason.RECORD_UNAUTHORISED  # type: ignore[attr-defined]  # an AuditFailure


# the rules by themselves


def keys_of(count: int) -> list[Signer]:
    return [signer(f"operator {number}") for number in range(count)]


def operator_binding(
    by: Signer, old: Signer | None = None, new: Signer | None = None
) -> KeyBinding:
    claim = KeyBinding(
        DOMAIN,
        Role.OPERATOR,
        by.public_key,
        old.public_key if old else b"",
        new.public_key if new else b"",
    )
    return prove(claim, new) if new else claim


def test_operators_come_and_go() -> None:
    one, two, three = keys_of(3)
    engine, vrf = signer("engine"), VrfKey.from_seed(bytes(32))
    keys = Keys.of(Genesis(DOMAIN, engine.public_key, (one.public_key,), vrf.public_key))
    added = operator_binding(one, new=two)
    check_proof(added)
    keys = keys.bind(5, added)
    assert keys.operators == (one.public_key, two.public_key)
    replaced = operator_binding(two, old=one, new=three)
    check_proof(replaced)
    keys = keys.bind(6, replaced)
    removed = operator_binding(three, old=two)
    check_proof(removed)
    keys = keys.bind(7, removed)
    assert keys.operators == (three.public_key,)
    assert keys.engine == engine.public_key
    for bad, reason in (
        (operator_binding(one, new=signer("x")), Reason.SIGNER_UNKNOWN),
        (operator_binding(engine, new=signer("x")), Reason.SIGNER_UNKNOWN),
        (operator_binding(three, new=two), Reason.KEY_BINDING_INVALID),
        (operator_binding(three, new=engine), Reason.KEY_BINDING_INVALID),
        (operator_binding(three, old=two), Reason.KEY_BINDING_INVALID),
        (operator_binding(three, old=three), Reason.KEY_BINDING_INVALID),
    ):
        with pytest.raises(InvalidInput) as caught:
            keys.bind(8, bad)
        assert caught.value.reason is reason


def test_a_log_without_bindings_has_the_trusted_key() -> None:
    made = unrotated()
    found = follow(enumerate(made.log.leaves), made.key)
    assert found == EngineKeys(DOMAIN, ((0, made.key.public_key),))
    assert found.newest == made.key == found.at(10**9)


def test_a_word_in_a_record_is_no_binding() -> None:
    """Only the payload type makes one."""
    made = unrotated()
    forgery = made.forgery()
    at = forgery.find(MarketUpdate)
    update = forgery.read(at)
    price = next(iter(update.prices.values()))
    source = "application/vnd.walras.key-binding.v1+protobuf"
    prices = {asset: replace(price, source=source) for asset in update.prices}
    forgery.change(at, prices=prices)
    found = verify_entries(signed(forgery), made.key).keys
    assert found.terms == ((0, made.key.public_key),)


def signed(forgery: Forgery) -> LogCopy:
    return forgery.log()
