"""The reference price of docs/protocol.md is the one that the code computes."""

import re
from pathlib import Path
from random import Random
from typing import Any

from walras.market.reference import Input, PriceLimits, Reference, Unpriced, aggregate

PROTOCOL = (Path(__file__).parents[2] / "docs/protocol.md").read_text()


def test_the_price_is_as_written() -> None:
    space: dict[str, Any] = {}
    (block,) = re.findall(
        r"^```python protocol\n(def reference_price.*?)^```$", PROTOCOL, re.MULTILINE | re.DOTALL
    )
    exec(compile(block, "docs/protocol.md", "exec"), space)
    rng = Random(1)
    seen = set()
    for _ in range(5_000):
        middle = 10 ** rng.randint(0, 60)
        amounts = [max(1, middle * rng.randint(80, 120) // 100) for _ in range(rng.randint(0, 6))]
        last = rng.choice([0, max(1, middle * rng.randint(50, 200) // 100)])
        quorum, spread, move = rng.randint(0, 5), rng.choice([0, 500, 3_000]), rng.choice([0, 70])
        inputs = tuple(Input(f"{i}", amount, 0) for i, amount in enumerate(amounts))
        found = aggregate(Reference(inputs, last), PriceLimits(quorum, 0, move, spread))
        written = space["reference_price"](amounts, last, quorum, spread, move)
        seen.add(found.rule if isinstance(found, Unpriced) else found == last or "price")
        assert written == (str(found.rule) if isinstance(found, Unpriced) else found)
    assert {"quorum", "disputed", "price"} <= seen
