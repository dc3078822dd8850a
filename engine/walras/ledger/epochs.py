"""The epochs that probers report: each once and in order, also where the clock is set back.

A prober's reports are public, so anybody can hand one in again, and no observation may count twice.
While time goes on it is enough that epochs ascend. Where the engine's clock is set back, the epochs
come again. Then a report counts if its challenges name a checkpoint that holds the prober's last
report: they were made after it, and so are none of those that the log had before.
"""

from dataclasses import dataclass, replace

from walras.core.errors import InvalidInput, Reason

LATE_EPOCHS = 2
"""Observations of an epoch are taken until this many epochs later; further back, time was set."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a prober reported so far.

    Attributes:
        epoch: the last one.
        index: of the entry that holds it.
        peak: the greatest one.
        entries: that the checkpoints of its challenges have at least, up to the peak.
    """

    epoch: int
    index: int
    peak: int
    entries: int = 0


def entries_needed(last: Reported | None, epoch: int) -> int:
    """How many entries the checkpoints must have that the challenges of this epoch name.

    Args:
        last: of the prober; None where it never reported.
        epoch: that it reports now.

    Raises:
        InvalidInput: OBSERVATION_STALE, whatever they name.
    """
    if last is None or epoch > last.peak:
        return 0
    if epoch > last.epoch:
        return last.entries
    if epoch + LATE_EPOCHS < last.epoch:
        return last.index + 1
    raise InvalidInput(
        Reason.OBSERVATION_STALE,
        f"the prober has reported epoch {last.epoch} already",
        epoch=epoch,
    )


def advanced(last: Reported | None, epoch: int, index: int) -> Reported:
    """After the entry of this index, a report of this epoch. Raises as `entries_needed`."""
    entries = entries_needed(last, epoch)
    if last is None:
        return Reported(epoch, index, epoch)
    return replace(last, epoch=epoch, index=index, peak=max(last.peak, epoch), entries=entries)
