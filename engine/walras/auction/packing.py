"""Weighted set packing with budgets, solved exactly by OR-Tools CP-SAT.

Over x ∈ {0, 1}^n: maximise Σ weight · x where few of some sets may be chosen and what is chosen
may not spend more than some budgets. In integers: what does not fit the solver's 64 bits is split
in two (objectives) or cut off where it turns up (budgets), never rounded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, compress

from ortools.sat.python import cp_model

from walras.core.errors import Reason, WalrasError

Weights = Sequence[int]
Choice = Sequence[bool]

SAFE_BITS = 61
"""CP-SAT refuses linear expressions that could reach 2^62. Sums of this many bits cannot."""

WORD = 31
"""Bits of the low word, where the weights of a packing do not fit one expression."""

LOW = (1 << WORD) - 1
"""The greatest low word."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best choice found, its value, and a bound that the value of no choice exceeds."""

    chosen: Choice
    value: int
    bound: int

    @property
    def proven(self) -> bool:
        return self.value == self.bound


@dataclass(frozen=True, slots=True)
class Cover:
    """At most `most` of the members may be chosen."""

    members: Sequence[int]
    most: int = 1

    def constrain(self, model: cp_model.CpModel, x: Sequence[cp_model.IntVar]) -> None:
        """Add this to the model."""
        members = [x[i] for i in self.members]
        if self.most == 1:
            model.add_at_most_one(members)  # searched far faster than the same as a sum
        else:
            model.add(cp_model.LinearExpr.sum(members) <= self.most)


@dataclass(frozen=True, slots=True)
class Budget:
    """What is chosen may spend `balance` altogether; place → what it spends, ≥ 0."""

    spends: Mapping[int, int]
    balance: int

    def constrain(self, model: cp_model.CpModel, x: Sequence[cp_model.IntVar]) -> None:
        """Add this to the model, as nearly as fits int64.

        Σ floor(spend / 2^d) · x ≤ floor(balance / 2^d) follows from Σ spend · x ≤ balance. Where
        d > 0 it allows slightly too much, which `overspent` finds.
        """
        d = max(0, sum(self.spends.values()).bit_length() - SAFE_BITS)
        scaled = [spent >> d for spent in self.spends.values()]
        total = cp_model.LinearExpr.weighted_sum([x[i] for i in self.spends], scaled)
        model.add(total <= min(self.balance >> d, sum(scaled)))

    def overspent(self, chosen: Choice) -> list[Cover]:
        """An extended cover inequality that `chosen` breaks, if it spends too much.

        A cover C overspends and none of its proper subsets does; of C and the places that spend at
        least as much as each of C, at most |C| − 1 may be chosen.
        """
        falling = sorted((i for i in self.spends if chosen[i]), key=lambda i: -self.spends[i])
        for size, spent in enumerate(accumulate(self.spends[i] for i in falling), start=1):
            if spent > self.balance:
                most = self.spends[falling[0]]
                extended = {i for i, amount in self.spends.items() if amount >= most}
                return [Cover(sorted(extended.union(falling[:size])), size - 1)]
        return []


@dataclass(frozen=True, slots=True)
class _Word:
    """Some binary digits of an objective, as an expression that fits CP-SAT.

    Attributes:
        expression: equals floor(objective / 2^shift) mod 2^bits.
    """

    expression: cp_model.LinearExprT
    shift: int
    bits: int

    def of(self, value: int) -> int:
        """The word's digits in an objective of `value`."""
        return (value >> self.shift) % (1 << self.bits)

    def most(self, value: int, digits: int) -> int:
        """The greatest objective with these `digits` here and those of `value` above."""
        above = value >> (self.shift + self.bits) << self.bits
        return ((above + digits + 1) << self.shift) - 1


class Packing:
    """Which of `count` places may be chosen together.

    Args:
        count: of places, numbered from 0.
        covers: sets of places of which few may be chosen.
        budgets: on sums of amounts.
        effort: for all calls of `best` together, in CP-SAT's deterministic seconds: the same on
            every machine. Where it ends first, the best choice found is returned.
    """

    def __init__(
        self, count: int, covers: Iterable[Cover], budgets: Iterable[Budget], effort: float
    ) -> None:
        self._count = count
        self._covers = list(covers)
        self._budgets = list(budgets)
        self._effort = effort

    def best(
        self,
        weights: Weights,
        *,
        start: Choice = (),
        held: Iterable[tuple[Weights, int]] = (),
        beside: Choice = (),
    ) -> Best:
        """The choice with the greatest Σ weight · x.

        Args:
            weights: ≥ 0 and below 2^62.
            start: a choice that keeps all constraints, where one is known.
            held: earlier weights with the most that they can come to, which they must.
            beside: a choice of which not everything may be chosen again.
        """
        model = cp_model.CpModel()
        x = [model.new_bool_var("") for _ in range(self._count)]
        for cover in self._covers:
            cover.constrain(model, x)
        for budget in self._budgets:
            budget.constrain(model, x)
        for earlier, value in held:
            for word in _words(model, x, earlier):
                model.add(word.expression >= word.of(value))
        if beside:
            Cover(list(compress(range(self._count), beside)), sum(beside) - 1).constrain(model, x)
        best = Best(start, sum(compress(weights, start)), sum(weights))
        for word in _words(model, x, weights):
            model.maximize(word.expression)
            best = self._improve(best, model, x, weights, word)
            if word.of(best.value) < word.of(best.bound):
                break
            model.add(word.expression >= word.of(best.value))
        return best

    def _improve(
        self,
        best: Best,
        model: cp_model.CpModel,
        x: Sequence[cp_model.IntVar],
        weights: Weights,
        word: _Word,
    ) -> Best:
        """`best`, or what is better by the model's objective: one word of Σ weight · x."""
        while True:
            model.clear_hints()  # type: ignore[no-untyped-call]  # OR-Tools leaves it without types
            for i, taken in enumerate(best.chosen):
                model.add_hint(x[i], taken)
            solver = _solver(self._effort)
            status = solver.solve(model)
            self._effort -= solver.response_proto.deterministic_time
            if status == cp_model.UNKNOWN:
                return best
            if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
                # Some choice always keeps the constraints, so that is a fault of ours and no bid's.
                raise WalrasError(Reason.INTERNAL, f"CP-SAT: {solver.status_name(status)}")
            # CP-SAT minimises the negative; all its other figures for the bound are floats.
            digits = -solver.response_proto.inner_objective_lower_bound
            best = replace(best, bound=min(best.bound, word.most(best.value, digits)))
            found = [solver.boolean_value(v) for v in x]
            covers = [cover for budget in self._budgets for cover in budget.overspent(found)]
            if not covers:
                value = sum(compress(weights, found))
                known = bool(best.chosen) and value <= best.value
                return best if known else Best(found, value, best.bound)
            self._covers += covers
            for cover in covers:
                cover.constrain(model, x)


def _words(model: cp_model.CpModel, x: Sequence[cp_model.IntVar], weights: Weights) -> list[_Word]:
    """Σ weight · x as one word or, where it could pass int64, as two, the higher first."""
    if sum(weights).bit_length() <= SAFE_BITS:
        return [_Word(cp_model.LinearExpr.weighted_sum(x, weights), 0, SAFE_BITS)]
    carry = model.new_int_var(0, len(x), "")
    low = model.new_int_var(0, LOW, "")
    lows = [weight & LOW for weight in weights]
    highs = [weight >> WORD for weight in weights]
    model.add(cp_model.LinearExpr.weighted_sum(x, lows) == carry * (LOW + 1) + low)
    high = cp_model.LinearExpr.weighted_sum([*x, carry], [*highs, 1])
    return [_Word(high, WORD, SAFE_BITS), _Word(low, 0, WORD)]


def _solver(effort: float) -> cp_model.CpSolver:
    """One worker and a fixed seed: the same model gives the same answer."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = max(0.0, effort)
    # Gaps are measured in floating point, where great scores that differ look the same.
    solver.parameters.absolute_gap_limit = 0
    solver.parameters.relative_gap_limit = 0
    solver.parameters.catch_sigint_signal = False
    return solver
