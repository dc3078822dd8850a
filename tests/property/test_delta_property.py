"""A delta gives back the target, whatever the bytes, and is short where problems are alike."""

from dataclasses import replace
from hashlib import sha256
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.solver_markets import generated

from walras.core.errors import InvalidInput
from walras.protocol.delta import Base, Delta, Span, apply_delta
from walras.protocol.problem import Problem
from walras.protocol.trade import encode_problem

LIMIT = 1 << 20
PROBLEM = generated(3, 80)

entries = st.lists(st.binary(max_size=40).map(lambda data: b"\x22%c%b" % (len(data), data)))
bodies = st.one_of(st.binary(max_size=300), entries.map(b"".join))


@given(bodies, bodies)
def test_any_two_bodies(base: bytes, target: bytes) -> None:
    delta = Base(base).delta(target)
    assert delta.base_digest == sha256(base).digest()
    assert apply_delta(base, delta, len(target)) == target


@given(bodies)
def test_equal_bodies_are_one_copy(body: bytes) -> None:
    spans = Base(body).delta(body).spans
    assert apply_delta(body, Delta(b"", spans), len(body)) == body
    assert all(span.insert or span.length for span in spans)


@given(entries, st.randoms(use_true_random=False))
def test_entries_in_another_order(made: list[bytes], rng: Random) -> None:
    mixed = list(made)
    rng.shuffle(mixed)
    base, target = b"".join(made), b"".join(mixed)
    assert apply_delta(base, Base(base).delta(target), LIMIT) == target


@given(
    st.binary(max_size=64),
    st.lists(
        st.builds(
            Span,
            offset=st.integers(0, (1 << 64) - 1) | st.integers(0, 64),
            length=st.integers(0, (1 << 64) - 1) | st.integers(0, 64),
            insert=st.just(b"") | st.binary(max_size=8),
        )
    ),
    st.integers(0, 100),
)
def test_hostile_spans_make_no_more_than_allowed_or_are_refused(
    base: bytes, spans: list[Span], limit: int
) -> None:
    try:
        made = apply_delta(base, Delta(bytes(32), tuple(spans)), limit)
    except InvalidInput:
        return
    assert len(made) <= limit
    assert len(made) == sum(len(span.insert) or span.length for span in spans)


@st.composite
def later(draw: st.DrawFn) -> Problem:
    """The problem some time later: intents gone or partly filled, venues gone, another number."""
    rng = Random(draw(st.integers(0, 1 << 32)))
    keep = draw(st.sampled_from([0.0, 0.5, 0.95, 1.0]))
    return replace(
        PROBLEM,
        auction_id=draw(st.integers(1, 1 << 40)),
        sealed_ms=draw(st.integers(1, 1 << 50)),
        intents={
            name: entry if rng.random() < 0.9 else replace(entry, remaining=1)
            for name, entry in PROBLEM.intents.items()
            if rng.random() < keep
        },
        venues={name: venue for name, venue in PROBLEM.venues.items() if rng.random() < keep},
    )


@given(later())
@settings(max_examples=50, deadline=None)
def test_problems_back_and_forth(changed: Problem) -> None:
    old, new = encode_problem(PROBLEM), encode_problem(changed)
    for base, target in ((old, new), (new, old)):
        delta = Base(base).delta(target)
        assert apply_delta(base, delta, len(target)) == target
        # What is inserted is what the base does not have.
        copied = sum(span.length for span in delta.spans)
        assert sum(len(span.insert) for span in delta.spans) == len(target) - copied
