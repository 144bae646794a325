"""The Labels layer that a user paints strokes on: made, found again, and read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_clipseg.images.io.layers import from_layer_order, to_layer_order
from napari_clipseg.images.io.source import Source
from napari_clipseg.results import COLORS
from napari_clipseg.teaching.strokes import BACKGROUND, FIRST_CLASS
from napari_clipseg.widgets.layers import whole_placement

if TYPE_CHECKING:
    import napari

STROKES = "napari_clipseg_strokes"  # entry of the metadata of a layer of strokes
NOT_THIS_COLOR = "orange"  # none of those of results
MOST_CLASSES = 20
MOST_PIXELS = 2**30  # of an image that can be painted on
BRUSH_PART = 100  # of the shorter side
LEAST_BRUSH, LARGEST_BRUSH = 3, 40  # pixels; napari's own slider ends at 40


def color_of(value: int) -> str:
    """Return the color of strokes of a value; that of a class is the color of its results."""
    return NOT_THIS_COLOR if value == BACKGROUND else COLORS[(value - FIRST_CLASS) % len(COLORS)]


def is_strokes(layer: Any) -> bool:
    """Return whether this is a layer of strokes that the dock made."""
    return isinstance(layer, Labels) and STROKES in layer.metadata


def find_strokes(viewer: napari.Viewer, image: Image | None) -> Labels | None:
    """Return the newest layer of strokes on an image, or None."""
    if image is None:
        return None
    for layer in reversed(viewer.layers):
        if is_strokes(layer):
            known = layer.metadata[STROKES]
            own = known["layer_id"] == str(layer.unique_id)  # a duplicate is the user's
            if own and known["image_id"] == str(image.unique_id):
                return layer
    return None


def add_strokes(viewer: napari.Viewer, image: Image, source: Source) -> Labels:
    """Add an empty layer of strokes exactly on an image, and make its brush ready.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    image : Image
        What is painted on; of a multiscale image, its finest level.
    source : Source
        The image as it was read.

    Raises
    ------
    ValueError
        If it has more pixels than can be painted on.
    """
    shape = strokes_shape(source)
    if math.prod(shape) > MOST_PIXELS:
        raise ValueError(
            f"{image.name!r} has {math.prod(shape):,} pixels, and at most {MOST_PIXELS:,} can be "
            f"painted on. Crop a part of it, or take a coarser copy, teach on that, and apply what "
            f"was learned to the whole."
        )
    layer = Labels(
        to_layer_order(np.zeros(shape, np.uint8), source.axes),
        name=f"{image.name} · strokes",
        colormap=stroke_colors(),
        opacity=0.9,
        **whole_placement(image, source),
    )
    layer.metadata[STROKES] = {
        "image_id": str(image.unique_id),
        "layer_id": str(layer.unique_id),
    }
    viewer.add_layer(layer)
    layer.selected_label = FIRST_CLASS
    layer.brush_size = int(np.clip(min(source.shape) / BRUSH_PART, LEAST_BRUSH, LARGEST_BRUSH))
    return layer


def stroke_colors() -> DirectLabelColormap:
    """Return the colors of strokes: those of the results, and one for what is not wanted."""
    by_value: dict[int | None, Any] = {0: "transparent", None: "white"}
    values = range(BACKGROUND, FIRST_CLASS + MOST_CLASSES)
    return DirectLabelColormap(color_dict=by_value | {value: color_of(value) for value in values})


def make_ready(viewer: napari.Viewer, layer: Labels) -> None:
    """Show and select a layer of strokes, in the mode of painting."""
    layer.visible = True
    viewer.layers.selection.active = layer
    layer.mode = "paint"


def strokes_of(layer: Labels, source: Source) -> NDArray[Any]:
    """Return the strokes as `teach` takes them: a view, in the order of the image's axes.

    Raises
    ------
    ValueError
        If the layer's data no longer fit the image.
    """
    data = np.asarray(layer.data)
    wanted = strokes_shape(source)
    strokes: NDArray[Any] = (
        from_layer_order(data, source.axes) if data.ndim == len(wanted) else data
    )
    if strokes.shape != wanted:
        raise ValueError(
            f"The strokes {layer.name!r} have shape {strokes.shape}, and the image now has "
            f"{wanted}. Press Paint for strokes that fit it."
        )
    return strokes


def strokes_shape(source: Source) -> tuple[int, ...]:
    """Return the shape of strokes on an image: ``(*planes, height, width)``."""
    return (*source.planes_shape, *source.shape)
