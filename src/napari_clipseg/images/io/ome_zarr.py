"""OME-Zarr images (https://ngff.openmicroscopy.org, 0.4 and 0.5), written level by level."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_clipseg.images.io.axes import CHANNEL, COLUMN, ROW
from napari_clipseg.images.io.units import unit_name

Version = Literal["0.4", "0.5"]
NEWEST: Version = "0.5"
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
    in_units: Sequence[str] = (ROW, COLUMN),
    version: Version = "0.5",
    sizes: Sequence[tuple[int, int]] | None = None,
    ome: Mapping[str, Any] | None = None,
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
        Unit of lengths.
    metadata : mapping
        Attributes to write beside those of the format.
    in_units : sequence of str
        Axes that have the unit.
    version : "0.4" or "0.5"
        Of the format; 0.4 is Zarr 2, 0.5 is Zarr 3.
    sizes : sequence of (int, int), optional
        Height and width of each level; by default each is half as high and wide as the one before,
        until it is small.
    ome : mapping, optional
        Entries of the format besides ``multiscales``, such as ``omero``.

    Returns
    -------
    list of zarr.Array
        The finest first.

    Raises
    ------
    FileExistsError
        If the path exists and is no empty folder.
    ModuleNotFoundError
        If zarr is not installed.
    """
    require_zarr("Writing")
    import zarr

    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"{path} exists and is not overwritten. Choose another name.")
    *planes, height, width = shape
    factors = [(_factor(height, h), _factor(width, w)) for h, w in sizes or ()]
    if sizes is None:
        sizes, factors = [(height, width)], [(1, 1)]
        while max(sizes[-1]) > SMALLEST:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
            factors.append((2 * factors[-1][0],) * 2)
    old = version == "0.4"
    group = zarr.open_group(path, mode="w", zarr_format=2 if old else 3)
    # What each of the two versions of Zarr wants beside the array itself.
    options: dict[str, Any] = {"dimension_names": list(axes)}
    if old:
        options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    levels, datasets = [], []
    for i, (h, w) in enumerate(sizes):
        factor = np.ones(len(shape))
        factor[-2:] = factors[i]
        chunks = (*(1 for _ in planes), min(CHUNK, h), min(CHUNK, w))
        levels.append(
            group.create_array(str(i), shape=(*planes, h, w), chunks=chunks, dtype=dtype, **options)
        )
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
        for one in described:
            if one["name"] in in_units:
                one["unit"] = unit_name(unit)
    image = {"axes": described, "datasets": datasets}
    if old:
        entries: dict[str, Any] = {"multiscales": [{"version": version, **image}], **(ome or {})}
    else:
        entries = {"ome": {"version": version, "multiscales": [image], **(ome or {})}}
    group.attrs.update({**entries, **metadata})
    return levels


def require_zarr(doing: str) -> None:
    """Raise ModuleNotFoundError, with the cure, if zarr is not installed."""
    try:
        import zarr  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{doing} OME-Zarr needs the package zarr. Get it: python -m pip install "
            f"'napari-clipseg[zarr]'"
        ) from error


def open_levels(path: Path, mode: Literal["r", "r+"] = "r+") -> list[Any]:
    """Open the levels of an image that `create_ome_zarr` made."""
    import zarr

    group = zarr.open_group(path, mode=mode)
    attributes: Any = dict(group.attrs)
    images = attributes.get("ome", attributes)["multiscales"]
    return [group[one["path"]] for one in images[0]["datasets"]]


def open_labels(image: Path, version: Version = NEWEST) -> Any:
    """Open the group of an image's labels; it is made, its list empty, where there is none."""
    import zarr

    group = zarr.open_group(image / LABELS, mode="a", zarr_format=2 if version == "0.4" else 3)
    if LABELS not in _holder(group, version):
        _set_list(group, version, [])
    return group


def list_labels(image: Path, name: str, version: Version = NEWEST) -> None:
    """Add a label image to the list of those of an image; it lies in ``labels/name``."""
    import zarr

    group = open_labels(image, version)
    listed = [one for one in _holder(group, version)[LABELS] if one != name]
    _set_list(group, version, [*listed, name])
    for root in (image, image / LABELS):
        if _is_consolidated(root):
            # Readers that look there alone would not find the new labels. That Zarr 3 does not
            # describe such metadata is the affair of who wrote them.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                zarr.consolidate_metadata(root)


def _holder(group: Any, version: Version) -> dict[str, Any]:
    """Return the attributes among which the list of labels stands."""
    attributes = dict(group.attrs)
    return attributes if version == "0.4" else dict(attributes.get("ome", {"version": version}))


def _set_list(group: Any, version: Version, names: list[str]) -> None:
    listed: dict[str, Any] = {LABELS: names}
    group.attrs.update(
        listed if version == "0.4" else {"ome": {**_holder(group, version), **listed}}
    )


def _is_consolidated(folder: Path) -> bool:
    if (folder / ".zmetadata").is_file():
        return True
    metadata = folder / "zarr.json"
    if not metadata.is_file():
        return False
    return bool(json.loads(metadata.read_text(encoding="utf-8")).get("consolidated_metadata"))


def _factor(fine: int, coarse: int) -> float:
    """Return how many pixels lie under a coarser one; the last one may reach beyond the image."""
    whole = round(fine / coarse)
    return whole if coarse in (fine // whole, -(-fine // whole)) else fine / coarse


def read_attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a group; none of what is no group.

    Raises
    ------
    ModuleNotFoundError
        If zarr is not installed.
    """
    require_zarr("Reading")
    import zarr

    try:
        return dict(zarr.open_group(path, mode="r").attrs)
    except (FileNotFoundError, ValueError):
        return {}


def write_attributes(path: Path, metadata: Mapping[str, Any]) -> None:
    """Add attributes to an OME-Zarr image, or replace those of the same names."""
    import zarr

    zarr.open_group(path, mode="r+").attrs.update(metadata)


def write_coarser(levels: Sequence[Any], plane: tuple[int, ...]) -> None:
    """Fill the coarser levels of a plane from its finest, strip by strip, with means."""
    for fine, coarse in pairwise(levels):
        height, width = coarse.shape[-2:]
        for top in range(0, height, CHUNK):
            bottom = min(top + CHUNK, height)
            strip = np.asarray(fine[(*plane, slice(2 * top, 2 * bottom), slice(None))])
            odd = ((0, strip.shape[0] % 2), (0, strip.shape[1] % 2))
            strip = np.pad(strip, odd, mode="edge")
            means = strip.reshape(bottom - top, 2, width, 2).mean(axis=(1, 3), dtype=np.float32)
            if fine.dtype.kind == "u":
                means = np.rint(means)
            coarse[(*plane, slice(top, bottom), slice(None))] = means.astype(fine.dtype)


def write_coarser_labels(levels: Sequence[Any], plane: tuple[int, ...]) -> None:
    """Fill the coarser levels of a plane of labels, strip by strip, with the nearest label.

    A mean of labels would be the label of another object.
    """
    for fine, coarse in pairwise(levels):
        rows, columns = (
            ((np.arange(small) + 0.5) * large / small).astype(int)
            for small, large in zip(coarse.shape[-2:], fine.shape[-2:], strict=True)
        )
        for top in range(0, len(rows), CHUNK):
            its = rows[top : top + CHUNK]
            strip = np.asarray(fine[(*plane, slice(its[0], its[-1] + 1), slice(None))])
            part = strip[its - its[0]][:, columns]
            coarse[(*plane, slice(top, top + len(its)), slice(None))] = part
