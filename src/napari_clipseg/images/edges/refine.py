"""Aligns the edges of coarse maps with those of their image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.edges.guided import edge_share, guided_filter
from napari_clipseg.images.edges.walker import walk
from napari_clipseg.images.probability import Maps, as_unit, check_maps

Float32 = NDArray[np.float32]
Method = Literal["guided", "random_walker"]

# About half a patch: the published checkpoints see 22 of them a side, the bundled one 24.
RADIUS_PART = 44
# Rows are refined in strips, so that memory does not grow with the height.
STRIP_PIXELS = 1 << 19
# Rows beyond its strip that a random walker knows.
WALK_MARGIN = 64


def refine_edges(
    probability: Maps,
    image: NDArray[np.uint8],
    *,
    method: Method = "guided",
    radius: int | None = None,
    epsilon: float = 1e-3,
    confident: tuple[float, float] = (0.1, 0.9),
    beta: float = 130.0,
) -> Float32:
    """Align the edges of probability maps with those of the image.

    Parameters
    ----------
    probability : ndarray
        ``(prompts, height, width)``: floats from 0 to 1, or uint8, which stands for value /
        255. NaN counts as 0.
    image : ndarray of uint8
        ``(height, width, 3)`` or ``(height, width)``: as the model saw it.
    method : {"guided", "random_walker"}
        "guided": the guided filter, see `guided.guided_filter`. Where the image is flat the map
        is not changed. "random_walker": confident pixels keep their values, and random walks
        decide the others, see `walker.walk`.
    radius : int, optional
        For the guided filter: pixels from the center of its windows to their edge, about half
        a patch of the model. By default a 44th of the shorter side, which fits a plane that was
        segmented as a whole.
    epsilon : float
        For the guided filter: variance, of an image from 0 to 1, that counts half as an edge.
    confident : tuple of float
        For the random walker: a pixel is background up to the first probability, and object
        from the second on.
    beta : float
        For the random walker: how much it avoids edges.

    Returns
    -------
    ndarray of float32
        ``(prompts, height, width)``, 0 to 1. On a constant image, the given maps.

    Notes
    -----
    Large planes are refined in strips of rows. The guided filter gives bit for bit what it gives
    for the whole plane. The random walker may differ by about 0.01: a walk that goes more than 64
    rows beyond its strip is cut there, and its equations are solved to a tolerance, all pixels of a
    strip together.

    Raises
    ------
    ValueError
        If the image is not of the maps' size, or an option is not possible.
    TypeError
        If the maps are neither floats nor uint8, or the image is not uint8.

    Examples
    --------
    >>> image = np.zeros((30, 30), np.uint8)
    >>> image[:, 15:] = 255
    >>> coarse = np.tile(np.linspace(0, 1, 30, dtype=np.float32), (1, 30, 1))
    >>> fine = refine_edges(coarse, image, radius=6)
    >>> bool(np.ptp(fine[0, 15, 14:16]) > 4 * np.ptp(coarse[0, 15, 14:16]))
    True
    """
    check_maps(probability, "(prompts, height, width)")
    _check_image(image, probability.shape)
    _check_options(method, radius, epsilon, confident, beta)
    result = np.empty(probability.shape, np.float32)
    options = {"epsilon": epsilon, "confident": confident, "beta": beta}
    strips = refine_strips(probability, image, method=method, radius=radius, **options)  # type: ignore[arg-type]
    for rows, strip in strips:
        result[:, rows] = strip
    return result


def refine_strips(
    probability: Maps,
    image: NDArray[np.uint8],
    *,
    method: Method = "guided",
    radius: int | None = None,
    epsilon: float = 1e-3,
    confident: tuple[float, float] = (0.1, 0.9),
    beta: float = 130.0,
) -> Iterator[tuple[slice, Float32]]:
    """Do what `refine_edges` does, strip by strip.

    Parameters
    ----------
    probability, image, method, radius, epsilon, confident, beta
        See `refine_edges`.

    Yields
    ------
    rows : slice
        Rows of the maps; there are `strip_count` such strips.
    refined : ndarray of float32
        ``(prompts, rows, width)``.

    Examples
    --------
    >>> maps, image = np.zeros((1, 30, 40), np.float32), np.zeros((30, 40), np.uint8)
    >>> [(rows, strip.shape) for rows, strip in refine_strips(maps, image)]
    [(slice(0, 30, None), (1, 30, 40))]
    """
    height, width = image.shape[:2]
    if image.ndim == 2:
        image = image[..., None]
    if radius is None:
        radius = max(1, min(height, width) // RADIUS_PART)
    # A pixel's window reaches one radius, and the windows around its pixels another one.
    margin = 2 * radius if method == "guided" else WALK_MARGIN
    contrast = float(image.std()) / 255
    rows = _strip_rows(width)
    for top in range(0, height, rows):
        first, last = max(0, top - margin), min(height, top + rows + margin)
        guide = np.divide(image[first:last], 255, dtype=np.float32)
        maps = np.clip(np.nan_to_num(as_unit(probability[:, first:last])), 0, 1)
        if method == "guided":
            refined = guided_filter(maps, guide, radius, epsilon)
            share = edge_share(guide, radius, epsilon)
            refined = np.clip(maps + share * (refined - maps), 0, 1)
        else:
            # The walker divides by the contrast of what it sees; each strip has its own.
            own_beta = beta * float(guide.std()) / contrast if contrast else beta
            refined = np.stack([walk(one, guide, confident, own_beta) for one in maps])
        inner = slice(top, min(top + rows, height))
        yield inner, refined[:, top - first : inner.stop - first]


def strip_count(height: int, width: int) -> int:
    """Return in how many strips a plane is refined."""
    return -(-height // _strip_rows(width))


def _strip_rows(width: int) -> int:
    return max(1, STRIP_PIXELS // width)


def _check_image(image: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    if image.dtype != np.uint8:
        raise TypeError(f"The image is of type {image.dtype}; wanted uint8, as the model saw it.")
    colors = image.shape[2:]
    if len(shape) != 3 or image.shape[:2] != shape[1:] or colors not in ((), (1,), (3,)):
        raise ValueError(
            f"The image has shape {image.shape}, the maps {shape}; wanted (height, width, 3) "
            f"or (height, width), and (prompts, height, width) of the same size."
        )


def _check_options(
    method: Method,
    radius: int | None,
    epsilon: float,
    confident: tuple[float, float],
    beta: float,
) -> None:
    if method not in get_args(Method):
        wanted = ", ".join(map(repr, get_args(Method)))
        raise ValueError(f"Got method={method!r}; wanted one of {wanted}.")
    if radius is not None and radius < 1:
        raise ValueError(f"Got radius={radius}; wanted a number of pixels from 1.")
    for name, value in (("epsilon", epsilon), ("beta", beta)):
        if not 0 < value < np.inf:
            raise ValueError(f"Got {name}={value}; wanted a positive number.")
    if not 0 <= confident[0] < confident[1] <= 1:
        raise ValueError(
            f"Got confident={confident}; wanted two rising probabilities, such as (0.1, 0.9)."
        )
