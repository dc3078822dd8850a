"""Certificates of awards (protocol §6, step 4): their values, and the bytes of their blobs.

What they mean, and how they are checked, is in auction.certificate.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from walras.api.v1 import certificate_pb2
from walras.core.amounts import parse_amount
from walras.core.errors import InvalidInput, Reason
from walras.protocol.values import check_owner
from walras.protocol.wire import parse

LEAF, PRICES, BRANCH = 0, 1, 2
"""Nodes of a tree: a leaf; prices change here and below; b + BRANCH: split at the place b."""

MAX_BYTES = 64 << 20
"""Of a certificate."""

MAX_SHIFT = 1 << 10
"""Bits by which the prices of a tree are written short."""

MAX_PRICE = (1 << 64) - 1
"""As it is written."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A proof for one component.

    Attributes:
        shift: a price is its value · 2^shift; 0 to MAX_SHIFT. cuts: odd sets of rows, ascending.
        nodes: the tree in preorder. A branch is followed by the subtree in which its place is
        taken,
            then by that in which it is left out. A change of prices is followed by the node from
            which on it holds.
        prices: of each change, in the order of the nodes, lines ascending with their new values, 0
            to MAX_PRICE. Lines are numbered: rows, budgets, cuts. What is not named keeps the price
            that it has in the node above; at the top that is 0.
        bound: no choice scores more: what the tree proves, in score units.
    """

    shift: int
    cuts: tuple[tuple[int, ...], ...]
    nodes: tuple[int, ...]
    prices: tuple[tuple[tuple[int, int], ...], ...]
    bound: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A proof of what would have been reached without one solver.

    Attributes:
        solver: its key.
        attained: a choice that reaches the reference, as ascending numbers of bids among those that
            fairness kept, sorted by id; of the components in which the solver won, without its
            bids.
        trees: of what these components fall into without its bids, in order.
    """

    solver: bytes
    attained: tuple[int, ...]
    trees: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """The proofs of one award. Components of a single place need none.

    Attributes:
        trees: of the components with several places, in order.
        references: of the solvers that won, by ascending key.
    """

    trees: tuple[Tree, ...] = ()
    references: tuple[Reference, ...] = ()


def encode_certificate(certificate: Certificate) -> bytes:
    """The bytes of the certificate's blob."""
    return certificate_pb2.Certificate(
        trees=_trees_to_wire(certificate.trees),
        references=[
            certificate_pb2.Reference(
                solver=reference.solver,
                attained=reference.attained,
                trees=_trees_to_wire(reference.trees),
            )
            for reference in certificate.references
        ],
    ).SerializeToString(deterministic=True)


def decode_certificate(body: bytes) -> Certificate:
    """The certificate that `body` encodes; whether it proves anything is for auction.certificate.

    Raises:
        InvalidInput: CERTIFICATE_TOO_LARGE, CERTIFICATE_MALFORMED, MESSAGE_MALFORMED,
        UNKNOWN_FIELD,
            NON_CANONICAL, AMOUNT_MALFORMED, AMOUNT_OUT_OF_RANGE, PUBLIC_KEY_INVALID.
    """
    if len(body) > MAX_BYTES:
        raise InvalidInput(
            Reason.CERTIFICATE_TOO_LARGE, f"a certificate has at most {MAX_BYTES} bytes"
        )
    message = parse(certificate_pb2.Certificate, body)
    return Certificate(
        _trees_from_wire(message.trees),
        tuple(
            Reference(
                check_owner(reference.solver),
                tuple(reference.attained),
                _trees_from_wire(reference.trees),
            )
            for reference in message.references
        ),
    )


def _trees_to_wire(trees: Iterable[Tree]) -> list[certificate_pb2.Tree]:
    return [
        certificate_pb2.Tree(
            shift=tree.shift,
            cuts=[certificate_pb2.Cut(rows=rows) for rows in tree.cuts],
            nodes=tree.nodes,
            prices=[
                certificate_pb2.Prices(
                    lines=[line for line, _ in changes], values=[value for _, value in changes]
                )
                for changes in tree.prices
            ],
            bound=str(tree.bound),
        )
        for tree in trees
    ]


def _trees_from_wire(messages: Iterable[certificate_pb2.Tree]) -> tuple[Tree, ...]:
    trees = []
    for message in messages:
        if any(len(change.lines) != len(change.values) for change in message.prices):
            raise InvalidInput(
                Reason.CERTIFICATE_MALFORMED, "prices need as many values as they have lines"
            )
        trees.append(
            Tree(
                message.shift,
                tuple(tuple(cut.rows) for cut in message.cuts),
                tuple(message.nodes),
                tuple(
                    tuple(zip(change.lines, change.values, strict=True))
                    for change in message.prices
                ),
                parse_amount(message.bound, "bound"),
            )
        )
    return tuple(trees)
