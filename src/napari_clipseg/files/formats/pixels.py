"""The pixels of the image under a result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.files.formats.labelled import Labelled
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.source import Reader, Source, as_source


def source_under(result: Labelled, image: Any) -> Source:
    """Return the image of a result as a source.

    Raises
    ------
    ValueError
        If the image has other axes than the one that was segmented, or is too small.
    """
    source = as_source(image, axes=None if isinstance(image, Source) else result.axes)
    if source.axes != result.axes:
        raise ValueError(
            f"The image has the axes {source.axes}, and the one that was segmented had "
            f"{result.axes}. Give the image of this result."
        )
    return source


def level_of(source: Source, extent: Extent) -> int:
    """Return the level of an image that a map was made of.

    Raises
    ------
    ValueError
        If it has no such level, or the map does not lie on it.
    """
    for level in range(len(source.levels)):
        rows, columns = window(extent)
        height, width = source.shape_of(level)
        inside = rows.stop <= height and columns.stop <= width
        if inside and np.allclose(source.factor(level), extent.factor):
            return level
    raise ValueError(
        f"The map of {extent.height} x {extent.width} pixels does not lie on the image of "
        f"{source.shape[0]} x {source.shape[1]}. Give the image of this result."
    )


def window(extent: Extent) -> tuple[slice, slice]:
    """Return rows and columns of a map, in pixels of its level of the image."""
    found = []
    for at, factor, length in zip(
        extent.origin, extent.factor, (extent.height, extent.width), strict=True
    ):
        first = round((at - (factor - 1) / 2) / factor)
        found.append(slice(first, first + length))
    return found[0], found[1]


def read_plane(
    reader: Reader, extent: Extent, plane: Sequence[int], channels: Sequence[int]
) -> NDArray[Any]:
    """Return ``(height, width, channels)``: what lies under a plane of a map, by its index."""
    number = int(np.ravel_multi_index(tuple(plane), extent.planes_shape)) if len(plane) else 0
    level = level_of(reader.source, extent)
    rows, columns = window(extent)
    return reader.read(level, extent.planes[number], rows, columns, channels)


def planes_of(result: Labelled, source: Source) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the labels and the pixels of each plane."""
    with source.open() as reader:
        for plane in np.ndindex(result.extent.planes_shape):
            pixels = read_plane(reader, result.extent, plane, range(source.channels))
            yield np.asarray(result.labels[plane]), pixels
