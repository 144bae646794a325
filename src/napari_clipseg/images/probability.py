"""How probability maps are stored: floats from 0 to 1, or uint8, which stands for value / 255."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Maps = NDArray[Any]
"""Maps of a float type, or of uint8."""

FULL = 255  # the uint8 value of probability 1


def check_maps(maps: Maps, axes: str = "(prompts, *planes, height, width)") -> None:
    """Check that an array can hold probability maps along its first axis.

    Raises
    ------
    TypeError
        If it holds neither floats nor uint8.
    ValueError
        If it has fewer than three axes, or no map.
    """
    if maps.dtype.kind != "f" and maps.dtype != np.uint8:
        raise TypeError(
            f"The probability maps are of type {maps.dtype}; wanted floats from 0 to 1, or "
            f"uint8, of which 255 stands for 1. Convert them with .astype('float32')."
        )
    if maps.ndim < 3 or not len(maps):
        raise ValueError(
            f"The probability maps have shape {maps.shape}; wanted {axes}. "
            f"Give a single map a first axis: probability[None]."
        )


def as_unit(maps: Maps) -> Float32:
    """Return maps as float32 from 0 to 1; float32 maps as they are, without a copy."""
    if maps.dtype == np.uint8:
        return np.divide(maps, FULL, dtype=np.float32)
    return maps.astype(np.float32, copy=False)
