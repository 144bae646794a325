"""The logits of tiles back onto their plane, blended where tiles overlap, without seams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_clipseg.images.probability import Float32
from napari_clipseg.images.tiling.plan import Tile


def blending_weights(starts: Sequence[int], tile: int, first: int, length: int) -> Float32:
    """Return the weight of each tile at each pixel of an axis; the weights of a pixel sum to 1.

    Within an overlap the weight falls like half a cosine wave, so that neither the blend nor
    its slope has a step; elsewhere it is 1. Where three tiles or more overlap, the products
    of their slopes are divided by their sum.

    Parameters
    ----------
    starts : sequence of int
        First pixel of each tile, in order.
    tile : int
        Length of a tile.
    first, length : int
        The part of the axis to compute; the tiles cover it.

    Returns
    -------
    ndarray of float32
        ``(tiles, tile)``: of each tile at each of its own pixels; 0 outside the part.
    """
    weights, total = np.zeros((len(starts), tile)), np.zeros(length)
    at = np.arange(tile) + 0.5
    parts = []
    for i, start in enumerate(starts):
        weight = np.ones(tile)
        if i > 0:
            weight *= _rise(at / max(1, starts[i - 1] + tile - start))
        if i + 1 < len(starts):
            weight *= _rise((tile - at) / max(1, start + tile - starts[i + 1]))
        low, high = max(start, first), min(start + tile, first + length)
        parts.append((slice(low - start, high - start), slice(low - first, high - first)))
        inside, there = parts[-1]
        weights[i, inside] = weight[inside]
        total[there] += weight[inside]
    for weight, (inside, there) in zip(weights, parts, strict=True):
        weight[inside] /= total[there]
    return weights.astype(np.float32)


def _rise(share: NDArray[np.floating]) -> NDArray[np.floating]:
    return 0.5 - 0.5 * np.cos(np.pi * share.clip(0, 1))


def on_pixels(logits: Float32, tile: Tile, rows: slice, columns: slice) -> Float32:
    """Resize the logits of a tile to the pixels of a part of it, bilinearly.

    Pixel centers stay where they are; a part has the values that it has in the whole.

    Parameters
    ----------
    logits : ndarray of float32
        ``(maps, rows, columns)``: those of the whole tile.
    tile : Tile
        The tile.
    rows, columns : slice
        A part of the tile, in pixels of the plane.

    Returns
    -------
    ndarray of float32
        ``(maps, rows, columns)``.
    """
    size = logits.shape[-2:]
    top, bottom = rows.start - tile.top, rows.stop - tile.top
    left, right = columns.start - tile.left, columns.stop - tile.left
    if size == (tile.height, tile.width):
        return logits[:, top:bottom, left:right]
    down, across = size[0] / tile.height, size[1] / tile.width
    box = (left * across, top * down, min(right * across, size[1]), min(bottom * down, size[0]))
    size = (right - left, bottom - top)
    images = (Image.fromarray(one) for one in logits)
    resized = [one.resize(size, Image.Resampling.BILINEAR, box=box) for one in images]
    return np.stack([np.asarray(one) for one in resized])


class Stitcher:
    """Blends the logits of the tiles of a plane, band by band.

    Parameters
    ----------
    tiles : sequence of Tile
        The tiles of a plane: a grid, row by row.
    rows, columns : slice
        The part of the plane to compute.
    """

    def __init__(self, tiles: Sequence[Tile], rows: slice, columns: slice) -> None:
        self._rows, self._columns = rows, columns
        self._height, self._width = tiles[0].height, tiles[0].width
        self._tops = sorted({tile.top for tile in tiles})
        self._lefts = sorted({tile.left for tile in tiles})
        self._logits: dict[Tile, Float32] = {}
        width = columns.stop - columns.start
        self._across = blending_weights(self._lefts, self._width, columns.start, width)
        height = rows.stop - rows.start
        self._down = blending_weights(self._tops, self._height, rows.start, height)

    def add(self, tile: Tile, logits: Float32) -> None:
        """Take the logits of a tile: ``(maps, rows, columns)``."""
        self._logits[tile] = logits

    def ready_until(self, row: int) -> int:
        """Return up to which row the plane is complete once the tiles that start at `row` are."""
        stop: int = self._rows.stop
        return min([stop, *(top for top in self._tops if top > row)])

    def band(self, rows: slice) -> Float32:
        """Return the blended logits of some rows: ``(maps, rows, columns)``."""
        maps = len(next(iter(self._logits.values())))
        width = self._columns.stop - self._columns.start
        total = np.zeros((maps, rows.stop - rows.start, width), np.float32)
        alone = len(self._logits) == 1 and len(self._tops) == len(self._lefts) == 1
        for tile, logits in self._logits.items():
            top = max(rows.start, tile.top)
            bottom = min(rows.stop, tile.top + self._height)
            left = max(self._columns.start, tile.left)
            right = min(self._columns.stop, tile.left + self._width)
            if top >= bottom:
                continue
            part = on_pixels(logits, tile, slice(top, bottom), slice(left, right))
            if alone:
                return np.array(part)
            down = self._down[self._tops.index(tile.top)]
            across = self._across[self._lefts.index(tile.left)]
            down = down[top - tile.top : bottom - tile.top]
            across = across[left - tile.left : right - tile.left]
            weighted = part * down[:, None]
            weighted *= across
            at = slice(left - self._columns.start, right - self._columns.start)
            total[:, top - rows.start : bottom - rows.start, at] += weighted
        return total

    def so_far(self, rows: slice, columns: slice) -> Float32:
        """Return the logits of a part as far as tiles are there: ``(maps, rows, columns)``.

        Where tiles overlap and some are missing, those that are there count for all; where there
        is none, a logit is minus infinity.
        """
        maps = len(next(iter(self._logits.values())))
        size = (rows.stop - rows.start, columns.stop - columns.start)
        total, weights = np.zeros((maps, *size), np.float32), np.zeros(size, np.float32)
        for tile, logits in self._logits.items():
            top, bottom = max(rows.start, tile.top), min(rows.stop, tile.top + self._height)
            left = max(columns.start, tile.left)
            right = min(columns.stop, tile.left + self._width)
            if top >= bottom or left >= right:
                continue
            part = on_pixels(logits, tile, slice(top, bottom), slice(left, right))
            down = self._down[self._tops.index(tile.top)][top - tile.top : bottom - tile.top]
            across = self._across[self._lefts.index(tile.left)]
            weight = down[:, None] * across[left - tile.left : right - tile.left]
            at = (
                slice(top - rows.start, bottom - rows.start),
                slice(left - columns.start, right - columns.start),
            )
            total[:, *at] += part * weight
            weights[at] += weight
        known = weights > 0
        total[:, known] /= weights[known]
        total[:, ~known] = -np.inf
        return total

    def drop_before(self, row: int) -> None:
        """Drop the logits of tiles that end before a row."""
        for tile in [one for one in self._logits if one.top + self._height <= row]:
            del self._logits[tile]


def sigmoid(logits: Float32) -> Float32:
    """Return the probabilities of logits: ``1 / (1 + exp(-x))``, without overflow."""
    # Equal to the formula, and tanh never overflows.
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), dtype=np.float32)
