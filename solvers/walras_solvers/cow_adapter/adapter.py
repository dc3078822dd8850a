"""A CoW solver engine as a solver: asks it over HTTP, bids what it answers."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog
from pydantic import ValidationError

from walras.sdk import Deadline, Description, Problem, Proposal, http
from walras_solvers.cow_adapter.auction import Shown, TokenInfo, show
from walras_solvers.cow_adapter.schema import Answer, Solution
from walras_solvers.cow_adapter.solutions import Refusal, Refused, to_proposal

log = structlog.get_logger()

MAX_ANSWER_BYTES = 4 << 20

_WHY = 300
_SPARE_SHARE = 0.1
"""Of the time, which an engine is not told of: to check and sign what comes."""


@dataclass(slots=True)
class Counts:
    """What became of an engine's answers, since the start.

    Attributes:
        asked: auctions sent.
        failed: of them, without a usable answer.
        proposed: solutions that became bids.
        refused: reason → solutions.
    """

    asked: int = 0
    failed: int = 0
    proposed: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class CowAdapter:
    """Bids with the solutions of a CoW solver engine.

    Args:
        engine_url: http or https; `/solve` is put behind it.
        tokens: symbols and decimals by asset; the problem does not have them.

    Attributes:
        counts: of this instance, which works on one problem at a time.

    Raises, when made:
        InvalidInput: CONFIG_INVALID for what is no URL.
    """

    def __init__(self, engine_url: str, tokens: Mapping[str, TokenInfo] | None = None) -> None:
        self._url = engine_url
        self._tokens = tokens or {}
        self._peer()
        self.counts = Counts()

    def describe(self) -> Description:
        """Any venue kind: what it cannot show an engine it leaves out."""
        return Description("cow-adapter", "1")

    def solve(self, problem: Problem, deadline: Deadline) -> Iterator[Proposal]:
        """What the engine's solutions are, where Walras can say the same; each valid."""
        due = time.time() + deadline.remaining() * (1 - _SPARE_SHARE)
        shown = show(problem, datetime.fromtimestamp(due, UTC), self._tokens)
        if not shown.orders:
            return
        self.counts.asked += 1
        refused: Counter[str] = Counter()
        first = ""
        try:
            for answered in self._ask(shown, deadline)[: problem.rules.max_bids]:
                if deadline.passed:
                    break
                try:
                    proposal = to_proposal(shown, _solution(answered), deadline)
                except Refused as error:
                    refused[error.reason] += 1
                    first = first or str(error)[:_WHY]
                    continue
                self.counts.proposed += 1
                yield proposal
        finally:
            self.counts.refused += refused
            if refused:
                log.warning("solutions refused", **self._about(shown), first=first, **refused)

    def _ask(self, shown: Shown, deadline: Deadline) -> list[Any]:
        """The solutions as they came; none where the engine has no usable answer."""
        body = json.dumps(shown.auction).encode()
        try:
            answer = http.post(
                self._peer(), "/solve", body, deadline, content_type="application/json"
            )
            return _solutions(answer)
        except (ConnectionError, ValueError) as error:
            self.counts.failed += 1
            log.warning("no solutions", **self._about(shown), why=str(error)[:_WHY])
            return []

    def _about(self, shown: Shown) -> dict[str, Any]:
        return {"engine": self._url, "auction": shown.problem.auction_id}

    def _peer(self) -> http.Peer:
        return http.Peer(self._url, max_bytes=MAX_ANSWER_BYTES)


def _solutions(answer: http.Answer) -> list[Any]:
    """As they came. Raises ValueError, saying why there are none."""
    if answer.status != HTTPStatus.OK:
        raise ValueError(f"its status is {answer.status}")
    return Answer.model_validate_json(answer.body).solutions


def _solution(answered: Any) -> Solution:
    try:
        return Solution.model_validate(answered)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Refused(Refusal.SOLUTION_MALFORMED, f"{place}: {first['msg']}") from None
