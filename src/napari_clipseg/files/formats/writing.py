"""One result into one file, whole or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from napari_clipseg.files.formats.catalog import FORMATS, format_of
from napari_clipseg.files.formats.labelled import Written
from napari_clipseg.files.formats.records import beside, write_beside


def write(
    result: Written,
    path: str | Path,
    *,
    format: str | None = None,
    image: Any = None,
    source: str | Path | None = None,
) -> list[Path]:
    """Write a result into a file of the field, with its recipe.

    Parameters
    ----------
    result : Segmentation
        What is written.
    path : str or Path
        A file that does not exist yet, in a folder that does. Its end says the format, such as
        ``cells.labels.ome.tif``, ``cells.csv`` or ``cells.geojson``.
    format : str, optional
        One of `files.formats.FORMATS`, where the name says none or another version is wanted.
    image : array-like, layer, or Source, optional
        The image that was segmented: tables get its intensities, and an overlay needs it.
    source : str or Path, optional
        Where the image is; its name is recorded.

    Returns
    -------
    list of Path
        What was written: the file, and for tables in CSV and archives of outlines a JSON file
        with the recipe beside it.

    Raises
    ------
    ValueError
        If there is no such format, or the image is not that of the result.
    FileExistsError
        If the path exists.
    FileNotFoundError
        If its folder does not.
    ModuleNotFoundError
        If a package is missing; the message has the line for pip.

    Examples
    --------
    >>> from napari_clipseg import recipe_of, segment, write
    >>> image = np.zeros((40, 60), dtype=np.uint8)
    >>> result = segment(image, ["nuclei", "red rings"])
    >>> [path.name for path in write(result, "cells.csv", image=image)]
    ['cells.csv', 'cells.csv.json']
    >>> recipe_of("cells.csv") == result.recipe
    True
    """
    path = Path(os.path.expanduser(path))
    if format is not None and format not in FORMATS:
        raise ValueError(f"There is no format {format!r}; wanted one of {', '.join(FORMATS)}.")
    chosen = format_of(path) if format is None else FORMATS[format]
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {path.parent} for {path.name}. Make it first, or choose another "
            f"one."
        )
    where = None if source is None else Path(source)
    wanted = [path, beside(path)] if chosen.beside else [path]
    for one in wanted:
        if one.exists():
            raise FileExistsError(f"{one} exists and is not overwritten. Choose another name.")
    mark = uuid4().hex[:8]
    parts = [one.with_name(f".{one.name}.{mark}.part") for one in wanted]
    try:
        chosen.write(result, parts[0], source=where, image=image)
        if chosen.beside:
            write_beside(result, parts[1], source=where)
        for part, one in reversed(list(zip(parts, wanted, strict=True))):
            os.rename(part, one)
    except BaseException:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
            with suppress(FileNotFoundError, PermissionError):
                part.unlink()
        raise
    return wanted
