"""walras simulate"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from walras.cli.output import (
    Json,
    fields,
    next_step,
    print_json,
    say,
    show,
    title,
    waiting,
)
from walras.core.errors import InvalidInput, Reason
from walras.simulator import plots
from walras.simulator.balancers import NAMES
from walras.simulator.build import check
from walras.simulator.fleet import simulate as run
from walras.simulator.result import Result
from walras.simulator.scenario import SCENARIOS, Scenario
from walras.simulator.service import KINDS, Service
from walras.simulator.table import COLUMNS, cells, document, load_text, scenario_document
from walras.simulator.trace import Trace, read_trace

_BETWEEN_REGIONS_MS = 80.0


def register(app: typer.Typer, name: str) -> None:
    """Add the command to the command line."""
    app.command(name)(simulate)


def simulate(
    scenario: Annotated[
        str, typer.Argument(help=f"One of {', '.join(SCENARIOS)}; none lists them.")
    ] = "",
    file: Annotated[
        Path | None, typer.Argument(help="Of `trace`: CSV, at_ms[,cost_us[,region[,key]]].")
    ] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help=f"Repeatable: {', '.join(NAMES)}.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="How many nodes.")] = None,
    slots: Annotated[int | None, typer.Option(help="Calls a node works on at once.")] = None,
    routers: Annotated[int | None, typer.Option(help="Independent routers.")] = None,
    load: Annotated[float | None, typer.Option(help="Share of the fleet's capacity.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long calls arrive.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same result.")] = None,
    timeout_ms: Annotated[int | None, typer.Option(help="When a call is given up.")] = None,
    service: Annotated[str, typer.Option(help=f"Distribution: {', '.join(KINDS)}.")] = "",
    service_ms: Annotated[float | None, typer.Option(help="Mean time a call takes.")] = None,
    scv: Annotated[float | None, typer.Option(help="Its variance / mean².")] = None,
    arrival_scv: Annotated[float | None, typer.Option(help="Burstiness; 1 is Poisson.")] = None,
    slow_nodes: Annotated[int | None, typer.Option(help="So many nodes are slow.")] = None,
    slow_factor: Annotated[float | None, typer.Option(help="How many times slower.")] = None,
    regions: Annotated[int | None, typer.Option(help="Regions; 80 ms apart if new.")] = None,
    max_wait_ms: Annotated[
        int | None, typer.Option(min=0, max=86_400_000, help="Of ring_hash: longest expected wait.")
    ] = None,
    plots_to: Annotated[
        Path | None, typer.Option("--plots", help="Write PNG files and a page into this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare balancing policies on a simulated fleet: the classes that the engine runs."""
    if not scenario:
        _list(as_json=as_json)
        return
    if plots_to is not None:
        plots.require()
    found = _named(scenario)
    trace = _trace(scenario, file)
    _check_used(trace, load=load, seconds=seconds, arrival_scv=arrival_scv)
    given = {
        "nodes": nodes, "slots": slots, "routers": routers, "load": load, "seconds": seconds,
        "seed": seed, "timeout_ms": timeout_ms, "arrival_scv": arrival_scv,
        "slow_nodes": slow_nodes, "slow_factor": slow_factor,
        "service": _service(found.service, service, service_ms, scv),
    }  # fmt: skip
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if load is not None:
        changes["ramp"] = ()
    if nodes is not None and found.groups:
        changes |= _resized(found, nodes)
    if regions is not None and regions != found.regions:
        changes |= {"regions": regions, "rtt_ms": _round_trips(regions)}
        changes.setdefault("routers", max(found.routers, regions))
    if max_wait_ms is not None:
        changes["rules"] = replace(found.rules, max_wait_ms=max_wait_ms)
    found = replace(found, **changes)
    check(found)
    policies = policy or list(found.policies)
    _check_policies(policies)
    results = _run_all(found, policies, trace)
    written = plots.write(plots_to, found, results) if plots_to is not None else []
    if as_json:
        print_json(
            {
                "scenario": scenario_document(found),
                "results": [document(result) for result in results],
                "plots": [str(path) for path in written],
            }
        )
        return
    _tell(found, results, "as recorded" if trace is not None else load_text(found))
    if written:
        next_step(f"open {written[-1]}", "all plots on a page")


def _list(*, as_json: bool) -> None:
    if as_json:
        print_json([{"name": found.name, "about": found.about} for found in SCENARIOS.values()])
        return
    fields({found.name: found.about for found in SCENARIOS.values()})
    next_step("walras simulate slow-nodes", "compare policies on one")


def _named(name: str) -> Scenario:
    if name not in SCENARIOS:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{name!r} is not a scenario",
            hint=f"one of {', '.join(SCENARIOS)}",
        )
    return SCENARIOS[name]


def _trace(scenario: str, file: Path | None) -> Trace | None:
    if (scenario == "trace") != (file is not None):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "the scenario `trace` needs a file, and no other takes one",
            hint="walras simulate trace FILE",
        )
    return None if file is None else read_trace(file)


def _check_used(trace: Trace | None, **given: float | None) -> None:
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if trace is not None and names:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"the trace says when calls arrive: {', '.join(names)} would do nothing",
            hint="leave it out",
        )


def _service(found: Service, kind: str, mean_ms: float | None, scv: float | None) -> Service | None:
    if kind and kind not in KINDS:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{kind!r} is not a distribution",
            hint=f"one of {', '.join(KINDS)}",
        )
    if scv is not None and not kind:
        kind = "lognormal"
    chosen = next((known for known in KINDS if known == kind), found.kind)
    mean_us = found.mean_us if mean_ms is None else mean_ms * 1_000
    return Service(chosen, mean_us, found.scv if scv is None else scv)


def _resized(found: Scenario, nodes: int) -> dict[str, Any]:
    """The groups of a scenario, and nodes with slots of their own, for so many nodes."""
    least = max(-(-found.nodes // group) for group in found.groups)
    if nodes < least:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"{found.name} has operator groups of {', '.join(map(str, found.groups))} in"
            f" {found.nodes} nodes: of {nodes}, some would have none",
            hint=f"give --nodes {least} or more",
        )
    own = found.first_slots
    return {
        "groups": tuple(group * nodes // found.nodes for group in found.groups),
        "first_slots": tuple(
            own[place * found.nodes // nodes] for place in range(len(own) * nodes // found.nodes)
        ),
    }


def _check_policies(policies: list[str]) -> None:
    for name in policies:
        if name not in NAMES:
            raise InvalidInput(
                Reason.FIELD_INVALID, f"{name!r} is not a policy", hint=f"one of {', '.join(NAMES)}"
            )


def _round_trips(regions: int) -> tuple[tuple[float, ...], ...]:
    if not 1 < regions <= 64:
        return ()
    names = range(regions)
    return tuple(tuple(1.0 if a == b else _BETWEEN_REGIONS_MS for b in names) for a in names)


def _run_all(scenario: Scenario, policies: list[str], trace: Trace | None) -> list[Result]:
    results = []
    for name in policies:
        with waiting(f"simulating {name}"):
            results.append(run(scenario, name, trace))
    return results


def _tell(scenario: Scenario, results: list[Result], load: str) -> None:
    title(scenario.name)
    say(
        f"{scenario.about}; {scenario.nodes} nodes of {scenario.slots} slots,"
        f" {scenario.routers} routers, load {load}, seed {scenario.seed}"
    )
    # A policy's name is text, all else are numbers.
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        made.add_column(column, justify="left" if column == "policy" else "right")
    for result in results:
        made.add_row(*cells(result))
    show(made)
    for result in results:
        if result.groups:
            shares = ", ".join(f"{100 * share:.1f} %" for share in result.groups)
            say(f"groups under {result.policy}: {shares}")
