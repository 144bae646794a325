"""What a run will do, before it does it: which planes, level and tiles, at what cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.extent import Extent

REGION_SIDE = 384  # pixels; regions are found in tiles of at most this size
BAND = 512  # rows that are put together and written at once
FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class Detail:
    """How finely the model sees a plane: as a whole, or tile by tile.

    Attributes
    ----------
    tile_size : float, "whole", "medium" or "fine"
        Side of a tile, in pixels of the finest level, or in units. "whole": the plane as one
        tile. "fine": as many pixels as the model's own square has; "medium": three times as
        many a side.
    physical : bool
        Whether `tile_size` is in units of the image's spacing, not in pixels.
    overlap : float
        Least share of a tile's side that it has in common with the next tile; 0 to 0.9.
    overview : float
        Weight of the whole plane as one more tile, mixed into the others so that they keep
        their context; 0 to 1.
    shift : float
        Share of the distance between two tiles by which all are moved up and left; 0 to 1.
        Other shifts show how much a map depends on where the image was cut.

    Raises
    ------
    ValueError
        If a value is not possible.

    Examples
    --------
    >>> Detail("fine", overlap=0.5).overlap
    0.5
    >>> Detail(overview=30)
    Traceback (most recent call last):
    ...
    ValueError: The overview of tiles is 30; wanted 0 to 1.
    """

    tile_size: float | Literal["whole", "medium", "fine"] = "whole"
    physical: bool = False
    overlap: float = 0.25
    overview: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        size = self.tile_size
        if isinstance(size, str):
            possible = size in ("whole", "medium", "fine")
        else:
            possible = isinstance(size, int | float | np.number) and 0 < size < math.inf
        if not possible:
            raise ValueError(
                f"The tile size is {self.tile_size!r}; wanted 'whole', 'medium', 'fine', or a "
                f"side above 0 such as 512."
            )
        for name, most in (("overlap", 0.9), ("overview", 1), ("shift", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(
                    f"The {name} of tiles is {getattr(self, name)}; wanted 0 to {most}."
                )


@dataclass(frozen=True)
class Tile:
    """A part of a plane that the model sees at once, in pixels of the plan's level.

    Attributes
    ----------
    top, left : int
        Its first row and column; below 0 where it begins before the plane does.
    height, width : int
        Its size; it may end beyond the plane.
    """

    top: int
    left: int
    height: int
    width: int


def region_size(tile: Tile) -> tuple[int, int]:
    """Return rows and columns in which regions are found in a tile: its own, if it is small."""
    smaller = min(1.0, REGION_SIDE / max(tile.height, tile.width))
    return max(1, round(tile.height * smaller)), max(1, round(tile.width * smaller))


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do. No pixel of the image was read to make it.

    Attributes
    ----------
    level : int
        Which level is read.
    rows, columns : slice
        The part of each plane that the map covers, in pixels of the level.
    outline : ndarray of float, optional
        ``(corners, 2)`` in pixels of the level; outside of it the map is 0.
    tiles : tuple of Tile
        The tiles of a plane, row by row.
    overview : Tile or None
        The whole part as one more tile.
    overview_weight : float
        Weight of the overview against the tiles.
    side : int
        Side of the square that the model is made for, in pixels. A tile of another shape is
        seen in that shape, with about as many pixels.
    patch : int
        Side of the model's patches; an input has a whole number of them each way.
    maps : int
        Number of maps, one per prompt.
    extent : Extent
        Planes, size and place of the maps.

    Examples
    --------
    >>> from napari_clipseg import plan
    >>> print(plan(np.zeros((3, 300, 400), dtype=np.uint8), ["nuclei", "rings"], detail="fine"))
    3 planes of 300 x 400 pixels, in 6 tiles of 192 x 192 pixels: 18 tiles; ...
    """

    level: int
    rows: slice
    columns: slice
    outline: NDArray[np.float64] | None
    tiles: tuple[Tile, ...]
    overview: Tile | None
    overview_weight: float
    side: int
    patch: int
    maps: int
    extent: Extent

    @property
    def height(self) -> int:
        """Height of the map, in pixels of the level."""
        return self.extent.height

    @property
    def width(self) -> int:
        """Width of the map, in pixels of the level."""
        return self.extent.width

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all maps: ``(maps, *planes, height, width)``."""
        return (self.maps, *self.extent.shape)

    @property
    def tiles_of_plane(self) -> tuple[Tile, ...]:
        """All tiles of a plane: the overview, if there is one, then the others."""
        return self.tiles if self.overview is None else (self.overview, *self.tiles)

    @property
    def tile_count(self) -> int:
        """Number of tiles of the whole run."""
        return len(self.extent.planes) * len(self.tiles_of_plane)

    def input_size(self, tile: Tile) -> tuple[int, int]:
        """Return rows and columns of what the model sees of a tile; its shape is kept."""
        side = math.sqrt(tile.height * tile.width)
        if len(self.tiles) > 1 and tile != self.overview:
            side = max(tile.height, tile.width)  # a tile that a narrow plane cut short
        patches = self.side / side / self.patch
        rows, columns = (max(1, round(n * patches)) for n in (tile.height, tile.width))
        # A line of patches does not keep its shape: attention is over all of its patches.
        most = max(1, 2 * (self.side // self.patch) ** 2 // min(rows, columns))
        return self.patch * min(rows, most), self.patch * min(columns, most)

    @property
    def patch_pixels(self) -> float:
        """Mean number of pixels of the map that a patch of the model covers each way."""
        tile = self.tiles[0]
        rows, columns = self.input_size(tile)
        return self.patch * math.sqrt(tile.height * tile.width / (rows * columns))

    @property
    def map_bytes(self) -> int:
        """Size of all maps in float32."""
        return math.prod(self.shape) * FLOAT32

    @property
    def working_bytes(self) -> int:
        """Memory that a run needs besides maps, model and image, roughly."""
        first = self.tiles[0]
        # Logits are held while rows to come overlap their tile.
        held = sum(tile.top < first.top + first.height for tile in self.tiles) + 1
        logits = held * self.maps * self.side**2 * FLOAT32
        bands = 4 * self.maps * min(BAND, self.height) * self.width * FLOAT32
        pixels = self.side**2 * 3 + min(first.height * first.width, 4096**2) * 3
        return logits + bands + pixels

    def __str__(self) -> str:
        """Describe the run in one sentence."""
        tile, count = self.tiles[0], len(self.tiles)
        cut = "as a whole"
        if count > 1:
            cut = f"in {count} tiles of {tile.height} x {tile.width} pixels"
        if self.overview is not None:
            cut += f" and one overview (weight {self.overview_weight:g})"
        level = f" of level {self.level}" if self.level else ""
        planes, tiles = (
            f"{n} {name}{'s' * (n != 1)}"
            for n, name in ((len(self.extent.planes), "plane"), (self.tile_count, "tile"))
        )
        size, work = (f"{n / 2**20:,.0f} MB" for n in (self.map_bytes, self.working_bytes))
        return (
            f"{planes} of {self.height} x {self.width} pixels{level}, {cut}: {tiles}; "
            f"a map of {size}, {work} to work with"
        )
