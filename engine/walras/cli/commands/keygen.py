"""walras keygen"""

from pathlib import Path
from typing import Annotated

import typer

from walras.cli.output import Json, fields, next_step, print_json
from walras.sdk.keys import write_key


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(keygen)


def keygen(
    file: Annotated[Path, typer.Argument(help="Where the secret key goes; never overwritten.")],
    as_json: Json = False,
) -> None:
    """Make a key file."""
    public_key = write_key(file).public_key.hex()
    if as_json:
        print_json({"file": str(file), "public_key": public_key})
        return
    fields({"public key": public_key, "secret key": f"{file} (readable by you only)"})
    next_step(f"walras balances {public_key}", "what this key owns")
