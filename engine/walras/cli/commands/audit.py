"""walras audit"""

from pathlib import Path
from typing import Annotated

import typer

from walras.audit.note import MAX_NOTE_BYTES, format_vkey
from walras.audit.proof import MAX_PROOF_BYTES, parse_proof
from walras.cli.auditing import Audited, Wanted, audit_files, key_of, opened, read_evidence
from walras.cli.output import Json, next_step, print_json, say
from walras.cli.state_file import read_state, write_state
from walras.witness.policy_file import read_policy

LogName = Annotated[
    str,
    typer.Argument(
        metavar="DIR|URL|ADDRESS", help="A log folder, its URL, or host:port of an engine."
    ),
]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        "-k",
        help="The log's verifier key, or a file with it, from a source you trust."
        " Unset: the one that the log itself names.",
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option(help="A tlog-policy file: which witnesses must have cosigned, and how many."),
]


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(audit)


def audit(
    log: LogName,
    key: Key = "",
    state: Annotated[
        Path | None,
        typer.Option(help="Go on from what the last audit left in this file, and leave it there."),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(help="A signed checkpoint that you audited: older signatures are believed."),
    ] = None,
    policy: PolicyFile = None,
    receipt: Annotated[
        list[Path] | None,
        typer.Option(help="A receipt, to be held against the log; repeat for more."),
    ] = None,
    evidence: Annotated[
        list[Path] | None,
        typer.Option(help="What a solver node kept (walras solver serve --evidence); repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a log: A every signature and inclusion, B every auction replayed, C nothing left out.

    Exit code 1 and the first wrong entry if it does not hold.
    """
    with opened(log, key) as source:
        note_key = key_of(source, key)
        wanted = Wanted(
            known=None if state is None else read_state(state, format_vkey(note_key)),
            since=b"" if since is None else _read(since, MAX_NOTE_BYTES),
            policy=None if policy is None else read_policy(policy),
            receipts=[parse_proof(_read(path, MAX_PROOF_BYTES)) for path in receipt or ()],
            evidence=read_evidence(evidence or ()),
        )
        done, known = audit_files(source, note_key, wanted)
    if state is not None:
        write_state(state, known)
    if as_json:
        print_json(done.document())
        return
    _show(done, log, key)


def _show(done: Audited, log: str, key: str) -> None:
    done.show()
    if not key:
        say("the key is the log's own word: whoever made the log chose it; give yours by --key")
    if ":" in log and not Path(log).is_dir() and "//" not in log:
        next_step(f"walras export {log} DIR", "keep this log")
    elif key:
        next_step(f"walras monitor {log} --key VKEY", "audit what comes from now on")
    else:
        next_step(f"walras audit {log} --key VKEY --json", "with a key from a source you trust")


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most + 1)
