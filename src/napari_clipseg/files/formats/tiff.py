"""Labels and probability maps as OME-TIFF: tiled, compressed, with the recipe."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.files.formats.labelled import Labelled, MapsOnly, map_names
from napari_clipseg.files.formats.records import (
    NAMESPACE,
    columns_to_json,
    record_of,
    record_text,
)
from napari_clipseg.images.io.axes import DEPTH
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.units import unit_symbol
from napari_clipseg.images.labels.storage import label_dtype
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import Segmentation

TILE = 256  # pixels of a side
BIG = 2**31  # bytes: beyond, 32-bit offsets might not reach, however well it compresses
OBJECTS = "objects"  # the key of the table in the annotation of labels
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_labels(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write labels as OME-TIFF, with their recipe and their table; see `Format.write`."""
    labels = result.labels
    dtype = label_dtype(labels)
    table = json.dumps(columns_to_json(result.objects), separators=(",", ":"))
    annotation = {
        METADATA: record_text(record_of(result, str(dtype), source)),
        OBJECTS: table,
    }
    with path.open("xb") as file:
        _write(file, labels[None], dtype, result.extent, ["labels"], annotation)


def write_without_table(
    labels: NDArray[Any], file: BinaryIO, extent: Extent, record: Mapping[str, Any] | None
) -> None:
    """Write labels as OME-TIFF, as they are while somebody paints them: not measured.

    Parameters
    ----------
    labels : ndarray of int
        ``(*planes, height, width)``.
    file : file
        Where to.
    extent : Extent
        What part of the image they cover.
    record : mapping, optional
        What is recorded with the result that they come from.
    """
    annotation = {} if record is None else {METADATA: record_text(record), OBJECTS: "{}"}
    _write(file, labels[None], label_dtype(labels), extent, ["labels"], annotation)


def write_probability(
    result: Segmentation | MapsOnly, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write probability maps as OME-TIFF, one a channel; see `Format.write`.

    The maps of negative prompts come last. OME-TIFF knows no float16: such maps become float32.
    """
    maps = result.probability
    dtype = np.dtype(np.float32) if maps.dtype.kind == "f" else maps.dtype
    record = record_of(result, str(dtype), source)
    names = map_names(result.recipe, record)
    annotation = {METADATA: record_text(record)}
    with path.open("xb") as file:
        _write(file, maps, dtype, result.extent, names, annotation)


def _write(
    file: BinaryIO,
    channels: Any,
    dtype: np.dtype[Any],
    extent: Extent,
    names: Sequence[str],
    annotation: dict[str, str],
) -> None:
    """Write ``(channels, *planes, height, width)``."""
    import tifffile

    from napari_clipseg import __version__

    planes, letters = _planes(extent)
    size = (extent.height, extent.width)
    shape = (*planes, len(names), *size)
    metadata: dict[str, Any] = {
        "axes": f"{letters}CYX",
        "Creator": f"napari-clipseg {__version__}",
        "Name": xml_text(", ".join(names)),
        "Channel": {"Name": [xml_text(name) for name in names]},
    }
    if annotation:
        metadata["MapAnnotation"] = {"Namespace": NAMESPACE, **annotation}
    for axis, length in zip("YX", extent.spacing, strict=True):
        metadata[f"PhysicalSize{axis}"] = length
        metadata[f"PhysicalSize{axis}Unit"] = unit_symbol(extent.unit)
    if "Z" in letters and DEPTH in extent.axes and extent.z_spacing is not None:
        steps = dict(zip(extent.axes, extent.plane_steps, strict=True))
        metadata["PhysicalSizeZ"] = abs(steps[DEPTH]) * extent.z_spacing
        metadata["PhysicalSizeZUnit"] = unit_symbol(extent.unit)
    big = math.prod(shape) * dtype.itemsize + sum(map(len, annotation.values())) > BIG
    with tifffile.TiffWriter(file, bigtiff=big, ome=True) as tiff:
        tiff.write(
            _tiles(channels, extent, dtype),
            shape=shape,
            dtype=dtype,
            tile=(TILE, TILE),
            compression="zlib",
            photometric="minisblack",
            metadata=metadata,
        )


def _planes(extent: Extent) -> tuple[tuple[int, ...], str]:
    """Return lengths and letters of the axes of planes; axes that OME-TIFF lacks become one."""
    if set(extent.axes) <= {"t", "z"}:
        return extent.planes_shape, "".join(extent.axes).upper()
    return (math.prod(extent.planes_shape),), "Z"


def _tiles(channels: Any, extent: Extent, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the tiles of all planes; no more than a row of them is in memory."""
    for plane in np.ndindex(extent.planes_shape):
        for number in range(len(channels)):
            for top in range(0, extent.height, TILE):
                where = (number, *plane, slice(top, top + TILE))
                band = np.asarray(channels[where]).astype(dtype, copy=False)
                for left in range(0, extent.width, TILE):
                    tile = np.zeros((TILE, TILE), dtype)
                    part = band[:, left : left + TILE]
                    tile[: part.shape[0], : part.shape[1]] = part
                    yield tile


def xml_text(text: str) -> str:
    """Return a text without the characters that XML cannot hold, and without double quotes.

    Before 2026, tifffile wrote those into attributes as they are.
    """
    return NOT_XML.sub("\ufffd", text).replace('"', "'")
