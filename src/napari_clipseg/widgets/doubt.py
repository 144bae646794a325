"""Where a result is unsure, as a layer: made in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_clipseg.images.io.layers import to_layer_order
from napari_clipseg.images.labels.threshold import one_each
from napari_clipseg.images.probability import as_unit
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import Segmentation
from napari_clipseg.widgets.newest import Newest, Step
from napari_clipseg.widgets.outlook import DOUBT
from napari_clipseg.widgets.result import Result, add_below, move
from napari_clipseg.widgets.worker import Failure

if TYPE_CHECKING:
    import napari


def doubt_of(segmentation: Segmentation, step: Callable[[Any], None]) -> NDArray[np.float32]:
    """Return how near each pixel is to a threshold.

    Parameters
    ----------
    segmentation : Segmentation
        Its maps in memory.
    step : callable
        Called before each map; what it raises stops the work.

    Returns
    -------
    ndarray of float32
        ``(*planes, height, width)``: 1 at the threshold of a prompt, 0 where all prompts are sure:
        at the probabilities 0 and 1.
    """
    maps = segmentation.probability
    doubt = np.zeros(maps.shape[1:], np.float32)
    for one, threshold in zip(maps, one_each(segmentation.threshold, len(maps)), strict=True):
        step(None)
        above = as_unit(one) - np.float32(threshold)
        room = np.where(above > 0, max(1 - threshold, 1e-6), max(threshold, 1e-6))
        np.maximum(doubt, 1 - np.abs(above) / room, out=doubt, casting="unsafe")
    return doubt


class DoubtLayer:
    """The layer of the doubt of one result at a time.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown.
    failed : callable
        Called with an error.
    """

    def __init__(self, viewer: napari.Viewer, failed: Callable[[Exception], None]) -> None:
        self._viewer, self._failed = viewer, failed
        self._layer: Image | None = None
        self._result: Result | None = None
        self._work = Newest(_doubt, told=lambda _: None, returned=self._on_doubt)

    @property
    def busy(self) -> bool:
        """Whether it is being made."""
        return self._work.busy

    def show(self, result: Result) -> None:
        """Show the doubt of a result, below its labels; made anew each time."""
        self._result = result
        self._work.ask(result.segmentation)

    def stop(self) -> None:
        """Drop what is being made."""
        self._work.stop()

    def hide(self) -> None:
        """Remove the layer."""
        self._work.stop()
        self._result = None
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None

    def _on_doubt(self, segmentation: Segmentation, outcome: NDArray[Any] | Failure) -> None:
        result = self._result
        if isinstance(outcome, Failure):
            self._failed(outcome.error)
        elif result is not None and result.is_shown:
            data = to_layer_order(outcome, segmentation.axes)
            options = result.place.arguments
            layer, name = self._layer, f"{result.title} · {DOUBT}"
            if layer is not None and layer in self._viewer.layers and layer.ndim == data.ndim:
                layer.data, layer.name = data, name
                move(layer, options)
                return
            self._layer = Image(
                data,
                name=name,
                colormap="inferno",
                blending="additive",
                contrast_limits=(0, 1),
                **options,
            )
            self._layer.metadata[METADATA] = {"role": DOUBT}
            add_below(self._viewer, self._layer, result.layers[-1])


def _doubt(segmentation: Segmentation, step: Step) -> NDArray[np.float32]:
    return doubt_of(segmentation, step)
