"""napari layers, read and placed: a plane out of an image layer, and where its result lies.

Everything here runs on the GUI thread and returns plain values, so that the worker never
touches a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from napari_clipseg.images.source import Plane, as_plane

# Of a multiscale layer, the coarsest level is read whose sides are still at least this long:
# the model looks at a few hundred pixels, and finer levels may not fit into memory.
ENOUGH_PIXELS = 1024
ELLIPSE_CORNERS = 64
# Shape types of napari that enclose an area.
AREAS = ("rectangle", "ellipse", "polygon")


@dataclass(frozen=True)
class LayerPlane:
    """What is to be segmented of an image layer; no napari object is in it.

    Attributes
    ----------
    name : str
        Of the layer.
    data : array-like
        ``(height, width)`` or ``(height, width, channels)``; may be lazy.
    rgb : bool
        Whether the last axis holds colours.
    contrast_limits : tuple of float, optional
        Those of the layer.
    index : tuple of int
        Where the plane lies along the layer's axes before the last two.
    factor : tuple of float
        Pixels of the full-resolution layer for each of ``data``, down and across.
    """

    name: str
    data: Any
    rgb: bool
    contrast_limits: tuple[float, float] | None
    index: tuple[int, ...] = ()
    factor: tuple[float, float] = (1.0, 1.0)

    def load(self) -> Plane:
        """Read the pixels. Slow for lazy data: to be called in the worker."""
        return as_plane(self.data, rgb=self.rgb, contrast_limits=self.contrast_limits)


def read_plane(layer: Image, point: Sequence[float] = ()) -> LayerPlane:
    """Take the plane of an image layer that the viewer shows.

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
    leading = layer.ndim - 2
    index = _index(layer, point)[:leading]
    rgb = bool(layer.rgb)
    low, high = layer.contrast_limits
    limits = None if rgb else (float(low), float(high))
    if not layer.multiscale:
        return LayerPlane(layer.name, layer.data[index], rgb, limits, index)
    full, level = layer.data[0].shape, _enough(layer.data, leading)
    # Levels may be coarser along the other axes too.
    at_level = tuple(i * n // whole for i, n, whole in zip(index, level.shape, full, strict=False))
    factor = (full[leading] / level.shape[leading], full[leading + 1] / level.shape[leading + 1])
    return LayerPlane(layer.name, level[at_level], rgb, limits, index, factor)


def placement(layer: Image, plane: LayerPlane) -> dict[str, Any]:
    """Return the arguments that put a result of ``plane`` exactly onto its layer.

    The result is to have as many axes as the layer; those before the last two have length 1.
    """
    ndim = layer.ndim
    factor = np.ones(ndim)
    factor[-2:] = plane.factor
    offset = (factor - 1) / 2  # a coarse pixel's centre is that of the pixels under it
    offset[: len(plane.index)] = plane.index
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


def region_outline(shapes: Shapes, image: Image, plane: LayerPlane) -> NDArray[np.float64]:
    """Return the corners of a shape in pixels of an image's plane.

    Of several shapes it is the selected one, or else the one drawn last.

    Returns
    -------
    ndarray of float
        ``(corners, 2)``, row and column.

    Raises
    ------
    ValueError
        If the layer has no shape that encloses an area.
    """
    candidates = sorted(shapes.selected_data) or range(len(shapes.data))
    usable = [i for i in candidates if shapes.shape_type[i] in AREAS]
    if not usable:
        raise ValueError(
            f"The Shapes layer {shapes.name!r} has no rectangle to take the reference from. "
            f"Draw one around an example, or choose 'whole image' as the region."
        )
    corners = np.asarray(shapes.data[usable[-1]], dtype=float)
    if shapes.shape_type[usable[-1]] == "ellipse":
        corners = _ellipse(corners)
    world = [shapes.data_to_world(corner) for corner in corners]
    pixels = np.array([image.world_to_data(point)[-2:] for point in world])
    factor = np.asarray(plane.factor)
    return np.asarray((pixels - (factor - 1) / 2) / factor)


def _index(layer: Image, point: Sequence[float]) -> tuple[int, ...]:
    """Return the layer's pixel at a world position, within its data."""
    shape = layer.data.shape[: layer.ndim]
    where = layer.world_to_data(point) if len(point) else np.zeros(layer.ndim)
    return tuple(int(np.clip(np.rint(i), 0, n - 1)) for i, n in zip(where, shape, strict=True))


def _enough(levels: Sequence[Any], leading: int) -> Any:
    enough = [level for level in levels if min(level.shape[leading : leading + 2]) >= ENOUGH_PIXELS]
    return enough[-1] if enough else levels[0]


def _ellipse(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return corners along the ellipse within a box that is given by its four corners."""
    centre = box.mean(axis=0)
    first, second = (box[1] - box[0]) / 2, (box[3] - box[0]) / 2
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angle) * first + np.sin(angle) * second)
