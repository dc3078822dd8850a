"""Python's collector of cycles, where millions of values form none."""

import gc

_YOUNG = 100_000


def spare_the_collector() -> None:
    """Let it look at what is new more seldom.

    A replay makes millions of values and keeps many: by default a good part of its time goes into
    looking at them.
    """
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
