"""The layer of objects that the user keeps: where it lies, and where results lie on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.layers import from_layer_order, placement, to_layer_order
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.labels.edits import Object
from napari_clipseg.widgets.result import is_result
from napari_clipseg.widgets.strokes import is_strokes

if TYPE_CHECKING:
    import napari

KEPT = "napari_clipseg_kept"  # the entry of its metadata


@dataclass(frozen=True, eq=False)
class KeptPixels:
    """What is kept, on the grid of a map.

    Attributes
    ----------
    labels : ndarray of int
        ``(*planes, height, width)`` of the whole image, at its finest level.
    extent : Extent
        Of the map.
    """

    labels: NDArray[Any]
    extent: Extent

    def mask(self) -> NDArray[np.bool_]:
        """Return ``(*planes, height, width)`` of the map: True where something is kept."""
        extent = self.extent
        rows, columns = (
            np.clip(np.rint(first + step * np.arange(count)).astype(int), 0, most - 1)
            for first, step, count, most in zip(
                extent.origin,
                extent.factor,
                (extent.height, extent.width),
                self.labels.shape[-2:],
                strict=True,
            )
        )
        found = np.empty((len(extent.planes), extent.height, extent.width), np.bool_)
        for number, plane in enumerate(extent.planes):
            found[number] = self.labels[plane][np.ix_(rows, columns)] > 0
        return found.reshape(extent.shape)


def on_image(found: Object, extent: Extent, shape: tuple[int, ...]) -> list[Object]:
    """Return an object of a map on its image's finest level, plane by plane.

    Parameters
    ----------
    found : Object
        In ``(*planes, height, width)`` of the map.
    extent : Extent
        Of the map.
    shape : tuple of int
        ``(*planes, height, width)`` of the image.
    """
    indices: list[NDArray[np.int64]] = []
    sides = zip(found.box[-2:], extent.origin, extent.factor, shape[-2:], strict=True)
    starts = []
    for side, first, step, most in sides:
        # Pixels of the image whose center lies on a pixel of the map that is in the box.
        low = max(0, int(np.ceil(first + step * (side.start - 0.5))))
        high = min(most, int(np.ceil(first + step * (side.stop - 0.5))))
        at = np.rint((np.arange(low, high) - first) / step).astype(np.int64) - side.start
        indices.append(np.clip(at, 0, side.stop - side.start - 1))
        starts.append(slice(low, max(low, high)))
    objects = []
    places = np.arange(len(extent.planes)).reshape(extent.planes_shape)[found.box[:-2]]
    for place, number in np.ndenumerate(places):
        mask = found.mask[place][np.ix_(*indices)]
        if mask.any():
            plane = extent.planes[int(number)]
            box = (*(slice(i, i + 1) for i in plane), *starts)
            objects.append(Object(found.label, box, mask.reshape((1,) * len(plane) + mask.shape)))
    return objects


def kept_layers(viewer: napari.Viewer) -> list[Labels]:
    """Return the user's own Labels layers, in which objects can be kept."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels) and not (is_result(layer) or is_strokes(layer))
    ]


def find_kept(viewer: napari.Viewer, image_id: str) -> Labels | None:
    """Return the layer in which objects of an image are kept by default, or None."""
    for layer in reversed(viewer.layers):
        known = layer.metadata.get(KEPT, {}) if isinstance(layer, Labels) else {}
        own = known.get("layer_id") == str(layer.unique_id)  # a duplicate is another layer
        if own and known["image_id"] == image_id:
            return layer
    return None


def add_kept(viewer: napari.Viewer, image: Image) -> Labels:
    """Add an empty Labels layer exactly on an image; what is selected stays so."""
    source = as_source(image)
    extent = Extent(
        axes=source.plane_axes,
        planes_shape=source.planes_shape,
        planes=tuple(np.ndindex(source.planes_shape)),
        height=source.shape[0],
        width=source.shape[1],
    )
    layer = Labels(
        to_layer_order(np.zeros(extent.shape, np.int32), source.axes),
        name=f"{image.name} · kept",
        opacity=0.7,
        **placement(image, extent, source.axes),
    )
    layer.metadata[KEPT] = {"image_id": str(image.unique_id), "layer_id": str(layer.unique_id)}
    selected = viewer.layers.selection.active
    viewer.add_layer(layer)
    viewer.layers.selection.active = selected
    return layer


def grid_of(layer: Layer, image: Image) -> NDArray[Any]:
    """Return the labels of a layer as ``(*planes, height, width)`` of an image: a view.

    Raises
    ------
    ValueError
        If they have another shape than the image, or cannot be written to.
    """
    source = as_source(image)
    wanted = (*source.planes_shape, *source.shape)
    data = layer.data
    if not isinstance(data, np.ndarray) or not data.flags.writeable:
        raise ValueError(
            f"The labels {layer.name!r} cannot be changed: they are no array in memory. "
            f"Choose another layer, or a new one."
        )
    laid_out = from_layer_order(data, source.axes) if data.ndim == len(wanted) else data
    if laid_out.shape != wanted:
        raise ValueError(
            f"The labels {layer.name!r} have shape {data.shape}, and the image {image.name!r} has "
            f"{wanted}. Choose labels of that image, or a new layer."
        )
    return laid_out
