"""walras audit"""

from pathlib import Path
from typing import Annotated

import typer

from walras.cli.auditing import audit_log
from walras.cli.output import Json, next_step, print_json, say


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(audit)


def audit(
    log: Annotated[
        str, typer.Argument(metavar="DIR|ADDRESS", help="A log folder, or host:port of an engine.")
    ],
    key: Annotated[
        str,
        typer.Option(
            "--key",
            "-k",
            help="The log's verifier key, or a file with it, from a source you trust."
            " Unset: the one that the log itself names.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Check a log: A every signature and inclusion, B every auction replayed, C nothing left out.

    Exit code 1 and the first wrong entry if it does not hold.
    """
    done = audit_log(log, key)
    if as_json:
        print_json(done.document())
        return
    done.show()
    if not key:
        say("the key is the log's own word: whoever made the log chose it; give yours by --key")
    if Path(log).is_dir():
        next_step(f"walras audit {log} --key VKEY --json", "with a key from a source you trust")
    else:
        next_step(f"walras export {log} DIR", "keep this log")
