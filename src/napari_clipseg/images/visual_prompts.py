"""A region of an image into a visual prompt: cut out, the surroundings blurred and darkened."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask
from skimage.filters import gaussian

from napari_clipseg.images.rendering import Rendering
from napari_clipseg.images.io.source import Source

# The paper's best recipe (https://arxiv.org/abs/2112.10003, section 3.3 and table 1): a
# 15 x 15 Gaussian blur of sigma 3 and 10 % of the light for what is not the object.
BLUR_SIGMA = 3.0
BLUR_RADIUS = 7
BACKGROUND_LIGHT = 0.1
CONTEXT = 0.1
ENOUGH_PIXELS = 512  # of a side; the model looks at fewer
NO_PIXEL = (
    "The region of the reference covers no pixel of its image. "
    "Draw it over the image, around one example."
)


def visual_prompt(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Cut the object under a mask out of a picture, as CLIPSeg reads image prompts best.

    The background is blurred and darkened, the picture cropped to the object with a tenth
    of its size as context on each side, and padded with black to a square.

    Parameters
    ----------
    image : ndarray of uint8
        ``(height, width, 3)``, RGB.
    mask : ndarray of bool
        ``(height, width)``, True on the object.

    Returns
    -------
    ndarray of uint8
        ``(side, side, 3)``.

    Raises
    ------
    ValueError
        If the mask has another size than the image, or marks no pixel of it.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"The reference image is {image.dtype} of shape {image.shape}; "
            f"wanted uint8 of shape (height, width, 3)."
        )
    if mask.shape != image.shape[:2]:
        raise ValueError(
            f"The mask of the reference has shape {mask.shape}, its image {image.shape[:2]}; "
            f"they must be equal."
        )
    if not mask.any():
        raise ValueError(NO_PIXEL)
    rows, columns = (_span(np.asarray(mask.any(axis=axis))) for axis in (1, 0))
    # Blurring needs the surroundings of the crop, not the whole image.
    near = tuple(
        slice(max(0, s.start - BLUR_RADIUS), s.stop + BLUR_RADIUS) for s in (rows, columns)
    )
    inner = tuple(
        slice(s.start - n.start, s.stop - n.start)
        for s, n in zip((rows, columns), near, strict=True)
    )
    blurred = gaussian(
        image[near].astype(np.float32),
        sigma=BLUR_SIGMA,
        truncate=BLUR_RADIUS / BLUR_SIGMA,
        channel_axis=-1,
        preserve_range=True,
    )
    background = BACKGROUND_LIGHT * blurred[inner]
    cut = np.where(mask[rows, columns, None], image[rows, columns], np.rint(background))
    return _pad_to_square(cut.astype(np.uint8))


def example(
    source: Source,
    rendering: Rendering,
    plane: Sequence[int],
    outline: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Cut a visual prompt out of any image; no more than the example is read.

    Parameters
    ----------
    source : Source
        Where the example is.
    rendering : Rendering
        How its pixels become 8-bit RGB.
    plane : sequence of int
        Which plane.
    outline : ndarray of float, optional
        ``(corners, 2)``, row and column in pixels of the finest level; parts outside of the
        image are left out. By default the whole plane is the example, as it is.

    Returns
    -------
    ndarray of uint8
        ``(height, width, 3)``.

    Raises
    ------
    ValueError
        If the outline encloses no area, or no pixel of the image.
    """
    if outline is None:
        level = _enough(source, source.shape)
        return rendering.apply(source.read(level, plane, channels=rendering.channels))
    outline = np.asarray(outline, dtype=float)
    level = _enough(source, np.ptp(outline, axis=0))
    factor = np.asarray(source.factor(level))
    corners = (outline - (factor - 1) / 2) / factor
    least, most = corners.min(axis=0), corners.max(axis=0)
    around = BLUR_RADIUS + 2 + CONTEXT * (most - least)
    first = np.floor(least - around).astype(int).clip(0, source.shape_of(level))
    last = np.ceil(most + around + 1).astype(int).clip(first, source.shape_of(level))
    rows, columns = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    mask = outline_mask((rows.stop - rows.start, columns.stop - columns.start), corners - first)
    if not mask.any():
        raise ValueError(NO_PIXEL)
    pixels = source.read(level, plane, rows, columns, rendering.channels)
    return visual_prompt(rendering.apply(pixels), mask)


def _enough(source: Source, size: Sequence[float]) -> int:
    """Return the coarsest level at which a part of this size has pixels enough."""
    levels = range(len(source.levels))
    enough = [i for i in levels if min(size) / max(source.factor(i)) >= ENOUGH_PIXELS]
    return enough[-1] if enough else 0


def outline_mask(shape: tuple[int, int], outline: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie within an outline.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    outline : ndarray of float
        ``(corners, 2)``: row and column of each corner, in pixels; (0, 0) is the centre of
        the first pixel. Parts outside the image are left out.

    Returns
    -------
    ndarray of bool
        ``(height, width)``.

    Raises
    ------
    ValueError
        If the outline encloses no area.
    """
    if not encloses_area(outline):
        raise ValueError(
            "The region of the reference encloses no area. Draw a rectangle around one example."
        )
    mask: NDArray[np.bool_] = polygon2mask(shape, outline)
    return mask


def encloses_area(outline: NDArray[np.floating]) -> bool:
    """Return whether an outline, ``(corners, 2)``, is more than a point or a line."""
    row, column = np.asarray(outline, dtype=float).T
    # Twice the enclosed area, by the shoelace formula.
    return not np.isclose(np.sum(row * np.roll(column, 1) - column * np.roll(row, 1)), 0)


def _span(occupied: NDArray[np.bool_]) -> slice:
    """Return the part of an axis that is occupied, with context, within the axis."""
    where = np.flatnonzero(occupied)
    first, last = int(where[0]), int(where[-1]) + 1
    context = round(CONTEXT * (last - first))
    return slice(max(0, first - context), min(len(occupied), last + context))


def _pad_to_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side = max(image.shape[:2])
    pads = [((side - n) // 2, side - n - (side - n) // 2) for n in image.shape[:2]]
    return np.pad(image, (*pads, (0, 0)))
