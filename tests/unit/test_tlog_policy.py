"""tlog-policy: what is one, what is none, and whom a quorum is made of."""

import pytest
from support.witnesses import (
    LOG_KEY,
    ORIGIN,
    TIME,
    checkpoint_of,
    policy_text,
    signer_of,
    tree_of,
    witness_key_text,
)

from walras.audit.note import NoteKey, format_vkey, parse_note
from walras.audit.policy import MAX_LINES, MAX_POLICY_BYTES, Group, parse_policy
from walras.core.errors import AuditFailure, InvalidInput, Reason

A, B, C = (f"witness {name} {witness_key_text(name)}\n" for name in "abc")


def refusal(text: str | bytes) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_policy(text if isinstance(text, bytes) else text.encode())
    assert caught.value.reason is Reason.POLICY_INVALID
    return caught.value


def test_white_space_comments_and_order_mean_nothing() -> None:
    text = f"\t # a comment\n\n \t\nquorum none  \n  log\t{LOG_KEY}  https://log.example/ \n{B}{A}"
    policy = parse_policy(text.encode())
    assert policy.quorum == "none"
    assert [(log.key.name, log.url) for log in policy.logs] == [(ORIGIN, "https://log.example/")]
    assert [witness.name for witness in policy.witnesses] == ["b", "a"]
    assert policy.is_quorum(frozenset())


def test_names_are_octets() -> None:
    kelvin = "\u212a".encode()
    data = b"".join(
        b"witness %s %s\n" % (name, witness_key_text(str(number)).encode())
        for number, name in enumerate([b"K", kelvin, b"\xff", b"\xfe", b"any", b"2", b"all"])
    )
    policy = parse_policy(data + b"group g 2 K \xff any\nquorum g\n")
    names = [witness.name for witness in policy.witnesses]
    assert len(set(names)) == 7
    assert policy.is_quorum(frozenset([names[0], names[2]]))
    assert not policy.is_quorum(frozenset([names[1], names[3], names[4]]))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no quorum"),
        (A, "no quorum"),
        ("quorum none", "does not end in a newline"),
        ("quorum none\nquorum none\n", "second quorum"),
        ("quorum a\n", "no witness or group before it"),
        (f"quorum a\n{A}", "no witness or group before it"),
        ("quorum\n", "not a log"),
        ("quorum none none\n", "not a log"),
        ("Quorum none\n", "not a log"),
        (f"log {LOG_KEY} url more\nquorum none\n", "not a log"),
        ("log\nquorum none\n", "not a log"),
        (f"log {LOG_KEY}\nlog {LOG_KEY}\nquorum none\n", "public key is there already"),
        (f"log {witness_key_text('a')}\nquorum none\n", "type 01"),
        (f"witness a {LOG_KEY}\nquorum a\n", "type 04"),
        ("log log.example+00000000+AQ==\nquorum none\n", "32 bytes, not 0"),
        (f"log {LOG_KEY[:-1]}\nquorum none\n", "verifier key"),
        (A + A.replace(" a ", " z ") + "quorum none\n", "public key is there already"),
        (A + B.replace(" b ", " a ") + "quorum none\n", "is taken"),
        (A.replace(" a ", " none ") + "quorum none\n", "is taken"),
        (f"{A}group a any a\nquorum a\n", "is taken"),
        (f"{A}group none any a\nquorum none\n", "is taken"),
        (f"{A}group g any\nquorum g\n", "not a log"),
        (f"{A}group g any none\nquorum g\n", "no witness or group before it"),
        (f"{A}group g any g\nquorum g\n", "no witness or group before it"),
        (f"group g any a\n{A}quorum g\n", "no witness or group before it"),
        (f"{A}group g any a a\nquorum g\n", "is a member already"),
        (f"{A}{B}group g any a\ngroup h any a b\nquorum h\n", "is a member already"),
        (f"{A}group g 0 a\nquorum g\n", "a number from 1 to 1"),
        (f"{A}group g 2 a\nquorum g\n", "a number from 1 to 1"),
        (f"{A}group g 01 a\nquorum g\n", "a number from 1 to 1"),
        (f"{A}group g +1 a\nquorum g\n", "a number from 1 to 1"),
        (f"{A}group g \u0661 a\nquorum g\n", "a number from 1 to 1"),
        ("quorum none\r\n", "control characters"),
        ("# \x7f\nquorum none\n", "control characters"),
        ("quorum\x0bnone\n", "control characters"),
        ("quorum\u00a0none\n", "not a log"),
        ("\u2028quorum none\n", "not a log"),
        (b"log \xff+00000000+AQ==\nquorum none\n", "UTF-8"),
        ("\n" * MAX_LINES + "quorum none\n", "lines, more than"),
        ("#" * MAX_POLICY_BYTES + "\nquorum none\n", "bytes, more than"),
    ],
)
def test_what_is_no_policy(text: str | bytes, why: str) -> None:
    assert why in refusal(text).message


def test_the_line_is_named() -> None:
    assert refusal(f"# one\n{A}quorum b\n").fields["line"] == "3"


def test_one_group_within_another() -> None:
    text = f"{A}{B}{C}group pair any a b\ngroup both all pair c\nquorum both\n"
    policy = parse_policy(text.encode())
    assert policy.groups[0] == Group("pair", 1, ("a", "b"))
    assert policy.is_quorum(frozenset("bc"))
    assert not policy.is_quorum(frozenset("ab"))
    assert not policy.is_quorum(frozenset(["both", "pair", "c"]))


def test_a_checkpoint_needs_its_log_and_its_quorum() -> None:
    tree, _ = tree_of(5)
    policy = parse_policy(policy_text("a b c", "2"))
    approved = policy.approve(parse_note(checkpoint_of(tree, by="a c")))
    assert approved.times == {"a": TIME, "c": TIME + 1}
    assert approved.checkpoint.size == 5
    assert approved.log.key.name == ORIGIN
    for by in ("", "a", "d e f", "a a"):
        with pytest.raises(AuditFailure) as caught:
            policy.approve(parse_note(checkpoint_of(tree, by=by)))
        assert caught.value.reason is Reason.QUORUM_UNMET
    # A key of another name is no key of this log, whoever holds it.
    other = format_vkey(NoteKey("log.example/other", signer_of(ORIGIN).public_key))
    stranger = parse_policy(policy_text("a", "1", other))
    with pytest.raises(AuditFailure) as caught:
        stranger.approve(parse_note(checkpoint_of(tree, by="a")))
    assert caught.value.reason is Reason.LOG_UNKNOWN
