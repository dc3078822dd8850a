"""walras fleet list, show, drain, resume, verify, top, probe, simulate, ray"""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from walras.balance.status import State
from walras.cli.commands.probe import register as register_probe
from walras.cli.commands.ray_up import register as register_ray
from walras.cli.commands.simulate import register as register_simulate
from walras.cli.fleet_view import (
    NOT_LOGGED,
    FleetAnswer,
    Status,
    document,
    figures,
    milliseconds,
    node_table,
    summary,
)
from walras.cli.options import DEFAULT_ADDRESS, Address, KeyFile, LogKey, parse_id
from walras.cli.output import (
    Json,
    fields,
    next_step,
    print_json,
    print_json_line,
    say,
    show,
    stdout,
    table,
)
from walras.cli.remote import checked_receipt, log_of
from walras.core.errors import InvalidInput, Reason
from walras.protocol.fleet import FleetUpdate
from walras.sdk.client import Client
from walras.sdk.keys import read_key
from walras.sdk.signing import fresh_nonce, sign_record

if TYPE_CHECKING:
    from walras.cli.auditing import Audited

Node = Annotated[str, typer.Argument(metavar="NODE", help="A node's name or public key.")]
Nodes = Annotated[list[str], typer.Argument(metavar="NODE…", help="Names or public keys.")]


def register(app: typer.Typer, name: str) -> None:
    """Add the commands to the command line."""
    group = typer.Typer(no_args_is_help=True, help="See, drain and verify the solver nodes.")
    group.command("list")(list_nodes)
    group.command("show")(show_node)
    group.command("drain")(drain)
    group.command("resume")(resume)
    group.command("verify")(verify)
    group.command("top")(top)
    register_probe(group, "probe")
    register_simulate(group, "simulate")
    register_ray(group, "ray")
    app.add_typer(group, name=name)


def list_nodes(address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the nodes of an engine with their standing."""
    fleet, nodes = asyncio.run(_read(address))
    if as_json:
        print_json({"fleet": document(fleet), "nodes": [document(node) for node in nodes]})
        return
    show(node_table(nodes))
    say(summary(fleet, nodes))
    if nodes:
        next_step(f"walras fleet show {nodes[0].node.name} --address {address}", "one of them")
    else:
        say("the engine has no nodes: add [[solvers]] to its configuration")


def show_node(node: Node, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Show one node: what it is, how it does, and why it is asked or not."""
    status = asyncio.run(_one(address, node))
    if as_json:
        print_json(document(status))
        return
    info = status.node
    shown = {
        "name": info.name,
        "public key": info.public_key.hex() or "not known before it is connected",
        "state": f"{status.state}{': ' if status.why else ''}{status.why}",
        "address": status.address or "not connected since the engine started",
        "group, region": f"{info.group or 'its own'}, {info.region or 'not said'}",
        "slots": f"{info.slots}, {status.in_flight} calls in flight",
    }
    if status.state in NOT_LOGGED:
        fields(shown)
        next_step(f"walras fleet list --address {address}", "the others")
        return
    fields(shown | figures(status))
    does, why = "drain", "take it out of service"
    if status.state == State.DRAINING:
        does, why = "resume", "take it back"
    next_step(f"walras fleet {does} {info.name} --key operator.key --address {address}", why)


def drain(
    nodes: Nodes,
    key: KeyFile,
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Ask nodes nothing more, as an operator; what they work on ends by itself."""
    asyncio.run(_update(nodes, key, address, log_key, drained=True, as_json=as_json))


def resume(
    nodes: Nodes,
    key: KeyFile,
    address: Address = DEFAULT_ADDRESS,
    log_key: LogKey = "",
    as_json: Json = False,
) -> None:
    """Take drained nodes back, as an operator."""
    asyncio.run(_update(nodes, key, address, log_key, drained=False, as_json=as_json))


def verify(
    log: Annotated[
        str, typer.Argument(metavar="DIR|ADDRESS", help="A log folder, or host:port of an engine.")
    ],
    key: Annotated[
        str, typer.Option("--key", "-k", help="The log's verifier key, from a source you trust.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Recompute from the log who was asked and how every node stands.

    Every draw, ejection and block is made again; exit code 1 and the first wrong entry if one does
    not follow.
    """
    # What replays a log takes seconds to load; the other commands need not wait for it.
    from walras.cli.auditing import audit_log, split_views  # noqa: PLC0415 - see above

    done = audit_log(log, key)
    rows = _standings(done)
    fleet = done.state.fleet
    if as_json:
        print_json(
            {
                "ok": True,
                "version": fleet.version,
                "policy": fleet.rules.policy,
                "asked": done.counts.asked,
                "observations": done.counts.records["observations"],
                "passed_over": dict(done.counts.passed_over),
                "split_views": split_views(done.counts.split_views),
                "at_ms": fleet.at_ms,
                "nodes": rows,
            }
        )
        return
    made = table(
        "node", "state", "service ms", "rtt ms", "calls", "failed", "ejections", "bond",
        right="service ms rtt calls failed ejections bond",
    )  # fmt: skip
    for row in rows:
        made.add_row(
            str(row["name"]),
            str(row["state"]),
            f"{int(str(row['service_us'])) / 1_000:.1f}",
            milliseconds(int(str(row["rtt_us"]))),
            *(str(row[name]) for name in ("calls", "errors", "ejections", "bond")),
        )
    show(made)
    when = datetime.fromtimestamp(fleet.at_ms / 1_000, UTC).isoformat(timespec="seconds")
    say(
        f"version {fleet.version} of the fleet as of {when}: {done.counts.asked} calls asked for by"
        f" {fleet.rules.policy}, {done.counts.records['observations']} probers' reports;"
        " every draw and every change follows from the log"
    )
    for name, times in sorted(done.counts.passed_over.items()):
        say(
            f"note: {name} was passed over {times} times as not connected, while a quorum of"
            " probers saw it alive"
        )
    for view in done.counts.split_views:
        name = fleet.nodes[view.node].name if view.node in fleet.nodes else view.node.hex()
        say(
            f"note: by entry {view.index} {name} signed that the log had the root"
            f" {view.root.hex()} at {view.size} entries, which it had not: ask for its checkpoint"
        )
    next_step(f"walras audit {log}", "all the rest of it")


def top(
    address: Address = DEFAULT_ADDRESS,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    count: Annotated[int, typer.Option(min=0, help="Looks; 0 for ever.")] = 0,
    as_json: Json = False,
) -> None:
    """Watch the fleet live, until Ctrl-C."""
    asyncio.run(_top(address, interval, count, as_json=as_json))


async def _top(address: str, interval: float, count: int, *, as_json: bool) -> None:
    looks = 0
    live = Live(console=stdout, auto_refresh=False)
    on_screen = stdout.is_terminal and not as_json
    async with Client(address) as client:
        with live if on_screen else nullcontext():
            while True:
                fleet, nodes = await _look(client)
                looks += 1
                if as_json:
                    now = [document(node) for node in nodes]
                    print_json_line({"fleet": document(fleet), "nodes": now})
                elif on_screen:
                    # In the live view a line that does not wrap is cut, and alarms stand last.
                    last = Text(summary(fleet, nodes), no_wrap=False, overflow="fold")
                    live.update(Group(node_table(nodes), last), refresh=True)
                else:
                    show(node_table(nodes))
                    say(summary(fleet, nodes))
                if looks == count:
                    return
                await asyncio.sleep(interval)


async def _read(address: str) -> tuple[FleetAnswer, list[Status]]:
    async with Client(address) as client:
        return await _look(client)


async def _look(client: Client) -> tuple[FleetAnswer, list[Status]]:
    nodes = [node async for node in client.nodes()]
    return await client.fleet(), sorted(nodes, key=lambda status: status.node.name)


async def _one(address: str, node: str) -> Status:
    async with Client(address) as client:
        return await _find(client, node)


async def _find(client: Client, node: str) -> Status:
    try:
        return await client.node(name=node)
    except InvalidInput as error:
        if error.reason is not Reason.NODE_UNKNOWN or len(node) != 64:
            raise
        return await client.node(public_key=parse_id(node, "a public key"))


async def _update(
    nodes: list[str], key: KeyFile, address: str, log_key: str, *, drained: bool, as_json: bool
) -> None:
    signer = read_key(key)
    async with Client(address) as client:
        log = await log_of(client, log_key)
        keys = tuple(sorted({(await _find(client, node)).node.public_key for node in nodes}))
        record = FleetUpdate(
            log.domain,
            signer.public_key,
            fresh_nonce(),
            drained=keys if drained else (),
            resumed=() if drained else keys,
        )
        envelope = sign_record(record, signer)
        answer = await client.update_fleet(envelope)
    receipt = checked_receipt(envelope, answer.receipt, log)
    done = "drained" if drained else "resumed"
    if as_json:
        print_json({done: [key.hex() for key in keys], **receipt})
        return
    fields({done: ", ".join(nodes), **receipt, "log key": log.remark})
    next_step(f"walras fleet list --address {address}", "how the nodes stand now")


def _standings(done: "Audited") -> list[dict[str, object]]:
    fleet = done.state.fleet
    rows: list[dict[str, object]] = []
    for key, info in sorted(fleet.nodes.items(), key=lambda item: item[1].name):
        status = fleet.standing.status(key, fleet.at_ms)
        rows.append(
            {
                "name": info.name,
                "public_key": key.hex(),
                "group": info.group,
                "region": info.region,
                "state": status.state,
                "why": status.why,
                "service_us": status.service_us,
                "utilisation_bps": status.utilisation_bps,
                "wait_us": status.wait_us,
                "rtt_us": status.rtt_us,
                "probers": status.probers,
                "calls": status.calls,
                "errors": status.errors,
                "ejections": status.ejections,
                "fade_bps": status.fade_bps,
                "bond": str(status.stake),
            }
        )
    return rows
