"""Compiling kernels, and the array types they share."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Ints = NDArray[np.int64]
Reals = NDArray[np.float64]


def compiled(function: F) -> F:
    """Compiled at its first call, or taken from the cache where there is a folder for one.

    Plain IEEE in one fixed order: no reordering of sums, so the same arrays give the same answer.
    Numba's cache looks at one file at a time: after a change in a kernel that others call, delete
    the __pycache__ folders beside them.
    """
    return _made(function, "never")


def inlined(function: F) -> F:
    """Likewise, as a part of each kernel that calls it.

    Each call that is left counts the references to all arrays among its arguments; with tens of
    them that takes longer than a short loop.
    """
    return _made(function, "always")


def _made(function: F, inline: Literal["never", "always"]) -> F:
    try:
        made = numba.njit(cache=True, nogil=True, error_model="numpy", inline=inline)(function)
    except RuntimeError:  # no folder to write to, as in a read-only image without a home
        made = numba.njit(nogil=True, error_model="numpy", inline=inline)(function)
    return cast("F", made)
