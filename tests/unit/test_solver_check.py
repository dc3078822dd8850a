"""`walras solver check`: what a node does well or wrong is found, and said with what to do."""

import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs
from support.nodes import SERVICE, Babbler, Impostor, serving
from support.solvers import Raising

from walras.api.v1.solver_service_pb2 import DescribeResponse
from walras.app.config import SolverConfig
from walras.auction.dispatch import takes
from walras.audit.keys import Signer
from walras.audit.openings import seal_bid
from walras.balance.rules import NodeInfo
from walras.cli import solver_conformance, solver_subject, solver_trial
from walras.cli.main import run
from walras.cli.sealed_market import DOMAIN, seal_market
from walras.cli.solver_advice import ADVICE
from walras.cli.solver_checking import Plan, builtin_solvers, check
from walras.cli.solver_conformance import CHECKS, examine
from walras.cli.solver_problems import Case, cases, fitted
from walras.cli.solver_report import document, print_report
from walras.cli.solver_score import Summary, compare, findings, percent, summary
from walras.cli.solver_subject import GONE_ADVICE, Finding, Problems, Subject, Verdict
from walras.cli.solver_trial import Asker, Trial
from walras.core.errors import InvalidInput, Reason
from walras.datasets.generate import START_MS
from walras.datasets.varied import varied
from walras.fleet.nodes import Node, NodeSpec
from walras.market.kinds import KINDS
from walras.protocol.problem import Problem
from walras.sdk import Deadline, Description, Fill, Proposal
from walras.sdk import node as sdk
from walras_solvers.baseline import Baseline

SIGNER = Signer.from_seed(bytes(range(32)))
Captured = pytest.CaptureFixture[str]


def problem(intents: int, seed: int = 1) -> Problem:
    return seal_market(varied(seed, domain=DOMAIN, intents=intents, kinds=KINDS), START_MS)


SMALL, LARGE = problem(10), problem(40)
PROBLEMS = Problems(SMALL, LARGE, problem(150), seconds=3.0)


@asynccontextmanager
async def connected(served: sdk.Node) -> AsyncIterator[tuple[Node, Asker]]:
    """A node on loopback as an engine has it, and who asks it."""
    asker = Asker()
    async with serving(served) as address:
        node = Node(NodeSpec("subject", address=address))
        await node.connect()
        try:
            yield node, asker
        finally:
            await node.close()
            asker.close()


async def examined(served: sdk.Node, problems: Problems = PROBLEMS) -> dict[str, Finding]:
    async with connected(served) as (node, asker):
        return {found.check: found async for found in examine(Subject(node, asker, problems))}


async def asked(served: sdk.Node, made: Problem = SMALL) -> Trial:
    async with connected(served) as (node, asker):
        return await asker.ask(node, [made], 5.0)


# --- one problem, asked as an engine asks --------------------------------------------------------


async def test_bids_are_committed_to_opened_and_judged() -> None:
    trial = await asked(sdk.Node(Baseline(), SIGNER))
    assert len(trial.valid) == len(trial.bids) == trial.commitments > 2
    assert (trial.rejected, trial.late, trial.fault) == ([], False, None)
    assert 0 < trial.seconds < 5
    assert all(bid.salt for bid in trial.bids)


async def test_bids_come_in_the_open_where_the_rules_say_so() -> None:
    trial = await asked(
        sdk.Node(Baseline(), SIGNER),
        replace(SMALL, rules=replace(SMALL.rules, sealed_bids=False)),
    )
    assert trial.commitments == 0
    assert len(trial.valid) == len(trial.bids) > 2


class Greedy:
    """Fills everything at a price of one for one."""

    def describe(self) -> Description:
        return Description("greedy", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
        for name, found in problem.intents.items():
            prices = dict.fromkeys(found.intent.assets, 1)
            yield Proposal((Fill(name, found.remaining),), prices)


async def test_a_rejected_bid_comes_with_its_rule_and_numbers() -> None:
    trial = await asked(sdk.Node(Greedy(), SIGNER))
    assert trial.valid == []
    assert len(trial.rejected) == len(SMALL.intents)
    reasons = {error.reason for error in trial.rejected}
    assert reasons <= {Reason.LIMIT_BROKEN, Reason.COLLAR_BROKEN, Reason.NOT_CONSERVED}
    broken = next(e for e in trial.rejected if e.reason is Reason.LIMIT_BROKEN)
    assert {"intent", "least", "settlement", "units"} <= broken.fields.keys()


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (Impostor(Baseline(), SIGNER, Signer.from_seed(bytes(32))), Reason.SOLVER_MISMATCH),
        (Babbler(Baseline(), SIGNER), Reason.ENVELOPE_MALFORMED),
    ],
)
async def test_a_bid_in_somebody_elses_name_is_none(served: sdk.Node, reason: Reason) -> None:
    trial = await asked(served)
    assert {error.reason for error in trial.rejected} == {reason}
    assert trial.valid == []


class Silent(sdk.Node):
    """Commits, and opens nothing."""

    async def _open(self, *_: object) -> None:
        return


async def test_commitments_that_are_not_opened_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_trial, "OPEN_SECONDS", 0.2)
    trial = await asked(Silent(Baseline(), SIGNER))
    assert {error.reason for error in trial.unopened} == {Reason.OPENING_MISSING}
    assert len(trial.unopened) == trial.commitments > 0
    found = {
        one.check: one for one in findings("x", [compare(Case("here", SMALL), 1, {"x": trial})])
    }
    assert found["sealed"].verdict is found["bids"].verdict is Verdict.FAILED
    assert "go on reading after the last bid" in found["sealed"].advice


async def test_an_opening_to_another_bid_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "walras.sdk.bidding.seal_bid", lambda bid, salt, key: seal_bid(bid + b"!", salt, key)
    )
    trial = await asked(sdk.Node(Baseline(), SIGNER))
    assert {error.reason for error in trial.unopened} == {Reason.OPENING_INVALID}
    assert "not what was committed to" in trial.unopened[0].message


# --- conduct --------------------------------------------------------------------------------------


async def test_a_built_in_solver_passes_every_check() -> None:
    found = await examined(sdk.Node(Baseline(), SIGNER))
    assert list(found) == list(CHECKS)
    wrong = {name: one for name, one in found.items() if one.verdict is Verdict.FAILED}
    assert wrong == {}
    assert found["same"].verdict is Verdict.OK
    assert "baseline 1" in found["describe"].said
    assert "NODE_FAILED" in found["unknown kind"].said  # the harness refuses what it cannot read


class Deaf(Baseline):
    """Looks at no deadline where there is much to do."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
        if len(problem.intents) >= len(LARGE.intents):
            time.sleep(0.9)
        yield from super().solve(problem, Deadline.after(60))


async def test_who_works_on_after_the_deadline_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver_subject, "LATE_SECONDS", 0.2)
    for module in (solver_subject, solver_conformance):
        monkeypatch.setattr(module, "RELEASE_SECONDS", 0.4)
    found = await examined(sdk.Node(Deaf(), SIGNER))
    assert found["deadline"].verdict is found["cancel"].verdict is Verdict.FAILED
    assert "still at work" in found["deadline"].said
    assert "deadline.remaining()" in found["cancel"].advice


class Dice(Baseline):
    """Bids by chance."""

    def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
        for proposal in super().solve(problem, deadline):
            scale = random.randrange(1, 1 << 60)
            yield replace(proposal, prices={a: p * scale for a, p in proposal.prices.items()})


async def test_chance_is_reported_and_allowed() -> None:
    found = await examined(sdk.Node(Dice(), SIGNER))
    assert found["same"].verdict is Verdict.NOTE
    assert "0 of them the same" in found["same"].said
    assert all(one.verdict is not Verdict.FAILED for one in found.values())


async def test_an_exception_is_found() -> None:
    with capture_logs():  # where nobody configured it, the log draws each traceback at length
        found = await examined(sdk.Node(Raising(), SIGNER))
    assert found["empty"].verdict is Verdict.FAILED
    assert "NODE_FAILED" in found["empty"].said


async def test_a_node_that_goes_away_fails_what_follows() -> None:
    server, address = await sdk.start(sdk.Node(Baseline(), SIGNER), "127.0.0.1:0")
    node, asker = Node(NodeSpec("subject", address=address)), Asker()
    await node.connect()
    found = {}
    with capture_logs():
        async for one in examine(Subject(node, asker, PROBLEMS)):
            found[one.check] = one
            if one.check == "empty":
                await server.stop(0)
    asker.close()
    gone = list(found.values())[list(CHECKS).index("empty") + 1 :]
    assert found["empty"].verdict is Verdict.OK
    assert {one.verdict for one in gone} == {Verdict.FAILED}
    assert {one.advice for one in gone} == {GONE_ADVICE}


@asynccontextmanager
async def babbling() -> AsyncIterator[str]:
    """Describes itself well; all else that it says is no message."""
    described = DescribeResponse(name="b", version="1", public_key=SIGNER.public_key)

    async def describe(request: bytes, context: object) -> bytes:
        return described.SerializeToString()

    async def babble(request: object, context: object) -> bytes:
        return b"\xff\xff no message"

    async def solve(requests: object, context: object) -> AsyncIterator[bytes]:
        yield b"\xff\xff no message"

    unary = grpc.unary_unary_rpc_method_handler
    handlers = {
        "Describe": unary(describe),
        "ReportLoad": unary(babble),
        "Probe": unary(babble),
        "Solve": grpc.stream_stream_rpc_method_handler(solve),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_what_is_no_message_is_found() -> None:
    asker = Asker()
    async with babbling() as address:
        node = Node(NodeSpec("subject", address=address))
        await node.connect()
        with capture_logs():
            found = {f.check: f async for f in examine(Subject(node, asker, PROBLEMS))}
        await node.close()
    asker.close()
    assert list(found) == list(CHECKS)
    assert found["describe"].verdict is Verdict.OK
    assert found["load"].verdict is Verdict.NOTE
    wrong = [found[name] for name in ("probe", "empty", "same", "parts", "huge", "alive")]
    assert {one.verdict for one in wrong} == {Verdict.FAILED}
    assert "NODE_MALFORMED" in found["alive"].said


class Modest(Baseline):
    """Takes little, on one chain."""

    def describe(self) -> Description:
        return Description("modest", "1", ("eip155:1",), ("constant_product",), 5, 6)

    def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
        assert len(problem.intents) <= 5
        assert len(problem.venues) <= 6
        assert all(asset.startswith("eip155:1/") for asset in problem.prices)
        yield from super().solve(problem, deadline)


async def test_who_takes_little_is_asked_for_little() -> None:
    async with connected(sdk.Node(Modest(), SIGNER)) as (node, asker):
        small, large = fitted(SMALL, node.info), fitted(LARGE, node.info)
        subject = Subject(node, asker, Problems(small, large, large))
        found = [one async for one in examine(subject)]
    assert [one.said for one in found if one.verdict is Verdict.FAILED] == []


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"max_intents": 3},
        {"max_venues": 2},
        {"chains": ("eip155:1",)},
        {"chains": ("solana:x",)},
        {"venue_kinds": ("rfq",), "max_venues": 1},
        {"venue_kinds": ("nosuch",)},
        {"venue_kinds": ("bridge",), "chains": ("eip155:1",), "max_intents": 1},
    ],
)
def test_a_fitted_problem_is_taken(told: dict[str, object]) -> None:
    info = NodeInfo("n", bytes(32), **told)  # type: ignore[arg-type]  # as they are named
    made = fitted(LARGE, info)
    assert takes(info, made)
    assert made.intents.items() <= LARGE.intents.items()
    assert made.venues.items() <= LARGE.venues.items()
    if not told:
        assert made is LARGE


# --- scores ---------------------------------------------------------------------------------------


async def test_scores_are_shares_of_the_bound_and_of_the_best() -> None:
    trial = await asked(sdk.Node(Baseline(), SIGNER))
    half = replace(trial, bids=trial.bids[:2])
    one = compare(Case("here", SMALL), 10**12, {"half": half, "whole": trial, "none": Trial()})
    scores = {name: result.score for name, result in one.results.items()}
    assert 0 == scores["none"] < scores["half"] < scores["whole"]
    assert one.best_of(["whole", "none"]) == (scores["whole"], "whole")
    assert one.best_of(["none"]) == (0, "")
    made = summary("half", ["whole", "none"], [one, one])
    assert (made.score, made.best) == (2 * scores["half"], 2 * scores["whole"])
    assert made.bound == 2 * 10**12


def test_shares_are_exact() -> None:
    assert percent(1, 3) == "33.33 %"
    assert percent(2 * 10**40, 10**40) == "200.00 %"
    assert percent(0, 5) == "0.00 %"
    assert percent(5, 0) == "—"


def test_times_are_those_of_the_problems() -> None:
    made = Summary(seconds=[float(n) for n in range(1, 41)])
    assert (made.median_seconds, made.p95_seconds) == (20.5, 38.0)
    assert (Summary().median_seconds, Summary().p95_seconds) == (0.0, 0.0)
    assert Summary(seconds=[7.0]).p95_seconds == 7.0


def test_there_is_advice_on_every_rule_of_bids() -> None:
    reasons = list(Reason)
    rules = reasons[reasons.index(Reason.AUCTION_WRONG) : reasons.index(Reason.SCORE_TOO_LARGE) + 1]
    assert set(rules) <= ADVICE.keys()
    assert len(set(ADVICE.values())) == len(ADVICE)


# --- all of it ------------------------------------------------------------------------------------


async def checked(served: sdk.Node, capsys: Captured) -> tuple[dict[str, object], str]:
    """The document and the text of a whole check, without other solvers."""
    async with serving(served) as address:
        config = SolverConfig(name="subject", address=address)
        made = await check(Plan(config, (), tuple(cases([4, 5], [])), 1.0, 1), lambda _: None)
    print_report(made)
    return document(made), capsys.readouterr().out


async def test_the_report_of_a_wrong_solver_says_what_to_do(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walras.cli.solver_problems.HUGE_INTENTS", 100)
    told, shown = await checked(sdk.Node(Greedy(), SIGNER), capsys)
    assert told["ok"] is False
    markets = told["markets"]
    assert isinstance(markets, list)
    assert all(int(one["bound"]) > 0 for one in markets)
    assert all(one["results"][0]["share_of_bound"] == 0.0 for one in markets)
    rejected = told["rejected"]
    assert isinstance(rejected, list)
    assert len(rejected) == sum(len(case.problem.intents) for case in cases([4, 5], []))
    assert all(one["advice"] == ADVICE[Reason(one["reason"])] for one in rejected)
    assert "LIMIT_BROKEN: " in shown
    assert "more: see --json" in shown
    assert f"→ {ADVICE[Reason.LIMIT_BROKEN]}" in shown


def test_the_page_names_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs/solvers.md").read_text()
    table = page.partition("| check | what must be |\n|---|---|\n")[2].partition("\n\n")[0]
    named = [line.split("|")[1].strip() for line in table.splitlines()]
    assert named == ["bids", "sealed", "answers", *CHECKS]


def test_the_market_of_a_seed_is_the_same_again() -> None:
    again = [case.problem for case in cases([8], [])]
    assert again == [replace(case.problem, auction_id=1) for case in cases([7, 8], [])][1:]


def test_built_in_solvers_are_those_of_the_package() -> None:
    assert {"baseline", "optimizer"} <= set(builtin_solvers("my:Own"))
    assert "baseline" not in builtin_solvers("baseline")
    assert builtin_solvers("my:Own", ["baseline"]) == ("baseline",)
    with pytest.raises(InvalidInput, match="there is no solver 'nosuch'"):
        builtin_solvers("my:Own", ["nosuch"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "name one solver"),
        (["baseline", "--address", "127.0.0.1:1"], "name one solver"),
        (["nosuch"], "there is no solver 'nosuch'"),
        (["baseline", "--against", "nosuch"], "there is no solver 'nosuch'"),
        (["baseline", "--market", "nosuch.json"], "nosuch.json"),
    ],
)
def test_mistakes_are_said(words: list[str], why: str, capsys: Captured) -> None:
    assert run(["solver", "check", *words, "--markets", "0"]) == 2
    assert why in capsys.readouterr().err


def test_a_node_that_is_away_is_a_fault(capsys: Captured) -> None:
    words = ["--address", "127.0.0.1:1", "--markets", "0", "--against", "baseline"]
    assert run(["solver", "check", *words]) == 1
    assert "NODE_UNREACHABLE" in capsys.readouterr().err
