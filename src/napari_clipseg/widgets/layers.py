"""What napari's layers say: the plane that is shown, and outlines on an image.

Everything here runs on the GUI thread and returns plain values, so that the worker never
touches a layer. An image layer is read by `images.io.layers`, as in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from numpy.typing import NDArray
from skimage.measure import find_contours, label, regionprops

from napari_clipseg.images.io.axes import COLUMN, ROW
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.layers import placement
from napari_clipseg.images.io.source import Source, as_source

ELLIPSE_CORNERS = 64
MOST_EXAMPLES = 16  # of one label
# Shape types of napari that enclose an area.
AREAS = ("rectangle", "ellipse", "polygon")


def shown_planes(layer: Image, point: Sequence[float] = ()) -> dict[str, int]:
    """Return the plane of a layer that the viewer shows, as a recipe takes it.

    Parameters
    ----------
    layer : Image
        Its data are not read.
    point : sequence of float
        The viewer's position, ``viewer.dims.point``, in world coordinates. Needed for stacks.
    """
    source, index = as_source(layer), _index(layer, point)
    return {name: index[source.axes.index(name)] for name in source.plane_axes}


def whole_placement(image: Image, source: Source) -> dict[str, Any]:
    """Return the arguments of a layer of ``(*planes, height, width)`` exactly on an image."""
    extent = Extent(
        axes=source.plane_axes,
        planes_shape=source.planes_shape,
        planes=tuple(np.ndindex(source.planes_shape)),
        height=source.shape[0],
        width=source.shape[1],
    )
    return placement(image, extent, source.axes)


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
    return [pixels_of(image, shape_corners(shapes, i)) for i in chosen_areas(shapes)]


def chosen_areas(shapes: Shapes) -> list[int]:
    """Return the selected shapes that enclose an area, or else the one that was drawn last.

    Raises
    ------
    ValueError
        If there is none.
    """
    areas = [i for i in range(len(shapes.data)) if shapes.shape_type[i] in AREAS]
    chosen = [i for i in areas if i in shapes.selected_data] or areas[-1:]
    if not chosen:
        raise ValueError(
            f"The Shapes layer {shapes.name!r} has no shape that encloses an area. Draw a "
            f"rectangle, an ellipse or a polygon, or choose the whole image."
        )
    return chosen


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
        outlines.append(pixels_of(image, world))
    return outlines


def shape_corners(shapes: Shapes, number: int) -> list[Sequence[float]]:
    """Return the corners of a shape in world coordinates."""
    corners = np.asarray(shapes.data[number], dtype=float)
    if shapes.shape_type[number] == "ellipse":
        corners = _ellipse(corners)
    return [shapes.data_to_world(corner) for corner in corners]


def point_circles(points: Points) -> list[list[Sequence[float]]]:
    """Return circles around points, of their size, in world coordinates.

    These are the selected points, or else all, but no more than 16.

    Raises
    ------
    ValueError
        If there is none.
    """
    chosen = sorted(points.selected_data) or list(range(len(points.data)))
    if not chosen:
        raise ValueError(
            f"The Points layer {points.name!r} has no point. Add one on an example, as large as it."
        )
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)
    around = np.column_stack([np.sin(angle), np.cos(angle)]) / 2
    circles = []
    for number in chosen[:MOST_EXAMPLES]:
        corners = np.repeat(points.data[number][None].astype(float), ELLIPSE_CORNERS, axis=0)
        corners[:, -2:] += around * float(points.size[number])
        circles.append([points.data_to_world(corner) for corner in corners])
    return circles


def pixels_of(image: Image, world: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return ``(points, 2)``, row and column in an image's pixels, of points of the world."""
    axes = as_source(image).axes
    points = np.array([image.world_to_data(point) for point in world], dtype=float)
    return points[:, [axes.index(ROW), axes.index(COLUMN)]]


def plane_at(
    image: Image, world: Sequence[Sequence[float]], point: Sequence[float] = ()
) -> dict[str, int]:
    """Return the plane of an image on which points of the world lie, as a recipe takes it.

    Parameters
    ----------
    image : Image
        Its data are not read.
    world : sequence of points
        In world coordinates.
    point : sequence of float
        The viewer's position: it counts along axes that the points do not have.
    """
    known = len(world[0])
    at = shown_planes(image, point)
    axes = as_source(image).axes
    middle = np.mean(np.array([image.world_to_data(one) for one in world], dtype=float), axis=0)
    for name in at:
        axis = axes.index(name)
        if image.ndim - axis <= known:  # world coordinates are counted from the last
            at[name] = int(np.clip(np.rint(middle[axis]), 0, image.data.shape[axis] - 1))
    return at


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
