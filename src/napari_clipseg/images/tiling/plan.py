"""What a run will do, before it does it: which planes, which level, which tiles, at what cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import Axes

# Tiles that are looked at together: more gain little, and cost memory.
BATCH = 8
BAND = 512  # rows that are put together and written at once
FLOAT32 = 4  # bytes


@dataclass(frozen=True)
class Detail:
    """How closely the model looks.

    Attributes
    ----------
    tile : float, "one look", "medium" or "fine"
        Side of a tile, in pixels of the finest level, or in units. "one look": all of a plane
        in one square. "fine": as many pixels as the model's own square has; "medium": three
        times as many.
    physical : bool
        Whether `tile` is in units of the source's spacing, not in pixels.
    overlap : float
        Least share of a tile's side that it has in common with the next one; 0 to 0.9.
    overview : float
        Weight of a look at the whole plane that is mixed into the tiles' answers, so that they
        keep their context; 0 to 1.
    shift : float
        Share of the way from one tile to the next by which all of them are moved up and left;
        0 to 1. Answers of other shifts tell how much depends on how the image was cut.
    """

    tile: float | Literal["one look", "medium", "fine"] = "one look"
    physical: bool = False
    overlap: float = 0.25
    overview: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        named = self.tile in ("one look", "medium", "fine")
        if not named and (isinstance(self.tile, str) or not 0 < self.tile < math.inf):
            raise ValueError(
                f"The tile is {self.tile!r}; wanted 'one look', 'medium', 'fine', or a side "
                f"above 0 such as 512."
            )
        for name, most in (("overlap", 0.9), ("overview", 1), ("shift", 1)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(
                    f"The {name} of tiles is {getattr(self, name)}; wanted 0 to {most}."
                )


@dataclass(frozen=True)
class Window:
    """A part of a plane that the model looks at, in pixels of the plan's level.

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


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run will do. Nothing of the image's pixels was read to make it.

    Attributes
    ----------
    axes : tuple of str
        Along which planes lie.
    planes_shape : tuple of int
        How many planes along each of them.
    planes : tuple of tuple of int
        Where each plane lies in the source, in order.
    level : int
        Which level is read.
    factor : tuple of float
        Pixels of the finest level under one of the level, down and across.
    rows, columns : slice
        The region, in pixels of the level: what the map covers.
    outline : ndarray of float, optional
        ``(corners, 2)`` in pixels of the level, beyond which nothing is found.
    windows : tuple of Window
        Tiles, row by row.
    overview : Window or None
        A look at the whole region besides.
    overview_weight : float
        Of it, against that of the tiles.
    side : int
        Of the square that the model is made for, in pixels. A look at a part of another shape
        has another shape, too, and about as many pixels.
    patch : int
        Side of the model's patches, of which a look has a whole number each way.
    prompts : int
        How many answers.
    """

    axes: Axes
    planes_shape: tuple[int, ...]
    planes: tuple[tuple[int, ...], ...]
    level: int
    factor: tuple[float, float]
    rows: slice
    columns: slice
    outline: NDArray[np.float64] | None
    windows: tuple[Window, ...]
    overview: Window | None
    overview_weight: float
    side: int
    patch: int
    prompts: int

    @property
    def height(self) -> int:
        """Of the map, in pixels of the level."""
        return int(self.rows.stop - self.rows.start)

    @property
    def width(self) -> int:
        """Of the map, in pixels of the level."""
        return int(self.columns.stop - self.columns.start)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the map: ``(prompts, *planes, height, width)``."""
        return (self.prompts, *self.planes_shape, self.height, self.width)

    @property
    def origin(self) -> tuple[float, float]:
        """Where the map's first pixel has its centre, in pixels of the finest level."""
        return (
            self.rows.start * self.factor[0] + (self.factor[0] - 1) / 2,
            self.columns.start * self.factor[1] + (self.factor[1] - 1) / 2,
        )

    @property
    def looks(self) -> tuple[Window, ...]:
        """All windows of a plane: the overview, if there is one, and the tiles."""
        return self.windows if self.overview is None else (self.overview, *self.windows)

    def size(self, window: Window) -> tuple[int, int]:
        """Return rows and columns of what the model sees of a window; its shape is kept."""
        tile = math.sqrt(window.height * window.width)
        if len(self.windows) > 1 and window is not self.overview:
            tile = max(window.height, window.width)  # a tile that a narrow plane cut short
        patches = self.side / tile / self.patch
        rows, columns = (max(1, round(n * patches)) for n in (window.height, window.width))
        # Of a line only, one patch high, the shape is not kept: attention is over all patches.
        most = max(1, 2 * (self.side // self.patch) ** 2 // min(rows, columns))
        return self.patch * min(rows, most), self.patch * min(columns, most)

    @property
    def patch_pixels(self) -> float:
        """How many pixels of the map a patch of the model covers each way, in the mean."""
        window = self.windows[0]
        rows, columns = self.size(window)
        return self.patch * math.sqrt(window.height * window.width / (rows * columns))

    @property
    def passes(self) -> int:
        """How often the model looks."""
        return len(self.planes) * len(self.looks)

    @property
    def map_bytes(self) -> int:
        """Size of the map in float32."""
        return math.prod(self.shape) * FLOAT32

    @property
    def working_bytes(self) -> int:
        """What a run holds besides map, model and source, roughly."""
        first = self.windows[0]
        # Answers are kept while rows to come overlap their tile.
        kept = sum(w.top < first.top + first.height for w in self.windows) + 1
        answers = kept * self.prompts * self.side**2 * FLOAT32
        bands = 4 * self.prompts * min(BAND, self.height) * self.width * FLOAT32
        pictures = BATCH * self.side**2 * 3 + min(first.height * first.width, 4096**2) * 3
        return answers + bands + pictures

    def __str__(self) -> str:
        """Say it in words."""
        tile, count = self.windows[0], len(self.windows)
        tiles = f"in {count} tiles of {tile.height} x {tile.width} pixels"
        look = "in one look" if count == 1 else tiles
        if self.overview is not None:
            look += f" and one overview (weight {self.overview_weight:g})"
        level = f" of level {self.level}" if self.level else ""
        planes, looks = (
            f"{n} {name}{'s' * (n != 1)}"
            for n, name in ((len(self.planes), "plane"), (self.passes, "look"))
        )
        size, work = (f"{n / 2**20:,.0f} MB" for n in (self.map_bytes, self.working_bytes))
        return (
            f"{planes} of {self.height} x {self.width} pixels{level}, {look}: {looks}; "
            f"a map of {size}, {work} to work with"
        )
