"""CoW solver engines as solvers of Walras, unmodified: docs/cow.md.

problem ── show ──▶ auction ── POST /solve ──▶ solutions ── to_proposal ──▶ bids, or refusals
"""

from walras_solvers.cow_adapter.adapter import Counts, CowAdapter
from walras_solvers.cow_adapter.auction import Shown, TokenInfo, show
from walras_solvers.cow_adapter.schema import Solution
from walras_solvers.cow_adapter.solutions import Refusal, Refused, to_proposal

__all__ = [
    "Counts",
    "CowAdapter",
    "Refusal",
    "Refused",
    "Shown",
    "Solution",
    "TokenInfo",
    "show",
    "to_proposal",
]
