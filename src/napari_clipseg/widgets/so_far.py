"""The map of a run while it grows, tile by tile, as one small layer."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.layers import placement, to_layer_order
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import Segmentation

if TYPE_CHECKING:
    import napari

SO_FAR = "so far"
MOST_PIXELS = 1 << 20  # of what is shown
MOST_PROMPTS = 6  # that are looked at
FIRST_WAIT = 1.0  # seconds: a short run shows its result alone
LEAST_WAIT = 0.4  # from one look to the next


@dataclass(frozen=True, eq=False)
class Glance:
    """A map with fewer pixels.

    Attributes
    ----------
    values : ndarray of float32
        In the order of the layer's axes: the highest probability of the first prompts.
    extent : Extent
        Where it lies.
    axes : tuple of str
        Of the image.
    """

    values: NDArray[np.float32]
    extent: Extent
    axes: tuple[str, ...]


class Glances:
    """Makes a glance of a map now and then, in the thread of the run."""

    def __init__(self) -> None:
        self._next = time.monotonic() + FIRST_WAIT

    def of(self, partial: Segmentation | None) -> Glance | None:
        """Return a glance of what is done so far; None where there was one a moment ago."""
        began = time.monotonic()
        if partial is None or began < self._next or not isinstance(partial.probability, np.ndarray):
            return None
        extent = partial.extent
        step = max(1, math.ceil(math.sqrt(math.prod(extent.shape) / MOST_PIXELS)))
        count = min(len(partial.recipe.prompts), MOST_PROMPTS)
        values = partial.probability[:count, ..., ::step, ::step].max(axis=0).astype(np.float32)
        small = replace(
            extent,
            height=values.shape[-2],
            width=values.shape[-1],
            factor=(extent.factor[0] * step, extent.factor[1] * step),
        )
        self._next = time.monotonic() + max(LEAST_WAIT, 10 * (time.monotonic() - began))
        return Glance(to_layer_order(values, partial.axes), small, partial.axes)


class SoFar:
    """The layer that shows it.

    Parameters
    ----------
    viewer : napari.Viewer
        Where.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._layer: Image | None = None

    def show(self, image: Image, name: str, glance: Glance) -> None:
        """Show a glance of a run on an image, if that is still there."""
        if image not in self._viewer.layers:
            return
        if self._layer is not None and self._layer in self._viewer.layers:
            self._layer.data = glance.values
            return
        options: dict[str, Any] = placement(image, glance.extent, glance.axes)
        layer = Image(
            glance.values,
            name=f"{name} · {SO_FAR}",
            colormap="magenta",
            blending="additive",
            contrast_limits=(0, 1),
            **options,
        )
        layer.metadata[METADATA] = {"role": SO_FAR}
        selected = self._viewer.layers.selection.active
        self._layer = self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = selected

    def remove(self) -> None:
        """Remove the layer."""
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None
