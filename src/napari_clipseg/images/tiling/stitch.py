"""The model's answers to windows, back onto the plane: blended where they overlap, no seam."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_clipseg.images.tiling.plan import Window
from napari_clipseg.images.probability import Float32


def blending_weights(starts: Sequence[int], tile: int, first: int, length: int) -> Float32:
    """Return the weight of each tile at each pixel of an axis; they sum to one everywhere.

    Within an overlap the weight falls as half a cosine wave does, so that the blend and
    its slope have no step; elsewhere it is 1. Where three tiles or more overlap, the products
    of their slopes are brought to the sum 1.

    Parameters
    ----------
    starts : sequence of int
        Where tiles begin, in order.
    tile : int
        Length of each.
    first, length : int
        The part of the axis that is wanted; the tiles cover it.

    Returns
    -------
    ndarray of float32
        ``(tiles, length)``; 0 outside of a tile.
    """
    at = np.arange(first, first + length) + 0.5
    weights = np.zeros((len(starts), length))
    for i, start in enumerate(starts):
        inside = (at > start) & (at < start + tile)
        weight = inside.astype(float)
        if i > 0:
            weight *= _rise((at - start) / max(1, starts[i - 1] + tile - start))
        if i + 1 < len(starts):
            weight *= _rise((start + tile - at) / max(1, start + tile - starts[i + 1]))
        weights[i] = weight
    return np.asarray(weights / weights.sum(axis=0), dtype=np.float32)


def _rise(share: NDArray[np.floating]) -> NDArray[np.floating]:
    return 0.5 - 0.5 * np.cos(np.pi * share.clip(0, 1))


def on_pixels(answer: Float32, window: Window, rows: slice, columns: slice) -> Float32:
    """Resize an answer to the pixels of a part of its window, bilinearly.

    Pixel centres stay where they are; a part has the same values as the whole would have.

    Parameters
    ----------
    answer : ndarray of float32
        ``(prompts, rows, columns)``, of the whole window.
    window : Window
        Where it lies.
    rows, columns : slice
        The part that is wanted, within the window, in the same pixels.

    Returns
    -------
    ndarray of float32
        ``(prompts, rows, columns)``.
    """
    size = answer.shape[-2:]
    top, bottom = rows.start - window.top, rows.stop - window.top
    left, right = columns.start - window.left, columns.stop - window.left
    if size == (window.height, window.width):
        return answer[:, top:bottom, left:right]
    down, across = size[0] / window.height, size[1] / window.width
    box = (left * across, top * down, min(right * across, size[1]), min(bottom * down, size[0]))
    size = (right - left, bottom - top)
    images = (Image.fromarray(one) for one in answer)
    resized = [one.resize(size, Image.Resampling.BILINEAR, box=box) for one in images]
    return np.stack([np.asarray(one) for one in resized])


class Stitcher:
    """Puts the answers of a plane's tiles together, band by band.

    Parameters
    ----------
    windows : sequence of Window
        The tiles of a plane: a grid, row by row.
    rows, columns : slice
        The part of the plane that is wanted.
    """

    def __init__(self, windows: Sequence[Window], rows: slice, columns: slice) -> None:
        self._rows, self._columns = rows, columns
        self._height, self._width = windows[0].height, windows[0].width
        self._tops = sorted({window.top for window in windows})
        self._lefts = sorted({window.left for window in windows})
        self._answers: dict[Window, Float32] = {}
        width = columns.stop - columns.start
        self._across = blending_weights(self._lefts, self._width, columns.start, width)
        height = rows.stop - rows.start
        self._down = blending_weights(self._tops, self._height, rows.start, height)

    def add(self, window: Window, answer: Float32) -> None:
        """Take the answer to a tile: ``(prompts, rows, columns)`` logits."""
        self._answers[window] = answer

    def ready_until(self, row: int) -> int:
        """Return up to where rows are complete once the row of tiles that starts at `row` is."""
        stop: int = self._rows.stop
        return min([stop, *(top for top in self._tops if top > row)])

    def band(self, rows: slice) -> Float32:
        """Return the blended logits of some rows: ``(prompts, rows, columns)``."""
        prompts = len(next(iter(self._answers.values())))
        total = np.zeros((prompts, rows.stop - rows.start, self._across.shape[1]), np.float32)
        alone = len(self._answers) == 1 and len(self._tops) == len(self._lefts) == 1
        for window, answer in self._answers.items():
            top = max(rows.start, window.top)
            bottom = min(rows.stop, window.top + self._height)
            left = max(self._columns.start, window.left)
            right = min(self._columns.stop, window.left + self._width)
            if top >= bottom:
                continue
            part = on_pixels(answer, window, slice(top, bottom), slice(left, right))
            if alone:
                return np.array(part)
            down = self._down[self._tops.index(window.top)]
            across = self._across[self._lefts.index(window.left)]
            down = down[top - self._rows.start : bottom - self._rows.start]
            across = across[left - self._columns.start : right - self._columns.start]
            weighted = part * down[:, None]
            weighted *= across
            at = slice(left - self._columns.start, right - self._columns.start)
            total[:, top - rows.start : bottom - rows.start, at] += weighted
        return total

    def forget_before(self, row: int) -> None:
        """Drop the answers to tiles that end before a row."""
        for window in [w for w in self._answers if w.top + self._height <= row]:
            del self._answers[window]


def sigmoid(logits: Float32) -> Float32:
    """Return the probabilities of logits: ``1 / (1 + exp(-x))``, without overflow."""
    # Equal to the formula, and tanh never overflows.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)
