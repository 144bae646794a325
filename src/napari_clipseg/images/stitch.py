"""The model's maps back onto the image that they belong to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Float32 = NDArray[np.float32]


def to_plane(maps: Float32, shape: tuple[int, int]) -> Float32:
    """Resize maps to a plane, bilinearly; pixel centres stay where they are.

    Parameters
    ----------
    maps : ndarray of float32
        ``(maps, rows, columns)``.
    shape : tuple of int
        Height and width of the plane.

    Returns
    -------
    ndarray of float32
        ``(maps, height, width)``.
    """
    size = (shape[1], shape[0])
    resized = (Image.fromarray(m).resize(size, Image.Resampling.BILINEAR) for m in maps)
    return np.stack([np.asarray(m) for m in resized])


def sigmoid(logits: Float32) -> Float32:
    """Return the probabilities of logits: ``1 / (1 + exp(-x))``, without overflow."""
    # Equal to the formula, and tanh never overflows.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)
