"""What groups are owed: in a batch each that is served has at least what it could have alone, or
fairness would drop the bid (protocol §6).
"""

from collections.abc import Mapping

import numpy as np

from walras_solvers.equilibrium.book import Book
from walras_solvers.equilibrium.kernels import Floats

MARGIN, ATOMS = 1e-6, 3.0
"""By what part groups are given more than they are owed, and by how many atoms of what they settle
in for each order: rounding takes some.
"""


def owed(book: Book, scores: Mapping[str, int]) -> Floats:
    """Group → surplus, in value, that it has at least if it is served; 0 is none.

    Args:
        book: orders. Their groups are pairs, give·assets + take, and behind these those of packs.
        scores: group → the score of its own bid.
    """
    orders, packs = book.orders, book.packs
    first = orders.assets**2
    pairs = orders.pairs
    found, atoms = np.zeros(first + len(book.groups)), np.zeros(first + len(book.groups))
    for group in np.unique(pairs).tolist():
        give, take = divmod(group, orders.assets)
        found[group] = scores.get(f"{book.names[give]}>{book.names[take]}", 0)
    found[first:] = [scores.get(group, 0) for group in book.groups]
    np.add.at(atoms, pairs, book.worth[np.where(orders.buys, orders.give, orders.take)])
    np.add.at(atoms, packs.group, book.worth[packs.settle])
    return np.where(found > 0, found / book.scale * (1 + MARGIN) + ATOMS * atoms, 0.0)
