"""Arrays by their element, and sums of them by an index."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def total(index: Ints, values: Floats, length: int) -> Floats:
    """The sums of `values` by `index`, for 0 to length - 1."""
    return np.bincount(index, values, length).astype(np.float64)
