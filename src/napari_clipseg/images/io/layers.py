"""napari layers without napari: an image layer as an image, and where its results lie.

Layers are taken by their attributes, so that this module needs no napari: the dock and
`segment` read a layer with the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import (
    CHANNEL,
    COLUMN,
    DEPTH,
    ROW,
    SAMPLE,
    Axes,
    name_axes,
    plane_axes,
    unnamed_axes,
)
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.units import in_unit

BYTES = 256  # values of an 8-bit image


def is_layer(image: Any) -> bool:
    """Return whether this is a napari layer, of whatever kind."""
    return hasattr(image, "data_to_world") and hasattr(image, "data")


def read_layer(layer: Any, axes: str | Sequence[str] | None = None) -> dict[str, Any]:
    """Return the attributes of a `Source` that an image layer has; no pixel is read.

    The labels of the axes count if they name rows and columns: then ``c`` is the channel axis,
    and rows and columns may be any two axes. Otherwise axes are named by their number.

    Parameters
    ----------
    layer : napari.layers.Image
        Gray or RGB, multiscale or not.
    axes : str or sequence of str, optional
        Names to use in place of the layer's own.

    Returns
    -------
    dict
        ``levels``, ``axes``, ``spacing``, ``translation``, ``unit``, ``name``; with planes along z
        ``z_spacing`` and ``z_translation``; and, except for RGB layers, which napari shows without
        them, ``contrast_limits``, ``gamma`` and ``colormap``.

    Raises
    ------
    TypeError
        If it is a layer of another kind.
    """
    if not hasattr(layer, "rgb"):
        raise TypeError(
            f"The layer {layer.name!r} is of type {type(layer).__name__}; wanted an Image layer, "
            f"gray or RGB. Choose another layer."
        )
    if axes is None:
        names = (*layer_axes(layer), *(SAMPLE * layer.rgb))
    else:
        names = name_axes(axes, layer.data.shape)
    known: dict[str, Any] = {
        "levels": list(layer.data) if layer.multiscale else [layer.data],
        "axes": names,
        "name": str(layer.name),
    }
    if not layer.rgb:
        low, high = layer.contrast_limits
        known["contrast_limits"] = (float(low), float(high))
        known["gamma"] = float(layer.gamma)
        known["colormap"] = _colormap(layer)
    of_scale = [name for name in names if name != SAMPLE]  # napari counts no axis of colors
    row, column = of_scale.index(ROW), of_scale.index(COLUMN)
    known["spacing"] = (abs(float(layer.scale[row])), abs(float(layer.scale[column])))
    known["translation"] = tuple(_translation(layer, row, column))
    known["unit"] = str(layer.units[row])
    if DEPTH in of_scale:
        z = of_scale.index(DEPTH)
        lengths = abs(float(layer.scale[z])), *_translation(layer, z)
        spacing, start = (in_unit(one, str(layer.units[z]), known["unit"]) for one in lengths)
        known |= {"z_spacing": spacing, "z_translation": start or 0.0}
    return known


def _translation(layer: Any, *along: int) -> list[float]:
    """Return where the first pixel lies; 0 where a layer is turned, sheared or mirrored."""
    straight = np.eye(layer.ndim)
    affine = np.asarray(layer.affine.affine_matrix)
    matrices = (np.asarray(layer.rotate), _shear(layer), affine[:-1, :-1])
    at = [float(layer.translate[i]) + float(affine[i, -1]) for i in along]
    moved = all(np.allclose(matrix, straight) for matrix in matrices)
    return at if moved and all(layer.scale[i] > 0 for i in along) else [0.0 for _ in along]


def layer_axes(layer: Any) -> Axes:
    """Return the names of an image layer's axes, without that of the colors."""
    shape = tuple(layer.data.shape[: layer.ndim])
    try:
        axes = name_axes([str(label) for label in layer.axis_labels], shape)
    except ValueError:  # napari's own labels, which are numbers, or the user's own names
        axes = ()
    if axes and not (layer.rgb and CHANNEL in axes) and SAMPLE not in axes:
        return axes
    return unnamed_axes(len(shape))  # a layer may have any number of sliders


def placement(layer: Any, extent: Extent, axes: Axes | None = None) -> dict[str, Any]:
    """Return the arguments that put a map exactly onto its layer.

    The map has the axes of the layer, in the layer's order, without the channel axis; see
    `to_layer_order`. Where a rotation or a shear of the layer mixes its channel axis with others,
    no layer of fewer axes can follow it, and that part is left out.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer of the image.
    extent : Extent
        Which part of the image the map covers.
    axes : tuple of str, optional
        Names of the layer's axes, where the image was read with others than the layer's own.

    Returns
    -------
    dict
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine``, ``units`` and
        ``axis_labels``, as napari's layers take them.
    """
    names = layer_axes(layer) if axes is None else tuple(name for name in axes if name != SAMPLE)
    step, start = np.ones(len(names)), np.zeros(len(names))
    for place, name in enumerate(names):
        if name in (ROW, COLUMN):
            side = (ROW, COLUMN).index(name)
            step[place], start[place] = extent.factor[side], extent.origin[side]
        elif name in extent.axes:
            axis = extent.axes.index(name)
            step[place], start[place] = extent.plane_steps[axis], extent.plane_starts[axis]
    kept = [i for i, name in enumerate(names) if name in (ROW, COLUMN, *extent.axes)]
    left_out = [i for i in range(len(names)) if i not in kept]
    square = np.ix_(kept, kept)
    scale, rotate, shear = np.asarray(layer.scale), np.asarray(layer.rotate), _shear(layer)
    place_of_first = rotate @ shear @ (scale * start) + np.asarray(layer.translate)
    whole = np.asarray(layer.affine.affine_matrix)
    affine = np.eye(len(kept) + 1)
    affine[:-1, :-1] = whole[square]
    affine[:-1, -1] = whole[kept, -1] + whole[np.ix_(kept, left_out)] @ place_of_first[left_out]
    return {
        "scale": (scale * step)[kept],
        "translate": place_of_first[kept],
        "rotate": rotate[square],
        "shear": shear[square],
        "affine": affine,
        "units": tuple(layer.units[i] for i in kept),
        "axis_labels": tuple(layer.axis_labels[i] for i in kept),
    }


def plain_placement(extent: Extent, axes: Axes) -> dict[str, Any]:
    """Return the arguments that put a map onto an image layer without a scale of its own.

    Parameters
    ----------
    extent : Extent
        Which part of the image the map covers.
    axes : tuple of str
        Names of the image's axes.

    Returns
    -------
    dict
        ``scale`` and ``translate``.
    """
    own = (*extent.axes, ROW, COLUMN)
    steps = dict(zip(own, (*extent.plane_steps, *extent.factor), strict=True))
    starts = dict(zip(own, (*extent.plane_starts, *extent.origin), strict=True))
    kept = [name for name in axes if name in steps]
    return {
        "scale": tuple(steps[name] for name in kept),
        "translate": tuple(starts[name] for name in kept),
    }


def to_layer_order(array: Any, axes: Axes, leading: int = 0) -> Any:
    """Bring a map into the order of axes of the image that it was made of.

    Parameters
    ----------
    array : array-like
        ``(..., *planes, height, width)``.
    axes : tuple of str
        Names of the image's axes.
    leading : int
        How many axes come before those of the planes; they stay in front.

    Returns
    -------
    array-like
        A view, its axes in the order of the image without channels and colors.
    """
    order = [leading + place for place in layer_order(axes)]
    return array.transpose((*range(leading), *order))


def from_layer_order(array: Any, axes: Axes) -> Any:
    """Do the opposite of `to_layer_order`: return a view, ``(*planes, height, width)``."""
    return array.transpose(np.argsort(layer_order(axes)))


def layer_order(axes: Axes) -> list[int]:
    """Return, for each axis of a map on its layer, which of ``(*planes, height, width)`` it is."""
    own = (*plane_axes(axes), ROW, COLUMN)
    return [own.index(name) for name in axes if name not in (CHANNEL, SAMPLE)]


def _shear(layer: Any) -> NDArray[np.float64]:
    """Return the shear as a matrix; napari packs the upper triangle of most into a vector."""
    given = np.asarray(layer.shear, dtype=float)
    if given.ndim == 2:
        return given
    matrix = np.eye(layer.ndim)
    matrix[np.triu_indices(layer.ndim, 1)] = given
    return matrix


def _colormap(layer: Any) -> NDArray[np.uint8] | None:
    """Return the colors of a layer from black to white, or None where they are gray."""
    colors = np.asarray(layer.colormap.map(np.linspace(0, 1, BYTES)))[:, :3]
    table: NDArray[np.uint8] = np.rint(255 * colors).astype(np.uint8)
    return None if (table == np.arange(BYTES)[:, None]).all() else table
