"""The `walras` command.

Each command is a module that is imported only when it is called, so that `walras --help` answers
at once.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any

import typer

from walras import __version__
from walras.core.errors import AuditFailure, InvalidInput, Reason, WalrasError

COMMANDS = {
    "demo": "Watch it all: an engine, two solvers, signed intents, auctions, an audit.",
    "dev": "Run an engine with a generated market and traffic until Ctrl-C.",
    "serve": "Run an engine.",
    "health": "Ask a server whether it serves.",
    "keygen": "Make a key file.",
    "keys": "Rotate an engine's keys, and follow them.",
    "submit": "Sign an intent and hand it in.",
    "cancel": "Take an intent back.",
    "watch": "Follow intents or auctions.",
    "why": "Say why an intent was not filled, or a bid did not win.",
    "balances": "Show what an owner has.",
    "load": "Put a market file into an engine, as an operator.",
    "deposit": "Credit an owner, as an operator.",
    "feed": "Say what assets are worth, as a feeder.",
    "withdraw": "Take an amount out.",
    "generate": "Write a synthetic market file.",
    "import": "Turn a published instance into a market file.",
    "auction": "Run one batch of a market file, as the engine does.",
    "solver": "List, serve and check solvers.",
    "replay": "Re-run logged auctions with other solvers or rules.",
    "bound": "Say how near logged auctions came to what any bids could score.",
    "fleet": "See, drain, verify and extend the fleet of solver nodes.",
    "simulate": "Simulate a fleet under load with the policies that the engine runs.",
    "export": "Write a server's log to a folder.",
    "log": "Serve a log folder over HTTP.",
    "witness": "Run a witness: cosign logs that only ever grow.",
    "receipt": "Get and verify receipts as files.",
    "audit": "Check a log: signatures, replay, completeness.",
    "monitor": "Audit a log as it grows, for ever, and keep the evidence.",
}
"""Command → what it does, in a line; its module is walras.cli.commands.<command>."""

INTERRUPTED = 130

_OS_HINTS: dict[type[OSError], str] = {
    FileNotFoundError: "check the path",
    FileExistsError: "a folder is needed, and a file stands there: choose another path",
    NotADirectoryError: "a part of the path is a file: choose another path",
    IsADirectoryError: "a file is needed, and a folder stands there: choose another path",
    PermissionError: "choose a path that you may read and write",
}

_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""Above BadParameter stands UsageError, which typer does not show in public."""


def main() -> None:
    """Run the command line and exit."""
    # gRPC's own lines would stand between ours; what goes wrong is reported as an error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run `args`; returns the exit code: 0 done, 1 failed, 2 wrong input, 130 interrupted."""
    try:
        command = typer.main.get_command(_app(args))
        code = command.main(args, prog_name="walras", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be flushed to it at exit.
        sys.stdout = None
        return 1
    except Exception as error:
        if isinstance(error, _USAGE_ERROR) and not error.format_message():
            return 2  # no command was named; the overview was shown
        found = _explained(error, args)
        if found is None:
            raise
        # What a child says on stderr is for people to read, whatever its stdout is for.
        _show(found, as_json="--json" in args and "--with-parent" not in args)
        return 2 if isinstance(found, InvalidInput) else 1
    return code if isinstance(code, int) else 0


def _app(args: list[str]) -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    called = next((arg for arg in args if not arg.startswith("-")), "")
    for name, line in COMMANDS.items():
        if name == called:
            # "import" is a keyword and cannot name a module.
            module = f"{name}_" if iskeyword(name) else name
            with _starting(args):
                found = import_module(f"walras.cli.commands.{module}")
            found.register(app, name)
        else:
            app.command(name, help=line)(_not_called)
    return app


@contextmanager
def _starting(args: list[str]) -> Iterator[None]:
    """A spinner on a terminal: what an engine needs takes a second or two to load."""
    # A child shares its parent's terminal, which shows one already.
    if not sys.stderr.isatty() or "--with-parent" in args:
        yield
        return
    from walras.cli.output import waiting  # noqa: PLC0415 - nobody looks elsewhere

    with waiting("starting"):
        yield


def _not_called() -> None:
    """Stands for a command in the overview."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"walras {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """An intent auction engine: signed trade intents in, audited settlements out."""


def _explained(error: BaseException, args: list[str]) -> WalrasError | None:
    """The error that a person can act on; None where there is none."""
    if isinstance(error, WalrasError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name and "walras" not in error.name:
        return InvalidInput(
            Reason.CONFIG_INVALID,
            f"this takes an engine's dependencies, and {error.name} is not installed",
            hint="pip install 'walras[engine]'; audit and monitor do without, on files",
        )
    if isinstance(error, BaseExceptionGroup):
        # An engine's tasks end together; the first that can say why speaks.
        return next(filter(None, (_explained(inner, args) for inner in error.exceptions)), None)
    if isinstance(error, _USAGE_ERROR):
        name = next((arg for arg in args if arg in COMMANDS), "")
        return InvalidInput(
            Reason.FIELD_INVALID,
            str(error.format_message()),
            hint=f"see: walras {name}{' ' if name else ''}--help",
        )
    if isinstance(error, OSError) and error.filename is not None:
        hint = next((text for kind, text in _OS_HINTS.items() if isinstance(error, kind)), "")
        message = f"{error.filename}: {error.strerror}"
        return InvalidInput(Reason.FIELD_INVALID, message, hint=hint)
    return None


def _show(error: WalrasError, *, as_json: bool) -> None:
    if as_json:
        document = {
            "reason": error.reason.value,
            "message": error.message,
            "hint": error.hint,
            "fields": dict(error.fields),
        }
        print(json.dumps({"error": document}), file=sys.stderr)
        return
    verdict = "audit failed" if isinstance(error, AuditFailure) else "error"
    print(f"{verdict}: {error.reason}: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    main()
