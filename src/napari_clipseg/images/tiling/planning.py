"""Makes the plan of a run; no pixel of the image is read."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.geometry import check_corners, encloses_area
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.source import Source
from napari_clipseg.images.tiling.grid import check_count, grid
from napari_clipseg.images.tiling.plan import Detail, Plan, Tile

# Of a whole plane the model sees a few hundred pixels a side; a map of this many is fine enough.
ENOUGH_PIXELS = 1024
NAMED_TILES = {"medium": 3, "fine": 1}  # in sides of the model's square


Planes = Mapping[str, int | slice | range]


def make_plan(
    source: Source,
    *,
    side: int,
    patch: int = 1,
    maps: int = 1,
    detail: Detail | None = None,
    planes: Planes | None = None,
    region: Sequence[Sequence[float]] | NDArray[np.floating] | None = None,
    level: int | None = None,
) -> Plan:
    """Plan a run: its planes, level, tiles, and the extent of its maps.

    Parameters
    ----------
    source : Source
        The image; none of its pixels is read.
    side : int
        Side of the model's square, in pixels.
    patch : int
        Side of the model's patches, in pixels.
    maps : int
        Number of maps, one per prompt.
    detail : Detail, optional
        How finely each plane is seen; by default as a whole.
    planes : mapping, optional
        From the name of an axis to an index, or a slice or range of indices; all planes by
        default. Indices below 0 count from the end.
    region : array-like, optional
        ``(corners, 2)``, row and column of each corner in pixels of the finest level: two for
        a rectangle (the corners belong to it), more for an outline. By default the whole plane.
    level : int, optional
        Level to read. By default the coarsest that is fine enough.

    Raises
    ------
    ValueError
        If there is no such axis, index or level, the region lies beside the image or encloses no
        area, or a plane would have millions of tiles.
    TypeError
        If planes are neither an index nor a slice or range of indices.

    Examples
    --------
    >>> from napari_clipseg.images.io.source import as_source
    >>> source = as_source(np.zeros((40, 512, 512), np.uint8), axes="zyx")
    >>> plan = make_plan(source, side=352, patch=16, planes={"z": slice(0, 40, 2)})
    >>> plan.shape, plan.tile_count, plan.extent.plane_steps
    ((1, 20, 512, 512), 20, (2,))
    >>> print(plan)
    20 planes of 512 x 512 pixels, as a whole: 20 tiles; a map of 20 MB, 7 MB to work with
    """
    detail = detail or Detail()
    index = [_positions(source, name, n, planes) for name, n in _lengths(source).items()]
    unknown = set(planes or ()) - set(source.plane_axes)
    if unknown:
        raise ValueError(
            f"Got planes along {sorted(unknown)}; the image has them along "
            f"{list(source.plane_axes)}."
        )
    tile = _tile(source, detail, side)
    corners = None if region is None else _corners(region)
    if level is None:
        level = _level(source, tile, side, corners)
    elif not 0 <= level < len(source.levels):
        raise ValueError(f"There is no level {level}; the image has {len(source.levels)}, from 0.")
    factor = source.factor(level)
    rows, columns, outline = _region(source, corners, level)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    whole = Tile(rows.start, columns.start, height, width)
    tiles: tuple[Tile, ...] = (whole,)
    if tile is not None:
        tile /= math.sqrt(factor[0] * factor[1])
        # The whole plane shows as much as a tile of its area would.
        if tile < math.sqrt(height * width):
            cut = max(1, round(tile))
            check_count((height, width), cut, detail, side, math.sqrt(factor[0] * factor[1]))
            tiles = grid(rows, columns, cut, detail)
    origin = tuple(
        part.start * one + (one - 1) / 2 for part, one in zip((rows, columns), factor, strict=True)
    )
    extent = Extent(
        axes=source.plane_axes,
        planes_shape=tuple(len(one) for one in index),
        planes=tuple(
            tuple(int(axis[i]) for axis, i in zip(index, at, strict=True))
            for at in np.ndindex(*(len(one) for one in index))
        ),
        height=height,
        width=width,
        origin=(origin[0], origin[1]),
        factor=factor,
        spacing=(source.spacing[0] * factor[0], source.spacing[1] * factor[1]),
        translation=source.translation,
        unit=source.unit,
        z_spacing=source.z_spacing,
        z_translation=source.z_translation,
    )
    return Plan(
        level=level,
        rows=rows,
        columns=columns,
        outline=outline,
        tiles=tiles,
        overview=whole if len(tiles) > 1 and detail.overview else None,
        overview_weight=detail.overview,
        side=side,
        patch=patch,
        maps=maps,
        extent=extent,
    )


def _lengths(source: Source) -> dict[str, int]:
    return dict(zip(source.plane_axes, source.planes_shape, strict=True))


def _positions(source: Source, name: str, length: int, planes: Planes | None) -> list[int]:
    wanted = (planes or {}).get(name, slice(None))
    if isinstance(wanted, slice):
        found = list(range(length))[wanted]
    else:
        try:
            given = list(wanted) if isinstance(wanted, range) else [operator.index(wanted)]
        except TypeError as error:
            raise TypeError(
                f"Got the planes {wanted!r} along {name!r}; wanted a number, a slice or a range."
            ) from error
        found = [i + length if i < 0 else i for i in given]
    if not found or not all(0 <= i < length for i in found):
        raise ValueError(
            f"Got the planes {wanted} along {name!r}; the image has {length} of them, from 0."
        )
    return found


def _tile(source: Source, detail: Detail, side: int) -> float | None:
    """Return the side of a tile in pixels of the finest level."""
    if detail.tile_size == "whole":
        return None
    if detail.tile_size in NAMED_TILES:
        return NAMED_TILES[str(detail.tile_size)] * side
    tile = float(detail.tile_size)
    return tile / math.sqrt(math.prod(source.spacing)) if detail.physical else tile


def _level(
    source: Source, tile: float | None, side: int, corners: NDArray[np.float64] | None
) -> int:
    """Return the coarsest level in which a tile has no fewer pixels than the model needs."""
    seen: Sequence[float] = source.shape
    if corners is not None:
        inside = corners.clip(-0.5, np.subtract(source.shape, 0.5))
        seen = (np.ptp(inside, axis=0) + 1).tolist()
    if tile is None or tile >= max(seen):  # the whole plane
        size, least = seen, max(ENOUGH_PIXELS, side)
    else:
        size, least = (tile, tile), side
    fine_enough = 0
    for level in range(len(source.levels)):
        lengths = zip(size, source.shape_of(level), source.shape, strict=True)
        if all(one * coarse >= least * fine for one, coarse, fine in lengths):
            fine_enough = level
    return fine_enough


def _corners(region: Sequence[Sequence[float]] | NDArray[np.floating]) -> NDArray[np.float64]:
    corners = np.asarray(region, dtype=float)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 2:
        raise ValueError(
            f"The region has shape {corners.shape}; wanted (corners, 2): row and column of two "
            f"corners of a rectangle, or of all corners of an outline."
        )
    check_corners(corners, "The region")
    if len(corners) > 2 and not encloses_area(corners):
        raise ValueError(
            "The region encloses no area. Draw an outline around what is to be segmented."
        )
    return corners


def _region(
    source: Source, corners: NDArray[np.float64] | None, level: int
) -> tuple[slice, slice, NDArray[np.float64] | None]:
    """Return rows, columns and outline of a region in pixels of a level."""
    shape = source.shape_of(level)
    if corners is None:
        return slice(0, shape[0]), slice(0, shape[1]), None
    factor = np.asarray(source.factor(level))
    corners = (corners - (factor - 1) / 2) / factor
    first = np.floor(corners.min(axis=0) + 0.5).astype(int).clip(0)
    last = np.minimum(np.ceil(corners.max(axis=0) - 0.5).astype(int) + 1, shape)
    if (last <= first).any():
        raise ValueError(
            f"The region lies beside the image of {source.shape[0]} x {source.shape[1]} pixels. "
            f"Draw it over the image."
        )
    rows, columns = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return rows, columns, corners if len(corners) > 2 else None
