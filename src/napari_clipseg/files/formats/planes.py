"""The planes of a result, and where its pixels lie on the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.files.formats.labelled import Labelled, Table
from napari_clipseg.images.io.extent import Extent

ROUNDING = 1e-6  # of a pixel


@dataclass(frozen=True)
class Plane:
    """A plane of labels.

    Attributes
    ----------
    labels : ndarray of int
        ``(height, width)``.
    at : dict
        Index in the image along each axis of planes.
    number : int
        Which plane of the result it is, from 0.
    """

    labels: NDArray[Any]
    at: dict[str, int]
    number: int


def planes_of_labels(result: Labelled) -> Iterator[Plane]:
    """Yield the planes one after the other; of labels in a file, one is in memory."""
    extent = result.extent
    for number, where in enumerate(np.ndindex(extent.planes_shape)):
        at = dict(zip(extent.axes, extent.planes[number], strict=True))
        yield Plane(np.asarray(result.labels[where]), at, number)


def corners_on_image(extent: Extent, corners: NDArray[Any]) -> NDArray[Any]:
    """Return corners of pixels of a map in pixels of the image's finest level.

    Parameters
    ----------
    extent : Extent
        Of the map.
    corners : ndarray of int
        ``(corners, 2)``: row and column; (0, 0) is the outer corner of the map's first pixel.

    Returns
    -------
    ndarray
        ``(corners, 2)``: x and y; (0, 0) is the outer corner of the image's first pixel. Whole
        numbers wherever the map was made of the finest level.
    """
    factor, origin = np.asarray(extent.factor), np.asarray(extent.origin)
    if (factor == 1).all() and (origin % 1 == 0).all():
        shifted: NDArray[Any] = corners[:, ::-1] + origin[::-1].astype(np.int64)
        return shifted
    first = origin + 0.5 - factor / 2
    places: NDArray[Any] = (first + corners * factor)[:, ::-1]
    whole: NDArray[Any] = np.rint(places)
    return whole.astype(np.int64) if np.abs(places - whole).max() < ROUNDING else places


def prompt_of_label(result: Labelled, table: Table) -> dict[int, tuple[str, int]]:
    """Return name and number of the prompt of each label; the number 0 stands for none."""
    numbers = {name: i for i, name in reversed(list(enumerate(result.recipe.prompt_names, 1)))}
    names = np.asarray(table["prompt"]).tolist()
    if result.recipe.instances is None:  # two prompts may have one name
        return {
            label: (name, label)
            for label, name in zip(np.asarray(table["index"]).tolist(), names, strict=True)
        }
    return {
        label: (name, numbers.get(name, 0))
        for label, name in zip(np.asarray(table["index"]).tolist(), names, strict=True)
    }


def rows_of(table: Table) -> dict[int, dict[str, Any]]:
    """Return the finite numbers of a table, by label and column."""
    numeric = {
        name: np.asarray(column).tolist()
        for name, column in table.items()
        if name != "index" and np.asarray(column).dtype.kind in "iuf"
    }
    labels = np.asarray(table["index"]).tolist()
    return {
        label: {name: one for name, one in zip(numeric, row, strict=True) if np.isfinite(one)}
        for label, row in zip(labels, zip(*numeric.values(), strict=True), strict=True)
    }
