"""What an image must be, to be a source; errors say what came and the cure."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_clipseg.images.io.axes import CHANNEL, SAMPLE

if TYPE_CHECKING:  # source imports this module
    from napari_clipseg.images.io.source import Source

REAL = "buif"  # numpy's letters for bool, integers and floats


def refuse_paths(image: Any) -> None:
    """Raise TypeError for the path of a file: nothing is read from it here."""
    for one in image if isinstance(image, list | tuple) else [image]:
        if isinstance(one, str | PathLike):
            kind, path = ("text" if isinstance(one, str) else "path"), str(one)
            zarr = path.rstrip("/").endswith(".zarr")
            read = f"zarr.open({path!r}, mode='r')" if zarr else f"skimage.io.imread({path!r})"
            raise TypeError(
                f"Got the {kind} {path!r} for an image; wanted its pixels. Read the file first, "
                f"such as with {read}."
            )


def check_level(level: Any) -> None:
    """Raise TypeError if an array holds no real numbers, ValueError if its shape is unknown."""
    if np.dtype(level.dtype).kind not in REAL:
        raise TypeError(
            f"The image holds values of type {level.dtype}; wanted bool, integers or floats. "
            f"Convert it first, for example with numpy.abs for complex numbers."
        )
    if not all(isinstance(length, Integral) for length in level.shape):
        raise ValueError(
            f"The image's shape {tuple(level.shape)} is not known; wanted whole numbers. Of a "
            f"dask array, call compute_chunk_sizes() first."
        )


def check_source(source: Source) -> None:
    """Raise ValueError if levels, spacing, names or contrast limits cannot be used."""
    shapes = [tuple(level.shape) for level in source.levels]
    for shape in shapes:
        if 0 in shape:
            name = f" {source.name!r}" if source.name else ""
            raise ValueError(
                f"The image{name} is empty: its shape is {shape}. Choose one with pixels."
            )
    for fine, coarse in pairwise(range(len(shapes))):
        one, other = shapes[fine], shapes[coarse]
        if len(one) != len(other) or not _coarser(source.shape_of(fine), source.shape_of(coarse)):
            raise ValueError(
                f"The levels of the image have the shapes {shapes}; wanted as many axes in each, "
                f"and fewer rows or columns from one to the next. Put equal planes into one array "
                f"with numpy.stack."
            )
    for name, word in ((CHANNEL, "channels"), (SAMPLE, "colors")):
        if name in source.axes:
            counts = [source.length(name, level) for level in range(len(shapes))]
            fits = set(counts) <= {3, 4} if name == SAMPLE else len(set(counts)) == 1
            if not fits:
                raise ValueError(
                    f"The levels of the image have {' and '.join(map(str, counts))} {word}; "
                    f"wanted {'3 or 4' if name == SAMPLE else 'as many'} in each. Leave out the "
                    f"levels that do not fit."
                )
    if len(source.spacing) != 2 or not all(0 < one < np.inf for one in source.spacing):
        raise ValueError(
            f"Got the spacing {source.spacing}; wanted height and width of a pixel, above 0."
        )
    if source.z_spacing is not None and not 0 < source.z_spacing < np.inf:
        raise ValueError(
            f"Got the z spacing {source.z_spacing}; wanted the distance of planes, above 0. Leave "
            f"it out if it is not known."
        )
    if source.channel_names and len(source.channel_names) != source.channels:
        raise ValueError(
            f"Got the channel names {source.channel_names}; wanted {source.channels}, one for each "
            f"channel."
        )
    limits = source.contrast_limits
    if limits is not None and not (
        len(limits) == 2 and np.isfinite(limits).all() and limits[0] <= limits[1]
    ):
        raise ValueError(
            f"Got the contrast limits {limits}; wanted two finite values, that of black not above "
            f"that of white."
        )
    if len(source.translation) != 2 or not np.isfinite(source.translation).all():
        raise ValueError(
            f"Got the translation {source.translation}; wanted the row and column of the first "
            f"pixel, in units."
        )
    if not np.isfinite(source.z_translation):
        raise ValueError(
            f"Got the z translation {source.z_translation}; wanted where the first plane lies, in "
            f"units."
        )


def _coarser(fine: tuple[int, int], coarse: tuple[int, int]) -> bool:
    return all(a >= b for a, b in zip(fine, coarse, strict=True)) and fine != coarse
