"""The grid of tiles that covers a plane."""

from __future__ import annotations

import math

import numpy as np

from napari_clipseg.images.tiling.plan import Detail, Tile

# Of a plane: a slide of 100,000 x 100,000 pixels has 143,641 in full detail.
MOST_TILES = 500_000


def spread(length: int, tile: int, overlap: float, shift: float = 0) -> list[int]:
    """Return the first pixel of each tile, so that tiles cover an axis evenly and overlap.

    Parameters
    ----------
    length : int
        Length of the axis.
    tile : int
        Side of a tile, at most the length.
    overlap : float
        Least share of the side that two neighbors have in common.
    shift : float
        Share of a step by which all tiles are moved back; the first then begins before the axis.
    """
    if tile >= length:
        return [0]
    count, back = _count(length, tile, overlap, shift)
    return [round(first) for first in np.linspace(-back, length - tile, count).tolist()]


def _count(length: int, tile: int, overlap: float, shift: float) -> tuple[int, int]:
    """Return the number of tiles along an axis, and how far before it the first one begins."""
    if tile >= length:
        return 1, 0
    step = max(1, math.floor(tile * (1 - overlap)))
    back = min(round(shift * step), tile - 1)  # a pixel of the axis stays in the first
    return 1 + math.ceil((length - tile + back) / step), back


def check_count(
    shape: tuple[int, int], tile: int, detail: Detail, side: int, factor: float
) -> None:
    """Refuse a grid of millions of tiles, of which none is made.

    Parameters
    ----------
    shape : tuple of int
        Height and width of what is to be covered, in pixels of a level.
    tile : int
        Side of a tile, in the same pixels.
    detail : Detail
        How the tiles overlap.
    side : int
        Side of the model's square.
    factor : float
        Pixels of the finest level along one pixel of the level.

    Raises
    ------
    ValueError
        If there would be more than `MOST_TILES`; the message names a side that is large enough.
    """

    def count(tile: int) -> int:
        along = (_count(length, tile, detail.overlap, detail.shift)[0] for length in shape)
        return math.prod(along)

    if count(tile) <= MOST_TILES:
        return
    larger = side
    while count(max(1, round(larger / factor))) > MOST_TILES:
        larger *= 2
    raise ValueError(
        f"Tiles of {tile} x {tile} pixels would be {count(tile):,} on a plane of {shape[0]} x "
        f"{shape[1]} pixels; wanted at most {MOST_TILES:,}. Take larger tiles, such as "
        f"detail={larger}, or less overlap, or a region."
    )


def grid(rows: slice, columns: slice, tile: int, detail: Detail) -> tuple[Tile, ...]:
    """Return the tiles of this side that cover a part of a plane, row by row."""
    starts, sizes = [], []
    for part in (rows, columns):
        length = part.stop - part.start
        sizes.append(min(tile, length))
        places = spread(length, sizes[-1], detail.overlap, detail.shift)
        starts.append([part.start + place for place in places])
    return tuple(Tile(top, left, *sizes) for top in starts[0] for left in starts[1])
