"""Attacks by what is read: log folders that are traps, bids that would fill the memory."""

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from support.market import ETH, signer

from walras.auction.batch import OpenBatch
from walras.audit.files import MAX_BLOB_BYTES
from walras.core.bids import Bid, Execution, Fill, Proposal
from walras.core.errors import AuditFailure, Reason, WalrasError
from walras.protocol.dispatch import Assignment, Dispatch, NodeLoad
from walras.protocol.problem import Problem, Rules
from walras.protocol.records import Opened
from walras.protocol.trade import encode_problem
from walras.sdk.signing import sign_record
from walras.store.folder import FolderSource, blob_path

SOLVER = signer("solver")
DIGEST = bytes(32)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.mkdir()


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, MAX_BLOB_BYTES + 1)  # sparse


@pytest.mark.parametrize("trap", [_pipe, _endless, _folder, _huge])
def test_a_trap_in_a_log_folder_is_named(tmp_path: Path, trap: Callable[[Path], None]) -> None:
    (tmp_path / "checkpoint").write_bytes(b"origin\n256\nroot\n")
    source = FolderSource(tmp_path)
    reads: dict[str, Callable[[], object]] = {
        "tile/entries/000": lambda: list(source.entries()),
        "tile/0/000": source.hash_tiles,
        blob_path(DIGEST): lambda: source.blob(DIGEST),
        "log.vkey": source.verifier_key,
    }
    for name, read in reads.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        trap(path)
        with pytest.raises(AuditFailure, match=path.name) as caught:
            read()
        assert caught.value.reason is Reason.LOG_MALFORMED


def test_a_huge_checkpoint_is_refused(tmp_path: Path) -> None:
    _huge(tmp_path / "checkpoint")
    with pytest.raises(AuditFailure, match="checkpoint has"):
        FolderSource(tmp_path).checkpoint()


def test_a_rejected_bid_is_let_go_of() -> None:
    """Its error would otherwise hold every frame, and so the whole decoded bid."""
    problem = Problem("test.example/walras", 1, 1, Rules(), {}, {}, {}, {})
    digest = sha256(encode_problem(problem)).digest()
    plan = Dispatch(b"", (NodeLoad(SOLVER.public_key),), (), (Assignment(digest, (0,), 1),))
    names = {SOLVER.public_key: "s"}
    batch = OpenBatch(Opened(1, DIGEST, 0, 0)).seal(
        problem, digest, (problem,), plan, names, 10, DIGEST, b""
    )
    made = Bid(
        1,
        digest,
        SOLVER.public_key,
        Proposal((Fill(DIGEST, 1),), {ETH: 1}, (Execution("v", ETH, 1, ETH, 1),)),
    )
    for data in (sign_record(made, SOLVER), b"garbage"):
        outcome = batch.evaluate(data, SOLVER.public_key, 5).outcome
        assert isinstance(outcome, WalrasError)
        assert (outcome.__traceback__, outcome.__cause__, outcome.__context__) == (None,) * 3
