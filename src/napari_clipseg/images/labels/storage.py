"""How labels are stored in files."""

from __future__ import annotations

from typing import Any

import numpy as np

SMALL = np.dtype(np.uint16)
LARGE = np.dtype(np.uint32)


def label_dtype(labels: Any) -> np.dtype[Any]:
    """Return the type that labels are stored in: uint16 up to 65,535, otherwise uint32.

    Parameters
    ----------
    labels : ndarray or dask array of int
        Of any shape, not negative.

    Examples
    --------
    >>> label_dtype(np.array([0, 70_000]))
    dtype('uint32')
    """
    return SMALL if int(labels.max()) <= np.iinfo(SMALL).max else LARGE
