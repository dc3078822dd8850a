"""walras monitor"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import structlog
import typer

from walras.audit.note import parse_vkey
from walras.cli.auditing import opened
from walras.cli.commands.audit import PolicyFile
from walras.cli.lifetime import until_stopped
from walras.cli.logs import configure
from walras.cli.monitoring import Monitor
from walras.cli.options import parse_duration, parse_log_key
from walras.cli.output import Json, print_json_line
from walras.core.addresses import is_address
from walras.core.errors import InvalidInput, Reason
from walras.web.log_url import is_url
from walras.witness.policy_file import read_policy

log = structlog.get_logger()

T = TypeVar("T")


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(monitor)


def monitor(
    source: Annotated[str, typer.Argument(metavar="DIR|URL", help="A log folder, or its URL.")],
    key: Annotated[
        str,
        typer.Option(
            "--key",
            "-k",
            help="The log's verifier key, or a file with it, from a source you trust.",
        ),
    ],
    policy: PolicyFile = None,
    state: Annotated[
        Path | None, typer.Option(help="File that the watch goes on from after a restart.")
    ] = None,
    interval: Annotated[str, typer.Option(help="Between two rounds: 10s, 5m.")] = "60s",
    max_age: Annotated[
        str, typer.Option(help="How long the log may show nothing newer: 15m, 2h.")
    ] = "15m",
    proven: Annotated[
        bool, typer.Option("--proven", help="End at an award that is not proven optimal, too.")
    ] = False,
    evidence: Annotated[
        Path, typer.Option(help="Folder for what is found wrong; made if need be.")
    ] = Path("walras-evidence"),
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
    as_json: Json = False,
) -> None:
    """Audit a log as it grows, until SIGTERM or Ctrl-C, or until something is wrong.

    A fork, a record that does not follow, or a log that is frozen: exit code 1, and the evidence is
    in files. Each round is one line, on stderr; with --json on stdout.
    """
    configure()
    if is_address(source) and not Path(source).is_dir() and not is_url(source):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "a monitor watches the log that everybody sees: a folder or a URL",
            hint="the [log] table of the engine's configuration serves it",
        )
    with opened(source) as files:
        watch = Monitor(
            files,
            parse_vkey(parse_log_key(key)),
            policy=None if policy is None else read_policy(policy),
            state=state,
            evidence=evidence,
            max_age_s=parse_duration(max_age) // 1000,
            proven=proven,
        )
        asyncio.run(
            _watch(watch, parse_duration(interval) / 1000, with_parent=with_parent, as_json=as_json)
        )


async def _watch(watch: Monitor, pause_s: float, *, with_parent: bool, as_json: bool) -> None:
    with until_stopped(with_parent=with_parent) as stop:
        while not stop.is_set():
            looking = asyncio.ensure_future(_in_thread(watch.round))
            stopping = asyncio.ensure_future(stop.wait())
            await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not looking.done():
                looking.cancel()  # its thread ends with this process; files are replaced whole
                return
            told = looking.result().document()
            if as_json:
                print_json_line(told)
            elif told["ok"]:
                log.info("round", **told)
            else:
                log.warning("round", **told)
            try:
                async with asyncio.timeout(pause_s):
                    await stop.wait()
            except TimeoutError:
                continue


async def _in_thread(work: Callable[[], T]) -> T:
    """As `asyncio.to_thread`, in a thread that keeps no process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # a result where there is no error

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001 - handed on
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, daemon=True, name="monitor").start()
    return await done
