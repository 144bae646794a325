"""Images and strokes from files, for commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # --help must be quick
    from napari_clipseg.images.io.source import Source

TIFF, NPY, ZARR = (".tif", ".tiff"), (".npy",), (".zarr",)
PICTURES = (".png", ".jpg", ".jpeg")
KINDS = (*TIFF, *PICTURES, *NPY, *ZARR)
# What PIL is to make of its modes; all others are arrays as they are.
AS_IMAGE = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB", "CMYK": "RGB"}


def read_image(path: Path) -> Source:
    """Return an image of a file, named like the file.

    Parameters
    ----------
    path : Path
        TIFF, PNG, JPEG, .npy or OME-Zarr.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of another kind, or cannot be read.
    """
    from napari_clipseg.images.io.source import as_source

    _require_kind(path)
    axes = None
    try:
        if path.suffix.lower() in TIFF:
            image, axes = _tiff(path)
        elif path.suffix.lower() in PICTURES:
            image = _picture(path, AS_IMAGE)
        else:
            image = _open(path)
        return replace(as_source(image, axes=axes), name=path.name)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be used as an image: {error}") from error


def read_strokes_file(path: Path) -> NDArray[Any]:
    """Return the strokes of a file: the values as they are; of a PNG of colors their numbers.

    Raises
    ------
    FileNotFoundError, ValueError
        See `read_image`.
    """
    from napari_clipseg.images.io.source import as_source

    _require_kind(path)
    try:
        if path.suffix.lower() in TIFF:
            return _tiff(path)[0]
        if path.suffix.lower() in PICTURES:
            return _picture(path, {})
        return np.asarray(as_source(_open(path)).levels[0])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be used as strokes: {error}") from error


def _require_kind(path: Path) -> None:
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"{path} is of a kind that cannot be read; wanted {', '.join(KINDS)}.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")


def _tiff(path: Path) -> tuple[NDArray[Any], str]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            return np.asarray(series.asarray()), series.axes.lower()
    except (tifffile.TiffFileError, IndexError) as error:
        raise ValueError(f"it is no TIFF file, or broken: {error}") from error


def _picture(path: Path, modes: dict[str, str]) -> NDArray[Any]:
    from PIL import Image

    with Image.open(path) as picture:
        wanted = modes.get(picture.mode)
        return np.asarray(picture if wanted is None else picture.convert(wanted))


def _open(path: Path) -> Any:
    """Open what is read when it is used: a .npy file, or OME-Zarr."""
    if path.suffix.lower() in NPY:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    try:
        import zarr
    except ImportError as error:
        raise ValueError("zarr is missing: python -m pip install 'napari-clipseg[zarr]'") from error
    return zarr.open(path, mode="r")
