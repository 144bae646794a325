"""napari layers, read and placed: an image layer as a source, and where its result lies.

Everything here runs on the GUI thread and returns plain values, so that the worker never
touches a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from napari.utils.transforms import Affine
from numpy.typing import NDArray
from skimage.measure import find_contours, label, regionprops

from napari_clipseg.images.io.axes import COLUMN, ROW, SAMPLE
from napari_clipseg.images.io.source import Source
from napari_clipseg.results import Segmentation

ELLIPSE_CORNERS = 64
MOST_EXAMPLES = 16  # of one label
# Shape types of napari that enclose an area.
AREAS = ("rectangle", "ellipse", "polygon")


@dataclass(frozen=True, eq=False)
class LayerImage:
    """An image layer as it was when it was read; no napari object is in it.

    Attributes
    ----------
    name : str
        Of the layer.
    source : Source
        Its data, lazy as they came. All axes before rows and columns are axes of planes.
    shown : tuple of int
        Where the plane lies that the viewer shows.
    """

    name: str
    source: Source
    shown: tuple[int, ...] = ()

    @property
    def shown_planes(self) -> dict[str, int]:
        """The plane that is shown, as `make_plan` takes it."""
        return dict(zip(self.source.plane_axes, self.shown, strict=True))


def read_layer(layer: Image, point: Sequence[float] = ()) -> LayerImage:
    """Take an image layer.

    Parameters
    ----------
    layer : Image
        Of any number of dimensions, multiscale or not. It is not changed, and lazy data is
        not read.
    point : sequence of float
        The viewer's position, ``viewer.dims.point``, in world coordinates. Needed for stacks.

    Raises
    ------
    ValueError
        If the layer is empty, or has no plane.
    """
    if layer.ndim < 2 or 0 in layer.data.shape:
        raise ValueError(
            f"The image layer {layer.name!r} has shape {tuple(layer.data.shape)}; wanted an "
            f"image with at least one pixel. Choose another layer."
        )
    rgb = bool(layer.rgb)
    low, high = layer.contrast_limits
    leading = [f"axis {i}" for i in range(layer.ndim - 2)]  # whatever its sliders are called
    source = Source(
        levels=tuple(layer.data) if layer.multiscale else (layer.data,),
        axes=(*leading, ROW, COLUMN, *([SAMPLE] if rgb else [])),
        contrast_limits=None if rgb else (float(low), float(high)),
        spacing=(abs(float(layer.scale[-2])), abs(float(layer.scale[-1]))),
        unit=str(layer.units[-2]),
    )
    return LayerImage(layer.name, source, _index(layer, point)[: len(leading)])


def placement(layer: Image, result: Segmentation) -> dict[str, Any]:
    """Return the arguments that put a result exactly onto its layer.

    The result has as many axes as the layer; planes are taken to lie side by side.
    """
    ndim = layer.ndim
    factor = np.ones(ndim)
    factor[-2:] = result.factor
    offset = np.zeros(ndim)
    offset[-2:] = result.origin
    offset[: ndim - 2] = result.planes[0]
    to_physical = Affine(
        scale=layer.scale, translate=layer.translate, rotate=layer.rotate, shear=layer.shear
    )
    return {
        "scale": np.asarray(layer.scale) * factor,
        "translate": np.asarray(to_physical(offset)),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def region_outlines(shapes: Shapes, image: Image) -> list[NDArray[np.float64]]:
    """Return the corners of shapes in pixels of an image, at its finest level.

    These are the selected shapes that enclose an area, or else the one that was drawn last.

    Returns
    -------
    list of ndarray of float
        ``(corners, 2)`` each, row and column.

    Raises
    ------
    ValueError
        If the layer has no shape that encloses an area.
    """
    areas = [i for i in range(len(shapes.data)) if shapes.shape_type[i] in AREAS]
    chosen = [i for i in areas if i in shapes.selected_data] or areas[-1:]
    if not chosen:
        raise ValueError(
            f"The Shapes layer {shapes.name!r} has no shape that encloses an area. Draw a "
            f"rectangle, an ellipse or a polygon, or choose the whole image."
        )
    return [_outline(shapes, i, image) for i in chosen]


def label_outlines(
    labels: Labels, image: Image, point: Sequence[float] = ()
) -> list[NDArray[np.float64]]:
    """Return the outlines of a Labels layer's selected label, in pixels of an image.

    Parameters
    ----------
    labels : Labels
        In whose plane that the viewer shows the label lies.
    image : Image
        At its finest level.
    point : sequence of float
        The viewer's position in world coordinates; needed for stacks.

    Returns
    -------
    list of ndarray of float
        ``(corners, 2)``, row and column, of each connected part; of the largest 16, if there
        are more. Holes are not told.

    Raises
    ------
    ValueError
        If the plane has no pixel of that label.
    """
    data = labels.data[0] if labels.multiscale else labels.data
    plane = _index(labels, point)[: labels.ndim - 2]
    mask = np.asarray(data[plane]) == labels.selected_label
    if not mask.any() or not labels.selected_label:
        raise ValueError(
            f"The plane shown of {labels.name!r} has no pixel of its selected label, "
            f"{labels.selected_label}. Select the label of an example, such as with the picker."
        )
    parts = sorted(regionprops(label(mask)), key=lambda part: -part.area)[:MOST_EXAMPLES]
    outlines = []
    for part in parts:
        contours = find_contours(np.pad(part.image.astype(float), 1), 0.5)
        corners = max(contours, key=len) - 1 + part.bbox[:2]
        world = [labels.data_to_world((*plane, *corner)) for corner in corners]
        pixels = [image.world_to_data(place)[-2:] for place in world]
        outlines.append(np.array(pixels, dtype=float))
    return outlines


def _outline(shapes: Shapes, number: int, image: Image) -> NDArray[np.float64]:
    corners = np.asarray(shapes.data[number], dtype=float)
    if shapes.shape_type[number] == "ellipse":
        corners = _ellipse(corners)
    world = [shapes.data_to_world(corner) for corner in corners]
    return np.array([image.world_to_data(point)[-2:] for point in world], dtype=float)


def _index(layer: Image | Labels, point: Sequence[float]) -> tuple[int, ...]:
    """Return the layer's pixel at a world position, within its data."""
    shape = layer.data.shape[: layer.ndim]
    where = layer.world_to_data(point) if len(point) else np.zeros(layer.ndim)
    return tuple(int(np.clip(np.rint(i), 0, n - 1)) for i, n in zip(where, shape, strict=True))


def _ellipse(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return corners along the ellipse within a box that is given by its four corners."""
    centre = box.mean(axis=0)
    first, second = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angle) * first + np.sin(angle) * second)
