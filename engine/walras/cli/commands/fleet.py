"""walras fleet list, show, drain, resume, verify, top, probe, simulate, ray"""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from walras.api.v1 import fleet_service_pb2
from walras.balance.queueing import MOST_WAIT_US
from walras.balance.status import State
from walras.cli.commands.probe import register as register_probe
from walras.cli.commands.ray_up import register as register_ray
from walras.cli.commands.simulate import register as register_simulate
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

Status = fleet_service_pb2.NodeStatus
_NEW = ("away", "joining")
"""States of configured nodes that the log does not know yet."""
FleetAnswer = fleet_service_pb2.GetFleetResponse


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
        print_json({"fleet": _document(fleet), "nodes": [_document(node) for node in nodes]})
        return
    show(_table(nodes))
    say(_summary(fleet, nodes))
    if nodes:
        next_step(f"walras fleet show {nodes[0].node.name} --address {address}", "one of them")
    else:
        say("the engine has no nodes: add [[solvers]] to its configuration")


def show_node(node: Node, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Show one node: what it is, how it does, and why it is asked or not."""
    status = asyncio.run(_one(address, node))
    if as_json:
        print_json(_document(status))
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
    if status.state in _NEW:
        fields(shown)
        next_step(f"walras fleet list --address {address}", "the others")
        return
    fields(shown | _figures(status))
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
            _ms(int(str(row["rtt_us"]))),
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
                    now = [_document(node) for node in nodes]
                    print_json_line({"fleet": _document(fleet), "nodes": now})
                elif on_screen:
                    # In the live view a line that does not wrap is cut, and alarms stand last.
                    summary = Text(_summary(fleet, nodes), no_wrap=False, overflow="fold")
                    live.update(Group(_table(nodes), summary), refresh=True)
                else:
                    show(_table(nodes))
                    say(_summary(fleet, nodes))
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


def _table(nodes: list[Status]) -> Table:
    made = table(
        "node", "state", "group", "region", "flight", "slots", "service ms", "rtt ms", "failed",
        right="flight slots service ms rtt failed",
    )  # fmt: skip
    for status in nodes:
        info = status.node
        state = status.state
        if not status.connected and state != "away":
            state = f"away, {state}"
        made.add_row(
            info.name,
            state,
            info.group,
            info.region,
            str(status.in_flight),
            str(info.slots),
            f"{status.service_us / 1_000:.1f}",
            _ms(status.rtt_us),
            f"{status.errors}/{status.calls}",
        )
    return made


def _summary(fleet: FleetAnswer, nodes: list[Status]) -> str:
    flow = fleet.concentration
    text = f"{_many(len(nodes), 'node')}, version {fleet.version}, {fleet.rules.policy}"
    if flow.nakamoto:
        text += (
            f"; order flow: HHI {flow.hhi_bps / 10_000:.2f}, Gini {flow.gini_bps / 10_000:.2f},"
            f" Nakamoto {flow.nakamoto}{', ALARM: concentrated' if flow.alarm else ''}"
        )
    return text + ("; PANIC: too few nodes are healthy, all are asked" if fleet.panic else "")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _ms(rtt_us: int) -> str:
    return f"{rtt_us / 1_000:.2f}" if rtt_us else ""


def _figures(status: Status) -> dict[str, str]:
    """What the log says of a node."""
    trip = "not measured by a quorum"
    if status.rtt_us:
        trip = f"{_ms(status.rtt_us)} ms, median of {_many(status.probers, 'prober')}"
    row = f"in a row failed {_many(status.call_errors, 'call')}"
    over = {"ends": f"in {status.until_ms / 1_000:.1f} s"} if status.until_ms else {}
    return over | {
        "takes": _taken(status),
        "service": f"{status.service_us / 1_000:.1f} ms, as the engine measures",
        "load": _load(status),
        "round trip": trip,
        "calls": f"{status.calls}, {status.errors} failed",
        "failing": f"{row}, {_many(status.probe_errors, 'probe')}",
        "ejections": f"{status.ejections}; each makes the next one longer",
        "broken promises": f"{status.fade_bps / 100:.2f} %",
        "blocks": f"{status.blocks}; each makes the next one twice as long",
        "weight": f"{status.warmth_bps / 100:.0f} %",
        "bond": status.bond,
        "canaries": f"{status.canaries_found} found, {status.canaries_missed} missed:"
        f" {status.canary_miss_bps / 100:.2f} % of the latest",
    }


def _load(status: Status) -> str:
    shown = f"{status.utilisation_bps / 100:.1f} % of what its slots can do"
    if status.wait_us >= MOST_WAIT_US:
        return f"{shown}; the wait grows without end"
    return f"{shown}; expected wait {status.wait_us / 1_000:.1f} ms"


def _taken(status: Status) -> str:
    info = status.node
    limits = [
        f"{', '.join(info.chains) or 'any chain'}",
        f"{', '.join(info.venue_kinds) or 'any venue'}",
    ]
    if info.max_intents:
        limits.append(f"at most {info.max_intents} intents")
    if info.max_venues:
        limits.append(f"at most {info.max_venues} venues")
    return "; ".join(limits)


def _document(message: FleetAnswer | Status) -> dict[str, object]:
    document = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if isinstance(message, Status):
        document["node"]["public_key"] = message.node.public_key.hex()
    else:
        document["rules"]["probers"] = [key.hex() for key in message.rules.probers]
    return document
