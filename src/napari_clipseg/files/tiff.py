"""TIFF, OME-TIFF and ImageJ TIFF: levels, axes, sizes; pixels are read when they are used.

https://github.com/cgohlke/tifffile says how each kind names its axes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.files.readers import AT_ONCE, stand_in
from napari_clipseg.images.io.axes import CHANNEL, SAMPLE, UNNAMED
from napari_clipseg.images.io.source import Source, as_source, with_channel_names
from napari_clipseg.images.io.units import in_unit, unit_name

# tifffile's letters for axes that a file gives no name.
NAMELESS = frozenset("iq")
# What damaged files make of tifffile, beside its own error.
BROKEN = (IndexError, KeyError, struct.error, zlib.error, EOFError, TypeError, RuntimeError)


def open_tiff(path: Path, *, headers: bool = False) -> Source:
    """Return the first image of a TIFF file; `headers` as for `readers.read_image`.

    Raises
    ------
    ValueError
        If it is no TIFF file, or broken, or its compression cannot be read here.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            axes = _axes(series.axes, series.shape)
            levels = [
                stand_in(one.shape, one.dtype) if headers else _level(path, series, i)
                for i, one in enumerate(series.levels)
            ]
            about = _ome_pixels(file.ome_metadata or "") if file.is_ome else {}
            known = _sizes(file, series, about)
    except (tifffile.TiffFileError, ValueError, *BROKEN) as error:
        if "imagecodecs" in str(error):
            raise ValueError(f"{error}: python -m pip install imagecodecs") from error
        raise ValueError(
            f"it is no TIFF file, or broken: {str(error).rstrip('.')}. Copy it again, or save it "
            f"anew in the program that opens it"
        ) from error
    source = as_source(levels if len(levels) > 1 else levels[0], axes=axes, **known)
    return with_channel_names(source, _channel_names(about))


def _axes(letters: str, shape: tuple[int, ...]) -> str | None:
    """Return the names of the axes, or None where the file does not say them."""
    names = letters.lower()
    if "s" in names and shape[names.index("s")] not in (3, 4):
        names = names.replace(SAMPLE, CHANNEL if CHANNEL not in names else "q")
    others = [name for name in names if name not in "yxs"]
    if others and set(others) <= NAMELESS:
        if names[-2:] not in ("yx", "xs") or len(others) + 2 not in UNNAMED:
            return None
        named = UNNAMED[len(others) + 2]
        return named + SAMPLE * names.endswith(SAMPLE)
    return names


def _level(path: Path, series: Any, number: int) -> Any:
    """Return the pixels: at once, as a memory map, or to be read in parts with zarr."""
    import tifffile

    level = series.levels[number]
    if level.nbytes <= AT_ONCE:
        return level.asarray()
    if number == 0 and level.dataoffset is not None:
        return tifffile.memmap(path, series=0, mode="r")
    try:
        import zarr  # noqa: F401  # which tifffile reads parts with
    except ImportError:
        return level.asarray()
    return InParts(path, number)


class InParts:
    """A level of a TIFF file; the file is open only while a part is read.

    Parameters
    ----------
    path : Path
        Of the file.
    level : int
        Which level of its first image.
    """

    def __init__(self, path: Path, level: int) -> None:
        self._path, self._level = path, level
        with self._open() as array:
            self.shape, self.dtype, self.chunks = array.shape, array.dtype, array.chunks
        self.ndim = len(self.shape)

    def __getitem__(self, where: Any) -> NDArray[Any]:
        with self._open() as array:
            return np.asarray(array[where])

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import tifffile
        import zarr

        with tifffile.TiffFile(self._path) as file:
            yield zarr.open_array(file.aszarr(series=0, level=self._level), mode="r")


def _sizes(file: Any, series: Any, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return size of a pixel, distance of planes, and their unit, as the file has them."""
    found = _of_ome(about)
    if file.is_imagej:
        found = _of_imagej(file.imagej_metadata or {}, series.keyframe)
    height, width, depth = (found.get(axis) for axis in "yxz")
    if not _is_length(height) or not _is_length(width):
        return {}
    unit = unit_name(found.get("unit") or "pixel")
    apart = in_unit(depth, found.get("unit of z") or unit, unit) if _is_length(depth) else None
    return {"spacing": (height, width), "unit": unit, "z_spacing": apart}


def _is_length(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 < value < np.inf


def _of_ome(pixels: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for axis in "yxz":
        with suppress(KeyError, TypeError, ValueError):
            found[axis] = float(pixels[f"PhysicalSize{axis.upper()}"])
    units = {"unit": "PhysicalSizeXUnit", "unit of z": "PhysicalSizeZUnit"}
    return found | {name: pixels.get(key, "µm") for name, key in units.items()}


def _ome_pixels(text: str) -> Mapping[str, Any]:
    """Return what OME-XML says of the pixels of its first image; {} where it is odd."""
    import tifffile

    try:
        images = tifffile.xml2dict(text)["OME"]["Image"]
        image = images[0] if isinstance(images, list) else images
        pixels: Mapping[str, Any] = image["Pixels"]
    except (KeyError, IndexError, TypeError, ValueError, SyntaxError):
        return {}
    return pixels if isinstance(pixels, Mapping) else {}


def _channel_names(pixels: Mapping[str, Any]) -> list[str]:
    """Return the names of channels that OME-XML has; empty ones where it has none."""
    channels = pixels.get("Channel") or []
    listed = channels if isinstance(channels, list) else [channels]
    return [str(one.get("Name", "")) if isinstance(one, Mapping) else "" for one in listed]


def _of_imagej(metadata: Mapping[str, Any], page: Any) -> dict[str, Any]:
    unit = str(metadata.get("unit", "")).replace("\\u00B5", "µ") or None  # as ImageJ escapes it
    if unit in (None, "pixel"):
        return {}
    found: dict[str, Any] = {"unit": unit, "z": metadata.get("spacing")}
    for axis, name in (("y", "YResolution"), ("x", "XResolution")):
        tag = page.tags.get(name)
        over, under = (0, 0) if tag is None else tag.value
        found[axis] = under / over if over else None
    return found
