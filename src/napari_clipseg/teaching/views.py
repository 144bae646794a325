"""The tiles of one image that strokes lie on: their features, and what pixels are judged by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.cache import ByteCache
from napari_clipseg.decoding import Pixels, cached_regions, component_maps
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.images.rendering import Appearance, resolve
from napari_clipseg.images.tiling.plan import Detail, Plan, Tile, region_size
from napari_clipseg.images.tiling.planning import make_plan
from napari_clipseg.images.tiling.stitch import on_pixels
from napari_clipseg.images.tiling.tiles import render_tile
from napari_clipseg.teaching.strokes import Strokes

if TYPE_CHECKING:
    from napari_clipseg.engine.features import Features

Float32 = NDArray[np.float32]
Places = NDArray[np.intp]
CACHE_BYTES = 2**30
BLOCK = (256, 512)  # rows and columns that are filtered at once
MOST_BLOCKS = 16  # of a tile, that pixels are sampled from


@dataclass(frozen=True, eq=False)
class View:
    """One tile of one plane, and the pixels in it that are painted.

    Attributes
    ----------
    plane : tuple of int
        Index of the plane.
    tile : Tile
        In pixels of the level.
    image : ndarray of uint8
        What the model sees of it.
    features : Features
        Of that.
    painted : ndarray of int
        Numbers of the strokes' pixels in it.
    """

    plane: tuple[int, ...]
    tile: Tile
    image: NDArray[np.uint8]
    features: Features
    painted: NDArray[np.intp]


class Views:
    """What is taught on of one image; tiles are encoded when strokes first lie on them.

    Parameters
    ----------
    image : image, layer or Source
        See `segment`.
    engine : Engine
        What encodes.
    detail : Detail
        The tiles; the same are to be used later.
    appearance : Appearance
        How the model sees the image.
    level : int, optional
        Of a multiscale image.
    axes : str or sequence of str, optional
        Names of the image's axes.
    """

    def __init__(
        self,
        image: Any,
        engine: Engine,
        *,
        detail: Detail,
        appearance: Appearance,
        level: int | None = None,
        axes: str | Sequence[str] | None = None,
    ) -> None:
        self.source: Source = as_source(image, axes=axes)
        self.name = str(getattr(image, "name", "") or "image")
        self.engine = engine
        self.plan: Plan = make_plan(
            self.source,
            side=max(engine.size),
            patch=engine.config.vision_config.patch_size,
            maps=1,
            detail=detail,
            level=level,
        )
        self._reader = self.source.open()
        self._rendering = resolve(self._reader, appearance, self.plan.extent.planes)
        self.pixels = Pixels.of(self._reader, self._rendering, self.plan.extent.planes)
        self._responses: ByteCache[Float32] = ByteCache(CACHE_BYTES)
        self._regions: ByteCache[NDArray[Any]] = ByteCache(CACHE_BYTES // 4)

    @property
    def image_channels(self) -> int:
        """Number of channels that pixels are judged by."""
        return self.pixels.count

    def of(self, strokes: Strokes) -> list[View]:
        """Return the tiles that strokes lie on; each pixel belongs to the nearest tile."""
        views = []
        tiles = self.plan.tiles
        middles = np.array([(t.top + t.height / 2, t.left + t.width / 2) for t in tiles])
        for plane in strokes.planes:
            on = strokes.on(plane)
            places = strokes.places[on, -2:] + 0.5
            away = np.abs(places[:, None] - middles).max(axis=2)
            nearest = away.argmin(axis=1)
            for number in np.unique(nearest):
                image = self.render(plane, tiles[number])
                features = self.engine.encode([image], resize=False)
                views.append(View(plane, tiles[number], image, features, on[nearest == number]))
        return views

    def render(self, plane: tuple[int, ...], tile: Tile) -> NDArray[np.uint8]:
        """Return what the model sees of a tile."""
        return self._rendered(plane, tile, self.plan.input_size(tile))

    def _rendered(
        self, plane: tuple[int, ...], tile: Tile, size: tuple[int, int]
    ) -> NDArray[np.uint8]:
        return render_tile(
            self._reader, self._rendering, plane, tile, level=self.plan.level, size=size
        )

    def finite(self, strokes: Strokes) -> NDArray[np.bool_]:
        """Return at which painted pixels the image has finite numbers only: ``(pixels,)``."""
        found = np.ones(len(strokes), bool)
        if not self.source.may_have_gaps:
            return found
        channels = range(self.source.channels)
        for plane in strokes.planes:
            on = strokes.on(plane)
            for (top, left), numbers in _blocks(*strokes.places[on, -2:].T):
                own = on[numbers]
                part = slice(top, top + BLOCK[0]), slice(left, left + BLOCK[1])
                pixels = self._reader.read(self.plan.level, plane, *part, channels=channels)
                y, x = strokes.places[own, -2:].T
                found[own] = np.isfinite(pixels[y - top, x - left]).all(axis=1)
        return found

    def region_maps(self, view: View) -> Float32:
        """Return the region numbers of a tile, cached."""
        image = self._rendered(view.plane, view.tile, region_size(view.tile))
        return cached_regions([image], self._regions)[0]

    def responses_at(self, plane: tuple[int, ...], rows: Places, columns: Places) -> Float32:
        """Return the filtered values of pixels of a plane: ``(pixels, filters)``."""
        found: Float32 | None = None
        for (top, left), own in _blocks(rows, columns):
            values = self._responses_of(plane, top, left)[rows[own] - top, columns[own] - left]
            if found is None:
                found = np.empty((len(rows), values.shape[1]), np.float32)
            found[own] = values
        assert found is not None  # there is a pixel
        return found

    def responses_at_strokes(self, strokes: Strokes) -> Float32:
        """Return the filtered values of painted pixels: ``(pixels, filters)``."""
        found: Float32 | None = None
        for plane in strokes.planes:
            on = strokes.on(plane)
            values = self.responses_at(plane, *strokes.places[on, -2:].T)
            if found is None:
                found = np.empty((len(strokes), values.shape[1]), np.float32)
            found[on] = values
        assert found is not None
        return found

    def inputs(
        self,
        view: View,
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
        class_maps: Float32,
        components: Float32,
    ) -> Float32:
        """Return what pixels of a tile are judged by, in the order of `Decoding.judge`.

        Parameters
        ----------
        view : View
            The tile.
        rows, columns : ndarray of int
            ``(pixels,)`` in pixels of the level.
        class_maps : ndarray of float32
            ``(2, rows, columns)``: the decoder's logits of the tile.
        components : ndarray of float32
            See `LearnedPrompt.components`.

        Returns
        -------
        ndarray of float32
            ``(pixels, inputs)``, regions last.
        """
        deep = component_maps(view.features, components, view.image.shape[:2])[0]
        regions = self.region_maps(view)
        maps = np.concatenate([class_maps, deep])
        found: Float32 | None = None
        for (top, left), own in _blocks(rows, columns):
            y, x = rows[own], columns[own]
            part = slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1)
            places = y - part[0].start, x - part[1].start
            near = np.concatenate(
                [on_pixels(one, view.tile, *part)[:, *places] for one in (maps, regions)]
            )
            responses = self._responses_of(view.plane, top, left)[y - top, x - left]
            inputs = np.concatenate([responses, near.T], axis=1)
            if found is None:
                found = np.empty((len(rows), inputs.shape[1]), np.float32)
            found[own] = inputs
        assert found is not None  # there is a pixel
        return found

    def _responses_of(self, plane: tuple[int, ...], top: int, left: int) -> Float32:
        """Return the filtered pixels of a block, cached: ``(rows, columns, filters)``."""

        def make(_: Any) -> list[Float32]:
            level = self.plan.level
            height, width = self.source.shape_of(level)
            rows = slice(top, min(top + BLOCK[0], height))
            columns = slice(left, min(left + BLOCK[1], width))
            return [self.pixels.responses(level, plane, rows, columns, wanted=self.image_channels)]

        (found,) = self._responses.get_or_make([(plane, top, left)], make)
        return found

    def sample(self, view: View, strokes: Strokes, count: int) -> tuple[Places, Places]:
        """Return rows and columns of about `count` pixels of a tile, evenly spread.

        Of a very large tile those of some blocks: where strokes are, and others between them.
        """
        height, width = self.source.shape_of(self.plan.level)
        tile = view.tile
        top, bottom = max(tile.top, 0), min(tile.top + tile.height, height)
        left, right = max(tile.left, 0), min(tile.left + tile.width, width)
        blocks = [
            (y, x)
            for y in range(top // BLOCK[0] * BLOCK[0], bottom, BLOCK[0])
            for x in range(left // BLOCK[1] * BLOCK[1], right, BLOCK[1])
        ]
        if len(blocks) > MOST_BLOCKS:
            y, x = strokes.places[view.painted, -2:].T
            painted = [block for block, _ in _blocks(y, x)]
            half = MOST_BLOCKS // 2
            chosen = [painted[i] for i in _spread(len(painted), half)]
            chosen += [blocks[i] for i in _spread(len(blocks), half)]
            blocks = sorted(set(chosen))
        parts = [
            (
                slice(max(y, top), min(y + BLOCK[0], bottom)),
                slice(max(x, left), min(x + BLOCK[1], right)),
            )
            for y, x in blocks
        ]
        area = sum((r.stop - r.start) * (c.stop - c.start) for r, c in parts)
        step = max(1, int(np.ceil(np.sqrt(area / count))))
        # On one grid of the plane, so that blocks leave no gaps.
        found = [
            np.stack(
                np.meshgrid(
                    *(np.arange(-(-s.start // step) * step, s.stop, step) for s in part),
                    indexing="ij",
                )
            ).reshape(2, -1)
            for part in parts
        ]
        rows, columns = np.concatenate(found, axis=1)
        return rows, columns

    def close(self) -> None:
        """Drop what is cached, and the image."""
        self._reader.close()


def _blocks(rows: Places, columns: Places) -> Iterator[tuple[tuple[int, int], Places]]:
    """Yield the first row and column of each block with pixels in it, and their numbers."""
    blocks = np.stack([rows // BLOCK[0], columns // BLOCK[1]])
    found, own = np.unique(blocks, axis=1, return_inverse=True)
    own = own.reshape(-1)
    for number, (row, column) in enumerate(found.T):
        yield (int(row) * BLOCK[0], int(column) * BLOCK[1]), np.flatnonzero(own == number)


def _spread(count: int, most: int) -> NDArray[np.intp]:
    """Return at most `most` of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))
