"""OME-Zarr images (https://ngff.openmicroscopy.org, version 0.5), written level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from napari_clipseg.images.io.axes import CHANNEL, COLUMN, ROW

VERSION = "0.5"
CHUNK = 512  # pixels of a side
LABELS = "labels"  # the group of an image's label images
SMALLEST = 512  # a level is added until its longer side is at most this
TYPES = {"t": "time", CHANNEL: "channel", "z": "space", ROW: "space", COLUMN: "space"}  # of axes


def create_ome_zarr(
    path: str | Path,
    shape: Sequence[int],
    dtype: str,
    axes: Sequence[str],
    *,
    scale: Sequence[float],
    translate: Sequence[float],
    unit: str,
    metadata: Mapping[str, Any],
    labels: bool = False,
) -> list[Any]:
    """Create an OME-Zarr image with the levels of its pyramid, all zero.

    Parameters
    ----------
    path : str or Path
        A folder that does not exist yet, or is empty.
    shape : sequence of int
        Shape of the finest level; rows and columns are the last two axes.
    dtype : str
        Type of the values.
    axes : sequence of str
        A name for each axis.
    scale, translate : sequence of float
        Size of a pixel, and center of the first one, along each axis, in units.
    unit : str
        Unit of rows and columns.
    metadata : mapping
        Attributes to write beside those of the format.
    labels : bool
        Whether it is a label image, two groups below the image that it belongs to.

    Returns
    -------
    list of zarr.Array
        The finest first; each next level is half as high and wide.

    Raises
    ------
    FileExistsError
        If the path exists and is no empty folder.
    ModuleNotFoundError
        If zarr is not installed.
    """
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Writing OME-Zarr needs the package zarr. Get it: python -m pip install "
            "'napari-clipseg[zarr]'"
        ) from error
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not overwritten. Choose another name.")
    *planes, height, width = shape
    sizes = [(height, width)]
    while max(sizes[-1]) > SMALLEST:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    group = zarr.open_group(path, mode="w", zarr_format=3)
    levels, datasets = [], []
    for i, (h, w) in enumerate(sizes):
        factor = np.ones(len(shape))
        factor[-2:] = 2**i
        chunks = (*(1 for _ in planes), min(CHUNK, h), min(CHUNK, w))
        levels.append(group.create_array(str(i), shape=(*planes, h, w), chunks=chunks, dtype=dtype))
        # The center of a coarse pixel is that of the pixels under it.
        moved = np.asarray(translate) + np.asarray(scale) * (factor - 1) / 2
        transformations = [
            {"type": "scale", "scale": (np.asarray(scale) * factor).tolist()},
            {"type": "translation", "translation": moved.tolist()},
        ]
        datasets.append({"path": str(i), "coordinateTransformations": transformations})
    described: list[dict[str, Any]] = [
        {"name": name} | ({"type": TYPES[name]} if name in TYPES else {}) for name in axes
    ]
    if unit != "pixel":
        for one in described[-2:]:
            one["unit"] = unit
    ome: dict[str, Any] = {
        "version": VERSION,
        "multiscales": [{"axes": described, "datasets": datasets}],
    }
    if labels:
        ome["image-label"] = {"source": {"image": "../../"}}
    group.attrs.update({"ome": ome, **metadata})
    return levels


def open_levels(path: Path) -> list[Any]:
    """Open the levels of an image that `create_ome_zarr` made."""
    import zarr

    group = zarr.open_group(path, mode="r+")
    ome: Any = group.attrs["ome"]
    return [group[one["path"]] for one in ome["multiscales"][0]["datasets"]]


def list_labels(path: Path, name: str) -> None:
    """Add a label image to the list of those of an image; it lies in ``labels/name``."""
    import zarr

    group = zarr.open_group(path, mode="r+").require_group(LABELS)
    known: Any = group.attrs.get("ome", {})
    listed: dict[str, Any] = {"version": VERSION, **known}
    listed["labels"] = [*listed.get("labels", []), name]
    group.attrs.update({"ome": listed})


def write_attributes(path: Path, metadata: Mapping[str, Any]) -> None:
    """Add attributes to an OME-Zarr image, or replace those of the same names."""
    import zarr

    zarr.open_group(path, mode="r+").attrs.update(metadata)


def write_coarser(levels: Sequence[Any], plane: tuple[int, ...], *, labels: bool = False) -> None:
    """Fill the coarser levels of a plane from its finest, strip by strip.

    Parameters
    ----------
    levels : sequence of zarr.Array
        The finest first.
    plane : tuple of int
        Which plane.
    labels : bool
        Whether a coarse pixel is one of those under it, and not their mean.
    """
    for fine, coarse in pairwise(levels):
        height, width = coarse.shape[-2:]
        for top in range(0, height, CHUNK):
            bottom = min(top + CHUNK, height)
            strip = np.asarray(fine[(*plane, slice(2 * top, 2 * bottom), slice(None))])
            if labels:
                coarse[(*plane, slice(top, bottom), slice(None))] = strip[::2, ::2]
                continue
            odd = ((0, strip.shape[0] % 2), (0, strip.shape[1] % 2))
            strip = np.pad(strip, odd, mode="edge")
            means = strip.reshape(bottom - top, 2, width, 2).mean(axis=(1, 3), dtype=np.float32)
            if fine.dtype.kind == "u":
                means = np.rint(means)
            coarse[(*plane, slice(top, bottom), slice(None))] = means.astype(fine.dtype)
