"""Notes, cosignatures and witness requests that others made: the specifications' examples, a
checkpoint that a public log and its witnesses signed in 2026, and litewitness' own test session.
"""

import pytest
from support.witnesses import LOG_KEY, witness_key_text

from walras.audit.cosignature import WitnessKey, cosigned_at, parse_witness_key
from walras.audit.note import Head, NoteKey, is_signed, open_note, parse_note, parse_vkey
from walras.audit.policy import parse_policy
from walras.audit.witness import check_successor, parse_request, recognise
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError

# C2SP signed-note, "Verifier keys"
NOTE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = """This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""  # noqa: E501 - a signature line

# C2SP tlog-cosignature; its witness' key was not published
EXAMPLE = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""  # noqa: E501

# What the log "arche" and its witnesses published; the first line is an RFC 6962 signature.
PUBLISHED = """arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
"""  # noqa: E501
PUBLISHED_POLICY = """# three of those who cosigned it
log arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f
witness garden transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM
witness smartit witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO
witness remora remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2 https://remora.n621.de/
# one that did not
witness navigli witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G
group three 3 garden smartit remora navigli
quorum three
"""  # noqa: E501
PUBLISHED_AT = 0x6A122120

# The specification of tlog-policy shows this one, with the keys left out.
TWO_LEVELS = """log {log}

witness X1 {0}
witness X2 {1}
witness X3 {2}
group X-witnesses 2 X1 X2 X3

witness Y1 {3}
witness Y2 {4}
witness Y3 {5}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def test_the_example_of_signed_note_verifies() -> None:
    assert open_note(NOTE.encode(), parse_vkey(NOTE_KEY)) == "This is an example message.\n"


def test_the_example_of_a_cosignature_says_its_time() -> None:
    line = parse_note(EXAMPLE.encode()).signatures[1]
    assert line.name == "witness.example.com/w1"
    assert (line.key_id.hex(), len(line.data)) == ("8d66cf3f", 8 + 64)
    assert int.from_bytes(line.data[:8], "big") == 1_679_315_147


def test_a_published_checkpoint_satisfies_the_policy_of_its_witnesses() -> None:
    policy = parse_policy(PUBLISHED_POLICY.encode())
    approved = policy.approve(parse_note(PUBLISHED.encode()))
    assert approved.checkpoint.size == 1_432_088_532
    assert approved.times == dict.fromkeys(["garden", "smartit", "remora"], PUBLISHED_AT)
    assert policy.witnesses[2].url == "https://remora.n621.de/"
    stricter = parse_policy(PUBLISHED_POLICY.replace("three 3", "three all").encode())
    with pytest.raises(AuditFailure) as caught:
        stricter.approve(parse_note(PUBLISHED.encode()))
    assert caught.value.reason is Reason.QUORUM_UNMET
    assert "garden, remora, smartit" in caught.value.message


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("1432088532", "1432088533", Reason.CHECKPOINT_INVALID),
        ("U7WM79", "U7WM78", Reason.CHECKPOINT_INVALID),
        ("2net5wAAAABqEiEg", "2net5wAAAABqEiEh", Reason.COSIGNATURE_INVALID),
        ("2net5wAAAABqEiEgPlf", "2net5wAAAABqEiEgPlg", Reason.COSIGNATURE_INVALID),
        ("2net5wAAAABqEiEg", "2net54AAAABqEiEg", Reason.COSIGNATURE_INVALID),
        ("— remora.n621.de ", "— remora.n622.de ", Reason.QUORUM_UNMET),
        ("ui8GwCF1", "ui8GwSF1", Reason.LOG_UNKNOWN),
    ],
)
def test_a_published_checkpoint_that_was_changed_does_not(
    before: str, after: str, reason: Reason
) -> None:
    assert PUBLISHED.count(before) == 1
    note = parse_note(PUBLISHED.replace(before, after).encode())
    with pytest.raises(AuditFailure) as caught:
        parse_policy(PUBLISHED_POLICY.encode()).approve(note)
    assert caught.value.reason is reason


def test_a_logs_key_is_no_witness_key_nor_the_other_way_round() -> None:
    remora = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
    key = parse_witness_key(remora)
    assert key.id.hex() == "da77ade7"
    note = parse_note(PUBLISHED.encode())
    assert cosigned_at(note, key) == PUBLISHED_AT
    assert not is_signed(note, NoteKey(key.name, key.public_key))
    assert cosigned_at(note, WitnessKey("remora.n621.de/", key.public_key)) is None
    for parse, text in ((parse_vkey, remora), (parse_witness_key, NOTE_KEY)):
        with pytest.raises(InvalidInput) as caught:
            parse(text)
        assert caught.value.reason is Reason.PUBLIC_KEY_INVALID


def test_the_example_policy_needs_two_of_one_and_one_of_the_other() -> None:
    names = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
    text = TWO_LEVELS.format(*map(witness_key_text, names), log=LOG_KEY)
    policy = parse_policy(text.encode())
    for chosen in range(1 << len(names)):
        seen = {name for bit, name in enumerate(names) if chosen >> bit & 1}
        enough = sum(name[0] == "X" for name in seen) >= 2 and any(name[0] == "Y" for name in seen)
        assert policy.is_quorum(frozenset(seen)) == enough


# litewitness' test session, cmd/litewitness/testdata/litewitness.txt: its log, requests, answers

ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
LITE_KEY = NoteKey(
    ORIGIN,
    bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f"),
)
ONE = "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
THREE = "RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0="
FIVE = "QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY="
SIGNED = {
    ONE: "UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYraj"
    "XpNUbIQY=",
    THREE: "UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawf"
    "AB8WVrx6go=",
    FIVE: "UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWA"
    "Shei7sDww=",
}
TO_THREE = [
    "KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
]
TO_FIVE = [
    "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "KgMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "wgiIFdZfYNv6WU1OllBKsWnLYIS/DBMqt8Uh/S4OukE=",
    "KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
]
FROM_ONE_TO_FIVE = [TO_THREE[0], "+fUDV+k970B4I3uKrqJM4aP1lloPZP8mvr2Z4wRw2LI=", TO_FIVE[3]]


def body(old: int, proof: list[str], size: int, root: str, origin: str = ORIGIN) -> bytes:
    lines = [f"old {old}", *proof, "", origin, str(size), root, "", f"— {origin} {SIGNED[root]}"]
    return "".join(f"{line}\n" for line in lines).encode()


SESSION = [
    (body(0, [], 1, ONE), None),
    (body(1, TO_THREE, 3, THREE).replace(b"6go=", b"6gx="), Reason.MESSAGE_MALFORMED),
    (body(1, TO_THREE, 3, THREE).replace(b"6go=", b"6ho="), Reason.CHECKPOINT_INVALID),
    (body(1, TO_THREE, 3, THREE, f"{ORIGIN[:-1]}3"), Reason.LOG_UNKNOWN),
    (body(1, [], 3, THREE), Reason.PROOF_INVALID),
    (body(1, [TO_THREE[0], TO_THREE[1][:-3] + "BA="], 3, THREE), Reason.PROOF_INVALID),
    (body(1, TO_THREE, 3, THREE), None),
    (body(1, FROM_ONE_TO_FIVE, 5, FIVE), Reason.CHECKPOINT_STALE),
    (body(3, TO_FIVE, 5, FIVE), None),
    (body(0, [], 5, FIVE), Reason.CHECKPOINT_STALE),
    (body(5, [], 5, FIVE), None),
    (body(3, TO_THREE, 1, ONE), Reason.FIELD_INVALID),
]


def judged(data: bytes, latest: Head | None) -> Head:
    request = parse_request(data)
    recognise(request, {ORIGIN: [LITE_KEY]})
    check_successor(request, latest)
    return request.head


def test_litewitness_session_is_judged_as_litewitness_does() -> None:
    latest: Head | None = None
    for data, reason in SESSION:
        if reason is None:
            latest = judged(data, latest)
            continue
        with pytest.raises(WalrasError) as caught:
            judged(data, latest)
        assert caught.value.reason is reason
        if reason is Reason.CHECKPOINT_STALE:
            assert latest is not None
            assert caught.value.fields["size"] == str(latest.size)
    assert latest is not None
    assert latest.size == 5
