"""What is recorded with a result in each file, and read again: its recipe, first of all."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_clipseg.files.formats.extras import require
from napari_clipseg.files.formats.labelled import Written
from napari_clipseg.recipe import METADATA, Recipe
from napari_clipseg.recipe_json import FORMAT, check_hash

NAMESPACE = "https://github.com/napari-clipseg/napari-clipseg"  # of annotations in OME-XML
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two are those of BigTIFF
PNG = b"\x89PNG"
PARQUET = b"PAR1"
OPENING = 8  # bytes that tell files apart
WANTED = "wanted a file or folder that napari-clipseg wrote"


def record_of(result: Written, dtype: str, source: Path | None = None) -> dict[str, Any]:
    """Return what is recorded with a result in a file, as JSON values."""
    named = {} if source is None else {"source": Path(source).name}
    return {**result.record(dtype), **named}


def record_text(record: Mapping[str, Any]) -> str:
    """Return a record as ASCII, which any kind of file can hold."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def beside(path: Path) -> Path:
    """Return the JSON file that holds the recipe of a file which has no place for it."""
    return path.with_name(f"{path.name}.json")


def write_beside(result: Written, path: Path, *, source: Path | None = None) -> None:
    """Write the record of a result to exactly this path; `beside` says where it is looked for.

    Raises
    ------
    FileExistsError
        If the path exists.
    """
    record = record_of(result, "", source)
    del record["dtype"]
    with Path(path).open("x", encoding="utf-8", newline="\n") as file:
        json.dump({METADATA: record}, file, indent=1)


def recipe_of(path: str | Path) -> Recipe:
    """Read the recipe back from any file or folder of a result.

    Parameters
    ----------
    path : str or Path
        What a format wrote; the JSON file beside a table or an archive of outlines; a map that
        `segment` wrote into an OME-Zarr; labels beside their image, ``image.zarr/labels/NAME``; or
        a saved recipe.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or none beside it that would hold its recipe.
    ValueError
        If it has no recipe, or one that was changed after it was written.
    ModuleNotFoundError
        If it is a Parquet file, and pyarrow is not installed.

    Examples
    --------
    >>> from napari_clipseg import recipe_of, segment, write
    >>> result = segment(np.zeros((40, 60), dtype=np.uint8), "nuclei")
    >>> (path,) = write(result, "cells.labels.ome.tif")
    >>> recipe_of(path).prompts
    ('nuclei',)
    """
    path = Path(path)
    record = read_record(path)
    return Recipe.from_dict(record["recipe"], f"The recipe of {path.name}")


def read_record(path: Path) -> dict[str, Any]:
    """Return what is recorded in a file or folder, its recipe checked against its hash.

    Raises
    ------
    FileNotFoundError, ValueError, ModuleNotFoundError
        See `recipe_of`.
    """
    found = find_record(path)
    if found is None:
        raise ValueError(f"{path.name} has no recipe; {WANTED}.")
    if not isinstance(found.get("recipe"), Mapping):
        raise ValueError(f"The record in {path.name} holds no recipe; {WANTED}.")
    check_hash(found, path.name)
    return found


def find_record(path: Path) -> dict[str, Any] | None:
    """Return what is recorded in a file or folder, or None if it is none of ours.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or none beside it that would hold its record.
    ValueError
        If it cannot be read as what its first bytes say it is.
    ModuleNotFoundError
        If a package that reads it is missing.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    if path.is_dir():
        return _record_in(zarr_attributes(path))
    with path.open("rb") as file:
        opening = file.read(OPENING)
    if opening.startswith(TIFF):
        return _in_tiff(path)
    if opening.startswith(PNG):
        return _in_png(path)
    if opening.startswith(PARQUET):
        return _in_parquet(path)
    if opening.lstrip()[:1] == b"{":
        return _in_json(path)
    if path.suffix.lower() == ".csv" or zipfile.is_zipfile(path):
        return _beside_it(path)
    return None


def zarr_attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of a Zarr group of version 2 or 3; zarr itself is not needed."""
    for name, inner in (("zarr.json", "attributes"), (".zattrs", None)):
        if (folder / name).is_file():
            values = _json(folder / name)
            found = values if inner is None else values.get(inner)
            return found if isinstance(found, dict) else {}
    return {}


def _record_in(values: Any) -> dict[str, Any] | None:
    found = values.get(METADATA) if isinstance(values, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read as JSON: {error}. It is damaged.") from error


def _in_json(path: Path) -> dict[str, Any] | None:
    values = _json(path)
    if isinstance(values, Mapping) and values.get("format") == FORMAT:
        return {"recipe": values}
    info = values.get("info") if isinstance(values, Mapping) else None
    return _record_in(values) or _record_in(info)


def _beside_it(path: Path) -> dict[str, Any] | None:
    if not beside(path).is_file():
        raise FileNotFoundError(
            f"The recipe of {path.name} is in {beside(path).name}, and there is no such file "
            f"beside it. Put it back, or take the recipe from another file of this result."
        )
    return _in_json(beside(path))


def _in_tiff(path: Path) -> dict[str, Any] | None:
    annotations = tiff_annotations(path)
    return None if METADATA not in annotations else dict(json.loads(annotations[METADATA]))


def tiff_annotations(path: Path) -> dict[str, str]:
    """Return our own annotations of an OME-TIFF, by their keys; none for another file."""
    from xml.etree import ElementTree

    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            text = tiff.pages.first.description
    except (tifffile.TiffFileError, OSError, IndexError, KeyError, struct.error) as error:
        raise ValueError(f"{path.name} cannot be read as TIFF: {error}. It is damaged.") from error
    if NAMESPACE not in text:
        return {}
    root = ElementTree.fromstring(text)
    return {
        str(one.get("K")): one.text or ""
        for annotation in root.iter()
        if annotation.get("Namespace") == NAMESPACE
        for one in annotation.iter()
        if one.get("K") is not None
    }


def _in_png(path: Path) -> dict[str, Any] | None:
    from PIL import Image

    with Image.open(path) as png:
        png.load()
        text = png.info.get(METADATA)
    return None if not isinstance(text, str) else dict(json.loads(text))


def _in_parquet(path: Path) -> dict[str, Any] | None:
    parquet = require("pyarrow.parquet", "Reading Parquet")
    metadata = parquet.read_schema(path).metadata or {}
    text = metadata.get(METADATA.encode())
    return None if text is None else dict(json.loads(text))


def columns_to_json(table: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the columns of a table as JSON values; what is no number is None."""
    return {
        name: [_finite(one) for one in np.asarray(column).tolist()]
        for name, column in table.items()
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def columns_from_json(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Do the opposite of `columns_to_json`."""
    return {
        name: np.array([np.nan if one is None else one for one in column])
        for name, column in columns.items()
    }
