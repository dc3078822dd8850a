"""What FleetService says, for people and as JSON."""

from google.protobuf.json_format import MessageToDict
from rich.table import Table

from walras.api.v1 import fleet_service_pb2
from walras.balance.queueing import MOST_WAIT_US
from walras.cli.output import table

Status = fleet_service_pb2.NodeStatus
FleetAnswer = fleet_service_pb2.GetFleetResponse
NOT_LOGGED = ("away", "joining")
"""States of configured nodes that the log does not know yet."""


def node_table(nodes: list[Status]) -> Table:
    """A row for each node."""
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
            milliseconds(status.rtt_us),
            f"{status.errors}/{status.calls}",
        )
    return made


def summary(fleet: FleetAnswer, nodes: list[Status]) -> str:
    """The fleet in a line, alarms last."""
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


def milliseconds(rtt_us: int) -> str:
    """Empty where there is no round trip."""
    return f"{rtt_us / 1_000:.2f}" if rtt_us else ""


def figures(status: Status) -> dict[str, str]:
    """What the log says of a node."""
    trip = "not measured by a quorum"
    if status.rtt_us:
        trip = f"{milliseconds(status.rtt_us)} ms, median of {_many(status.probers, 'prober')}"
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


def document(message: FleetAnswer | Status) -> dict[str, object]:
    """For JSON."""
    found = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if isinstance(message, Status):
        found["node"]["public_key"] = message.node.public_key.hex()
    else:
        found["rules"]["probers"] = [key.hex() for key in message.rules.probers]
    return found
