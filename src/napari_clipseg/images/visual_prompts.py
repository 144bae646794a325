"""A region of an image into a visual prompt: cut out, the surroundings blurred and faded."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import gaussian

from napari_clipseg.images.geometry import check_corners, encloses_area, outline_mask
from napari_clipseg.images.io.source import Reader, Source, as_source
from napari_clipseg.images.rendering import Appearance, Rendering, resolve

# The recipe that CLIPSeg was trained with, "crop_blur_highlight352" of the authors' repository
# (https://github.com/timojl/clipseg): a 15 x 15 Gaussian blur of sigma 3 on a square of 352
# pixels, and 10 % of the contrast for what is not the object. They fade after subtracting the
# mean of ImageNet, so towards a gray that is 0 for the model, not towards black.
BLUR_SIGMA = 3.0
BLUR_RADIUS = 7
SQUARE = 352
BACKGROUND_CONTRAST = 0.1
CONTEXT = 0.1
GRAY = 255 * np.array([0.485, 0.456, 0.406], np.float32)
# The square has the side of the image's shorter side, but not so large that the object
# covers less than this share of it: less was avoided in training.
LEAST_SHARE = 0.05
ENOUGH_PIXELS = 512  # a side; the model sees fewer
NO_AREA = "The region of the reference encloses no area. Draw a rectangle around one example."
NO_PIXEL = (
    "The region of the reference covers no pixel of its image. "
    "Draw it over the image, around one example."
)


def visual_prompt(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Cut the object under a mask out of an image, as CLIPSeg understands visual prompts best.

    The background is blurred and loses nine tenths of its contrast to a middle gray, the mean
    color of ImageNet. The image is cropped to the object, with a tenth of its size as context
    on each side, and padded with that gray to a square.

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

    Examples
    --------
    >>> image = np.full((50, 50, 3), 200, np.uint8)
    >>> mask = np.zeros((50, 50), bool)
    >>> mask[20:30, 20:30] = True
    >>> prompt = visual_prompt(image, mask)
    >>> prompt.shape, prompt[6, 6].tolist(), prompt[0, 0].tolist()
    ((12, 12, 3), [200, 200, 200], [131, 125, 113])
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
    return _cut(image, mask, min(mask.shape))


def _cut(image: NDArray[np.uint8], mask: NDArray[np.bool_], shorter_side: int) -> NDArray[np.uint8]:
    """Cut a visual prompt out of a part of an image, of which the shorter side is given."""
    scale = min(shorter_side, np.sqrt(mask.sum() / LEAST_SHARE)) / SQUARE
    rows, columns = (_span(np.asarray(mask.any(axis=axis))) for axis in (1, 0))
    # Blurring needs the surroundings of the crop, not the whole image.
    reach = math.ceil(BLUR_RADIUS * scale) + 1
    near = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in (rows, columns))
    inner = tuple(
        slice(s.start - n.start, s.stop - n.start)
        for s, n in zip((rows, columns), near, strict=True)
    )
    blurred = gaussian(
        image[near].astype(np.float32),
        sigma=BLUR_SIGMA * scale,
        truncate=BLUR_RADIUS / BLUR_SIGMA,
        mode="mirror",
        channel_axis=-1,
        preserve_range=True,
    )
    background = GRAY + BACKGROUND_CONTRAST * (blurred[inner] - GRAY)
    cut = np.where(mask[rows, columns, None], image[rows, columns], np.rint(background))
    return _pad_to_square(cut.astype(np.uint8))


@dataclass(frozen=True, eq=False, init=False)
class Example:
    """A part of an image that shows what to look for; read only when a run needs it.

    Parameters
    ----------
    image : array-like, layer, OME-Zarr group, or Source
        Where the example is; see `images.io.source.as_source`.
    regions : array-like, or sequence of array-like, optional
        Outlines, ``(corners, 2)`` each: row and column of each corner in pixels of the finest
        level; two corners stand for a rectangle, to which they belong. By default the whole
        plane is the example.
    plane : mapping from str to int, or tuple of int
        Index of the plane along each axis of planes. Indices below 0 count from the end; an
        axis with one plane may be left out.
    appearance : Appearance, optional
        How the image is shown to the model; by default as the image itself says.

    Attributes
    ----------
    image : Source
        The image; no pixel of it is read before `read`.
    regions : tuple of ndarray of float
        The outlines, all corners given; empty for the whole plane.
    plane : tuple of int
        Index along each axis of planes.
    appearance : Appearance
        As given.

    Raises
    ------
    TypeError, ValueError
        If the image cannot be used, a region has another shape, or there is no such plane.

    Examples
    --------
    >>> image = np.zeros((64, 64), np.uint8)
    >>> image[10:20, 10:20] = 200
    >>> (example,) = Example(image, [[10, 10], [19, 19]]).read()
    >>> example.shape
    (12, 12, 3)
    """

    image: Source
    regions: tuple[NDArray[np.float64], ...]
    plane: tuple[int, ...]
    appearance: Appearance

    def __init__(
        self,
        image: Any,
        regions: Any = None,
        *,
        plane: Mapping[str, int] | Sequence[int] = (),
        appearance: Appearance | None = None,
    ) -> None:
        source = as_source(image)
        for name, value in (
            ("image", source),
            ("regions", _outlines(regions)),
            ("plane", _plane_index(source, plane)),
            ("appearance", appearance or Appearance()),
        ):
            object.__setattr__(self, name, value)

    def read(self) -> list[NDArray[np.uint8]]:
        """Cut the examples out; no more of the image is read than they and the contrast need.

        Returns
        -------
        list of ndarray of uint8
            ``(height, width, 3)``: a `visual_prompt` for each region, or the whole plane.

        Raises
        ------
        ValueError
            If a region encloses no area, or no pixel of the image.
        """
        for outline in self.regions:
            if not encloses_area(outline):
                raise ValueError(NO_AREA)
        with self.image.open() as reader:
            rendering = resolve(reader, self.appearance, [self.plane])
            regions = self.regions or (None,)
            return [_cut_out(reader, rendering, self.plane, outline) for outline in regions]


def _outlines(regions: Any) -> tuple[NDArray[np.float64], ...]:
    if regions is None:
        return ()
    try:
        one = len(regions) > 0 and np.ndim(regions[0]) == 1
        outlines = [np.asarray(outline, dtype=float) for outline in ([regions] if one else regions)]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The regions of the reference are {regions!r}; wanted (corners, 2) for each: row and "
            f"column of two corners of a rectangle, or of all corners of an outline."
        ) from error
    for outline in outlines:
        if outline.ndim != 2 or outline.shape[1] != 2 or len(outline) < 2:
            raise ValueError(
                f"A region of the reference has shape {outline.shape}; wanted (corners, 2): row "
                f"and column of two corners of a rectangle, or of all corners of an outline."
            )
        check_corners(outline, "A region of the reference")
    return tuple(_rectangle(outline) if len(outline) == 2 else outline for outline in outlines)


def _rectangle(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the four corners of the rectangle around the pixels from one corner to another."""
    top, left = np.floor(corners.min(axis=0) + 0.5) - 0.5
    bottom, right = np.ceil(corners.max(axis=0) - 0.5) + 0.5
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])


def _plane_index(source: Source, plane: Mapping[str, int] | Sequence[int]) -> tuple[int, ...]:
    lengths = dict(zip(source.plane_axes, source.planes_shape, strict=True))
    named = dict(plane if isinstance(plane, Mapping) else zip(lengths, plane, strict=False))
    single = {name: 0 for name, length in lengths.items() if length == 1}
    places = single | named
    fits = len(named) == len(plane) and set(places) == set(lengths)
    if not fits or not all(-n <= places[name] < n for name, n in lengths.items()):
        raise ValueError(
            f"Got the plane {plane!r} of the reference; its image has planes along {lengths}. "
            f"Give one index for each axis, such as plane={dict.fromkeys(lengths, 0)}."
        )
    return tuple(operator.index(places[name]) % n for name, n in lengths.items())


def _cut_out(
    reader: Reader,
    rendering: Rendering,
    plane: Sequence[int],
    outline: NDArray[np.float64] | None,
) -> NDArray[np.uint8]:
    source = reader.source
    if outline is None:
        level = _coarsest_level(source, source.shape)
        return rendering.apply(reader.read(level, plane, channels=rendering.channels))
    level = _coarsest_level(source, np.ptp(outline, axis=0))
    factor = np.asarray(source.factor(level))
    corners = (outline - (factor - 1) / 2) / factor
    least, most = corners.min(axis=0), corners.max(axis=0)
    size = most - least + 2
    square = min(*source.shape_of(level), np.sqrt(np.prod(size) / LEAST_SHARE))
    around = CONTEXT * size + BLUR_RADIUS * square / SQUARE + 2
    first = np.floor(least - around).astype(int).clip(0, source.shape_of(level))
    last = np.ceil(most + around + 1).astype(int).clip(first, source.shape_of(level))
    rows, columns = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    mask = outline_mask((rows.stop - rows.start, columns.stop - columns.start), corners - first)
    if not mask.any():
        raise ValueError(NO_PIXEL)
    pixels = reader.read(level, plane, rows, columns, rendering.channels)
    return _cut(rendering.apply(pixels), mask, min(source.shape_of(level)))


def _coarsest_level(source: Source, size: Sequence[float]) -> int:
    """Return the coarsest level at which a part of this size has pixels enough."""
    levels = range(len(source.levels))
    enough = [i for i in levels if min(size) / max(source.factor(i)) >= ENOUGH_PIXELS]
    return enough[-1] if enough else 0


def _span(occupied: NDArray[np.bool_]) -> slice:
    """Return the occupied part of an axis with context around it, within the axis."""
    where = np.flatnonzero(occupied)
    first, last = int(where[0]), int(where[-1]) + 1
    context = CONTEXT * (last - first)
    return slice(int(max(0, first - context)), int(min(len(occupied), last + context)))


def _pad_to_square(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), np.rint(GRAY), np.uint8)
    square[top : top + height, left : left + width] = image
    return square
