"""Labels as OME-Zarr: by themselves, or beside their image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from napari_clipseg.files.formats.colors import label_color
from napari_clipseg.files.formats.extras import require
from napari_clipseg.files.formats.labelled import Labelled
from napari_clipseg.files.formats.records import columns_to_json, record_of, zarr_attributes
from napari_clipseg.images.io.label_planes import LabelsInOmeZarr
from napari_clipseg.images.io.ome_metadata import is_ome_zarr
from napari_clipseg.images.io.ome_zarr import CHUNK, LABELS, Version, list_labels, open_labels
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.labels.storage import label_dtype
from napari_clipseg.recipe import METADATA

NEEDS = "Writing OME-Zarr"
OPAQUE = 255


def write_labels(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write labels as OME-Zarr 0.5; see `Format.write`."""
    _write(result, path, "0.5", source, _beside_image(path, source))


def write_labels_04(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write labels as OME-Zarr 0.4; see `Format.write`."""
    _write(result, path, "0.4", source, _beside_image(path, source))


def add_labels_to_zarr(image_group: str | Path, name: str, result: Labelled) -> Path:
    """Add labels to the OME-Zarr image that they are of, as its ``labels/NAME``.

    They are written under another name and renamed when they are whole; then the image's list of
    labels gets their name. They have the image's version of OME-Zarr and as many levels.

    Parameters
    ----------
    image_group : str or Path
        The folder of the image.
    name : str
        Name of the labels in it.
    result : Segmentation
        What was made of this image.

    Returns
    -------
    Path
        Where the labels are.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no OME-Zarr image, or the name cannot be that of a folder.
    FileExistsError
        If the image has labels of that name.
    ModuleNotFoundError
        If zarr is not installed.

    Examples
    --------
    >>> import zarr
    >>> from napari_clipseg import add_labels_to_zarr, segment
    >>> datasets = [{"path": "0"}]
    >>> ome = {"version": "0.5", "multiscales": [{"axes": ["y", "x"], "datasets": datasets}]}
    >>> group = zarr.create_group("image.ome.zarr", attributes={"ome": ome})
    >>> array = group.create_array("0", data=np.zeros((40, 60), dtype=np.uint8))
    >>> add_labels_to_zarr("image.ome.zarr", "nuclei", segment(group, "nuclei")).name
    'nuclei'
    >>> group["labels/nuclei/0"].shape
    (40, 60)
    """
    folder = Path(image_group)
    zarr = require("zarr", NEEDS)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; wanted that of an OME-Zarr image.")
    _check_name(name)
    attributes = zarr_attributes(folder)
    group = zarr.open_group(folder, mode="r") if attributes else None
    if group is None or not is_ome_zarr(group):
        raise ValueError(
            f"{folder} holds no OME-Zarr image; wanted a folder whose metadata have multiscales. "
            f"Choose the image itself, or write the labels as a file of their own."
        )
    version: Version = "0.5" if "ome" in attributes else "0.4"
    image = as_source(group)
    extent = result.extent
    whole = (extent.height, extent.width) == image.shape_of(0)
    levels = range(len(image.levels))
    sizes = [image.shape_of(i) for i in levels]
    if not whole:  # of a region, or made of a coarser level
        sizes = [(-(-extent.height // 2**i), -(-extent.width // 2**i)) for i in levels]
    labels = folder / LABELS
    path = labels / name
    if path.exists():
        raise FileExistsError(f"{path} exists and is not overwritten. Choose another name.")
    open_labels(folder, version)
    partial = labels / f".{name}.{uuid4().hex[:8]}.partial"
    try:
        _write(result, partial, version, folder, "../../", sizes)
        os.rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    list_labels(folder, name, version)
    return path


def _check_name(name: str) -> None:
    if not name or name != Path(name).name or "\\" in name or name.startswith((".", "__")):
        raise ValueError(
            f"Got {name!r} as the name of labels; wanted one that a folder can have, without "
            f"slashes, and that starts neither with a dot nor with two underscores."
        )


def _beside_image(path: Path, source: Path | None) -> str | None:
    """Return the way from labels to their image, where that is a Zarr group, too."""
    if source is None or not zarr_attributes(Path(source)):
        return None
    try:
        return Path(os.path.relpath(source, path)).as_posix()
    except ValueError:  # on another drive of Windows
        return None


def _write(
    result: Labelled,
    path: Path,
    version: Version,
    source: Path | None,
    way_to_image: str | None,
    sizes: Sequence[tuple[int, int]] | None = None,
) -> None:
    require("zarr", NEEDS)
    labels, extent = result.labels, result.extent
    dtype = label_dtype(labels)
    described = {"version": version, **_image_label(result)}
    if way_to_image is not None:
        described["source"] = {"image": way_to_image}
    written = LabelsInOmeZarr(
        path,
        extent,
        dtype,
        {METADATA: record_of(result, str(dtype), source)},
        version=version,
        sizes=sizes,
        ome={"image-label": described},
    )
    for plane in np.ndindex(extent.planes_shape):
        for top in range(0, extent.height, CHUNK):
            rows = slice(top, min(top + CHUNK, extent.height))
            written.write_labels(plane, rows, np.asarray(labels[(*plane, rows)]))
        written.end_plane(plane)


def _image_label(result: Labelled) -> dict[str, Any]:
    """Return colors and properties of the labels; the format knows no empty list of these."""
    columns = columns_to_json(result.objects)
    numbers = columns.pop("index")
    if not numbers:
        return {}
    names = list(columns)
    rows: list[Mapping[str, Any]] = [
        {"label-value": number, **dict(zip(names, row, strict=True))}
        for number, row in zip(numbers, zip(*columns.values(), strict=True), strict=True)
    ]
    colors = [
        {"label-value": number, "rgba": [*label_color(result, number), OPAQUE]}
        for number in numbers
    ]
    return {"colors": colors, "properties": rows}
