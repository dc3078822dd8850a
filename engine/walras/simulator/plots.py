"""Pictures of a comparison: PNG files, and one HTML page that needs nothing else."""

from html import escape
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from walras.core.errors import InvalidInput, Reason
from walras.simulator.result import Result
from walras.simulator.scenario import Scenario
from walras.simulator.table import COLUMNS, cells, load_text

_SIZE = (9.0, 4.5)
_DOTS = 120
_POINTS = 2_000


def require() -> None:
    """Raises InvalidInput where matplotlib is missing."""
    if find_spec("matplotlib") is None:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "plots need matplotlib, which is not installed",
            hint="pip install 'walras[plots]'",
        )


def write(folder: Path, scenario: Scenario, results: list[Result]) -> list[Path]:
    """Write latency.png, time.png, flow.png and index.html into `folder`, made if need be;
    returns their paths. Raises InvalidInput without matplotlib; OSError.
    """
    require()
    # The figure alone, never pyplot: no display is looked for and nothing is kept.
    from matplotlib import rc_context  # noqa: PLC0415 - an extra: loaded where it is needed
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    folder.mkdir(parents=True, exist_ok=True)
    written, drawings = [], []
    for name, paint in (("latency", _latency), ("time", _time), ("flow", _flow)):
        figure = Figure(figsize=_SIZE, layout="constrained")
        paint(figure, results)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=_DOTS)
        written.append(path)
        text = StringIO()
        # The same results make the same page; ids differ between its drawings.
        with rc_context({"svg.hashsalt": name}):
            figure.savefig(text, format="svg", metadata={"Date": None})
        drawings.append(text.getvalue())
    page = folder / "index.html"
    page.write_text(_page(scenario, results, drawings), encoding="utf-8")
    return [*written, page]


def _latency(figure: Any, results: list[Result]) -> None:
    """Which share of calls took longer, both axes logarithmic: the tail is what is looked at."""
    axes = figure.subplots()
    for result in results:
        count = len(result.latencies_ms)
        if not count:
            continue
        # Dense in the tail, where few calls are.
        ranks = np.unique(count - np.geomspace(1, count, _POINTS).astype(int))
        axes.plot(result.latencies_ms[ranks], 1 - ranks / count, label=result.policy)
    axes.set(xscale="log", yscale="log", xlabel="latency, ms", ylabel="share of calls above")
    axes.set_title("Latency")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()


def _time(figure: Any, results: list[Result]) -> None:
    """The 99th percentile and failures over time."""
    above, below = figure.subplots(2, sharex=True, height_ratios=(2, 1))
    for result in results:
        at = [window.from_s for window in result.series]
        above.plot(at, [window.p99_ms for window in result.series], label=result.policy)
        failed = [100 * window.failed / max(1, window.calls) for window in result.series]
        below.plot(at, failed)
    above.set(yscale="log", ylabel="p99, ms")
    above.set_title("Over time, by when calls arrived")
    above.legend()
    below.set(xlabel="seconds", ylabel="failed, %")
    for axes in (above, below):
        axes.grid(visible=True, which="major", alpha=0.3)


def _flow(figure: Any, results: list[Result]) -> None:
    """Each node's share of the calls, by its number."""
    axes = figure.subplots()
    for result in results:
        total = max(1, sum(result.flow))
        shares = [100 * count / total for count in result.flow]
        axes.step(range(len(shares)), shares, where="mid", label=result.policy)
    axes.set(xlabel="node", ylabel="share of calls, %", ylim=(0, None))
    axes.set_title("Flow")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .7rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr + tr { border-top: 1px solid #ccc }
svg { max-width: 100%; height: auto }
"""


def _page(scenario: Scenario, results: list[Result], drawings: list[str]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells(result)) + "</tr>"
        for result in results
    )
    # What stands before <svg> is for files of their own.
    pictures = "".join(f"<figure>{svg[svg.index('<svg') :]}</figure>" for svg in drawings)
    name = escape(scenario.name)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{name}</h1><p>{escape(scenario.about)}. "
        f"{scenario.nodes} nodes of {scenario.slots} slots, {scenario.routers} routers, "
        f"load {escape(load_text(scenario))}, seed {scenario.seed}.</p>"
        f"<table><tr>{heads}</tr>{rows}</table>{pictures}</body></html>"
    )
