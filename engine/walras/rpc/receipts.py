"""Receipts: an inclusion proof under a signed checkpoint."""

from walras.api.v1 import log_service_pb2
from walras.audit.merkle import Tree
from walras.store.commit import SignedCheckpoint


def inclusion(tree: Tree, leaf_index: int, size: int) -> log_service_pb2.InclusionProof:
    """The proof that leaf `leaf_index` stands in the tree of `size` leaves."""
    return log_service_pb2.InclusionProof(
        leaf_index=leaf_index, tree_size=size, hashes=tree.inclusion_proof(leaf_index, size)
    )


def receipt(tree: Tree, leaf_index: int, checkpoint: SignedCheckpoint) -> log_service_pb2.Receipt:
    """The receipt of leaf `leaf_index` under `checkpoint`."""
    return log_service_pb2.Receipt(
        inclusion=inclusion(tree, leaf_index, checkpoint.size), checkpoint=checkpoint.note
    )
