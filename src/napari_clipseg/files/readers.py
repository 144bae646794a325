"""Images and strokes from files; pixels are read when they are used, where the format allows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # --help must be quick
    from napari_clipseg.images.io.source import Source

TIFF = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk", ".svs", ".ndpi", ".scn", ".qptiff")
NPY, ZARR = (".npy",), (".zarr",)
# A smaller image is read at once: that is faster than in parts.
AT_ONCE = 1 << 27
PICTURES = (".png", ".jpg", ".jpeg")
OTHERS = (".bmp", ".gif", ".jp2", ".webp")
# What is taken from folders. If another file is named, napari plugins and imageio are asked.
KINDS = (*TIFF, *PICTURES, *NPY, *ZARR, *OTHERS)
# Formats of microscopes: taken from folders, too, if a napari plugin reads them.
MICROSCOPES = (
    *(".bif", ".czi", ".dm3", ".dm4", ".dv", ".ics", ".ids", ".ims", ".lei", ".lif", ".lof"),
    *(".mrc", ".mrxs", ".msr", ".nd", ".nd2", ".obf", ".oib", ".oif", ".oir", ".r3d", ".rec"),
    *(".sld", ".sldy", ".st", ".vsi", ".xlef", ".zvi"),
)
# What PIL is to make of its modes; all others are arrays as they are.
AS_IMAGE = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB", "CMYK": "RGB"}
EMPTY = "it is empty (0 bytes). Copy it again from where it comes from"
NO_ZARR = "zarr is missing: python -m pip install 'napari-clipseg[zarr]'"


def read_image(path: Path, *, headers: bool = False) -> Source:
    """Return an image of a file, named like the file.

    Parameters
    ----------
    path : Path
        TIFF, PNG, JPEG, .npy, OME-Zarr, or what the reader of a napari plugin or imageio reads.
    headers : bool
        Whether shape, type and axes are enough, for a plan: no pixel is read then, and those of
        the image are all 0.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of another kind, or cannot be read.
    """
    from napari_clipseg.images.io.source import as_source

    require_file(path)
    try:
        if _kind(path) in TIFF:
            from napari_clipseg.files.tiff import open_tiff

            source = as_source(open_tiff(path, headers=headers))
        elif _kind(path) in PICTURES:
            source = as_source(_picture(path, AS_IMAGE, headers))
        else:
            source = as_source(_opener(path)(path))
        return replace(source, name=path.name)
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

    require_file(path)
    try:
        if _kind(path) in PICTURES:
            return _picture(path, {})
        if _kind(path) in TIFF:
            from napari_clipseg.files.tiff import open_tiff

            return np.asarray(open_tiff(path).levels[0])
        return np.asarray(as_source(_opener(path)(path)).levels[0])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be used as strokes: {error}") from error


def is_image(path: Path) -> bool:
    """Return whether a file of a folder is taken for an image, by its name."""
    if _kind(path) not in MICROSCOPES:
        return _kind(path) in KINDS
    from napari_clipseg.files.plugin_readers import has_plugin_reader

    return has_plugin_reader(path)


def require_file(path: Path) -> None:
    """Raise FileNotFoundError if there is no such file, ValueError if it holds nothing."""
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{path} cannot be used: {EMPTY}.")


def _kind(path: Path) -> str:
    return path.suffix.lower()


def _opener(path: Path) -> Callable[[Path], Any]:
    if _kind(path) in NPY:
        return _npy
    return _zarr if _kind(path) in ZARR or path.is_dir() else _any


def stand_in(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return zeros that take no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _picture(path: Path, modes: dict[str, str], headers: bool = False) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            wanted = modes.get(picture.mode)
            if headers:
                colors = (3,) if (wanted or picture.mode) == "RGB" else ()
                return stand_in((picture.height, picture.width, *colors), np.uint8)
            return np.asarray(picture if wanted is None else picture.convert(wanted))
    except (OSError, SyntaxError) as error:  # Pillow names a broken PNG so
        if getattr(error, "errno", None) is not None:
            raise  # of the disk, not of what the file holds
        raise ValueError(f"{error}. Open it in another program to see whether it is whole") from (
            error
        )


def _npy(path: Path) -> Any:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return np.array(mapped) if mapped.nbytes <= AT_ONCE else mapped
    except (EOFError, ValueError) as error:
        said = str(error).rstrip(".")
        raise ValueError(f"{said}. Write it again with numpy.save") from error


def _zarr(path: Path) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ValueError(NO_ZARR) from error
    try:
        group: Any = zarr.open(path, mode="r")
    except (FileNotFoundError, KeyError) as error:
        raise ValueError("it holds no Zarr array or group. Choose an OME-Zarr image") from error
    attributes: Any = dict(group.attrs)
    layout = {**attributes, **dict(attributes.get("ome") or {})}.get("bioformats2raw.layout")
    # What bioformats2raw writes holds its images in groups of numbers.
    return group["0"] if layout is not None and "0" in group else group


def _any(path: Path) -> Any:
    """Return what the reader of a napari plugin makes of a file, or imageio."""
    import imageio.v3

    from napari_clipseg.files.plugin_readers import read_with_plugins

    kind, said = _kind(path), ""
    try:
        if kind not in KINDS and (source := read_with_plugins(path)) is not None:
            return source
    except ValueError as error:
        said = f" ({error})"
    options: Any = {"extension": kind} if kind else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old plugins, which are asked one after another
            with path.open("rb") as file:  # which imageio leaves open where it does not know it
                return np.asarray(imageio.v3.imread(file, **options))
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, PermissionError):
            raise
        cure = "Update the plugin, or save" if said else "Save"
        if not said and kind not in ("", *KINDS):
            cure = f"Install a napari plugin that reads {kind}, or save"
        raise ValueError(
            f"no reader for {kind or 'a file without a suffix'} takes it{said}. Wanted "
            f"{', '.join(KINDS)}. {cure} it as OME-TIFF, such as with Fiji"
        ) from error
