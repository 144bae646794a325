"""A plane of a run: the windows that the model looks at, and its answers put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.rendering import Rendering
from napari_clipseg.images.tiling.plan import BAND, BATCH, Plan, Window
from napari_clipseg.images.probability import Float32
from napari_clipseg.images.visual_prompts import outline_mask
from napari_clipseg.images.io.source import Source
from napari_clipseg.images.tiling.stitch import Stitcher, on_pixels, sigmoid
from napari_clipseg.images.tiling.tiles import picture


def batches(plan: Plan) -> Iterator[tuple[Window, ...]]:
    """Yield the looks at a plane as they are taken together; each row of tiles ends a batch."""
    if plan.overview is not None:
        yield (plan.overview,)
    row: list[Window] = []
    for i, window in enumerate(plan.windows, start=1):
        row.append(window)
        ends = i == len(plan.windows) or plan.windows[i].top != window.top
        if ends or len(row) == BATCH:
            yield tuple(row)
            row.clear()


class Mosaic:
    """One plane of a run.

    Parameters
    ----------
    source : Source
        The image.
    rendering : Rendering
        How the model sees its pixels.
    plan : Plan
        Of the run.
    plane : tuple of int
        Where the plane lies in the source.
    whole_bands : bool
        Whether `add` gives rows in bands of `BAND` only, so that each chunk of a file is written
        once, or as soon as they are complete.

    Attributes
    ----------
    any_finite : bool
        Whether a pixel of the rows given so far was a finite number.
    """

    def __init__(
        self,
        source: Source,
        rendering: Rendering,
        plan: Plan,
        plane: tuple[int, ...],
        *,
        whole_bands: bool = False,
    ) -> None:
        self._source, self._rendering, self._plan, self._plane = source, rendering, plan, plane
        self._stitcher = Stitcher(plan.windows, plan.rows, plan.columns)
        self._overview: Float32 | None = None
        self._next_row = plan.rows.start
        self._whole_bands = whole_bands
        self.any_finite = source.dtype.kind != "f"

    def picture(self, window: Window) -> NDArray[np.uint8]:
        """Return what the model sees of a window: ``(rows, columns, 3)``."""
        return picture(
            self._source,
            self._rendering,
            self._plane,
            window,
            level=self._plan.level,
            size=self._plan.size(window),
        )

    def whole_picture(self) -> NDArray[np.uint8]:
        """Return what lies under the map, coloured as for the model: ``(height, width, 3)``."""
        plan, rendering = self._plan, self._rendering
        return rendering.apply(
            self._source.read(plan.level, self._plane, plan.rows, plan.columns, rendering.channels)
        )

    def add(self, windows: Sequence[Window], answers: Float32) -> Iterator[tuple[slice, Float32]]:
        """Take the answers to a batch of windows, and yield what is complete with them.

        Parameters
        ----------
        windows : sequence of Window
            One of `batches`, which are to come in order.
        answers : ndarray of float32
            ``(windows, prompts, rows, columns)`` logits.

        Yields
        ------
        rows : slice
            Of the map.
        probability : ndarray of float32
            ``(prompts, rows, width)``; 0 where a pixel is not finite or outside the region.
        """
        if windows[0] is self._plan.overview:
            self._overview = answers[0]
            return
        for window, answer in zip(windows, answers, strict=True):
            self._stitcher.add(window, answer)
        if windows[-1].left != self._plan.windows[-1].left:
            return  # the row of tiles goes on
        until = self._stitcher.ready_until(windows[-1].top)
        first, stop = self._plan.rows.start, self._plan.rows.stop
        while self._next_row < until:
            last = min(self._next_row + BAND, stop)
            if last > until and self._whole_bands:
                return
            rows = slice(self._next_row, min(last, until))
            yield slice(rows.start - first, rows.stop - first), self._band(rows)
            self._next_row = rows.stop
            self._stitcher.forget_before(rows.stop)

    def _band(self, rows: slice) -> Float32:
        plan = self._plan
        logits = self._stitcher.band(rows)
        if self._overview is not None and plan.overview is not None:
            seen = on_pixels(self._overview, plan.overview, rows, plan.columns)
            logits = (1 - plan.overview_weight) * logits + plan.overview_weight * seen
        probability = sigmoid(logits)
        if self._source.dtype.kind == "f":
            channels = self._rendering.channels
            pixels = self._source.read(plan.level, self._plane, rows, plan.columns, channels)
            finite = np.isfinite(pixels).all(axis=2)
            self.any_finite |= bool(finite.any())
            probability[:, ~finite] = 0
        if plan.outline is not None:
            corners = plan.outline - (rows.start, plan.columns.start)
            inside = outline_mask((rows.stop - rows.start, plan.width), corners)
            probability[:, ~inside] = 0
        return probability
