"""A tile of a plane as the model sees it; no more is read than it needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_clipseg.images.io.source import Reader
from napari_clipseg.images.rendering import Rendering
from napari_clipseg.images.tiling.plan import Tile

# A tile of more pixels is averaged while it is read; it is never in memory as a whole.
MOST_PIXELS = 4096**2
# How much finer than the model's square such averages stay. Pillow uses the same number for its
# thumbnails: they then differ little from a resize of all pixels.
GAP = 3


def render_tile(
    reader: Reader,
    rendering: Rendering,
    plane: Sequence[int],
    tile: Tile,
    *,
    level: int = 0,
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Return what the model sees of a tile.

    Where the tile reaches beyond the plane, the plane is mirrored, so that the model sees no
    edge that is not in the image.

    Parameters
    ----------
    reader : Reader
        Of the image.
    rendering : Rendering
        How its pixels become 8-bit RGB.
    plane : sequence of int
        Index of the plane along each axis of planes.
    tile : Tile
        In pixels of the level.
    level : int
        Level of the image that is read.
    size : tuple of int
        Rows and columns of what the model sees.

    Returns
    -------
    ndarray of uint8
        ``(rows, columns, 3)``.
    """
    reduce = 1
    if tile.height * tile.width > MOST_PIXELS:
        finer = min(tile.height / size[0], tile.width / size[1])
        reduce = max(1, int(finer / GAP))
    starts, lengths = (tile.top, tile.left), (tile.height, tile.width)
    rows, columns = map(_needed, starts, lengths, reader.source.shape_of(level))
    strip = max(reduce, MOST_PIXELS // (columns.stop - columns.start) // reduce * reduce)
    parts = []
    for start in range(rows.start, rows.stop, strip):
        part = slice(start, min(start + strip, rows.stop))
        shown = rendering.apply(reader.read(level, plane, part, columns, rendering.channels))
        parts.append(shown if reduce == 1 else np.asarray(Image.fromarray(shown).reduce(reduce)))
    seen = parts[0] if len(parts) == 1 else np.concatenate(parts)
    # The tile's edges in pixels of what was read, down and across.
    before = [(s.start - start) / reduce for s, start in zip((rows, columns), starts, strict=True)]
    reach = [length / reduce for length in lengths]
    pads = [
        (max(0, int(np.ceil(gap))), max(0, int(np.ceil(far - gap - there))))
        for gap, far, there in zip(before, reach, seen.shape, strict=False)
    ]
    if np.any(pads):
        seen = np.pad(seen, [*pads, (0, 0)], mode="symmetric")
    firsts = [pad[0] - gap for pad, gap in zip(pads, before, strict=True)]
    lasts = [
        min(first + far, most) for first, far, most in zip(firsts, reach, seen.shape, strict=False)
    ]
    top, left = map(int, firsts)
    seen = seen[top : int(np.ceil(lasts[0])), left : int(np.ceil(lasts[1]))]
    if seen.shape[:2] == size == lengths:
        return seen  # pixel for pixel
    box = (firsts[1] - left, firsts[0] - top, lasts[1] - left, lasts[0] - top)
    image = Image.fromarray(np.ascontiguousarray(seen))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR, box=box))


def _needed(start: int, length: int, most: int) -> slice:
    """Return the part of an axis that a tile shows, directly or mirrored."""
    stop = start + length
    return slice(max(0, min(start, 2 * most - stop)), min(most, max(stop, -start)))
