"""Probability maps to semantic labels: one label per prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.filters import apply_hysteresis_threshold, threshold_otsu

from napari_clipseg.images.probability import FULL, Maps, as_unit, check_maps

Int32 = NDArray[np.int32]
Mask = NDArray[np.bool_]
Threshold = float | Sequence[float]

# The maps are labelled in blocks that fit into the processor's cache.
BLOCK_PIXELS = 1 << 17
SAMPLED_PIXELS = 1_000_000


def check_threshold(threshold: float) -> float:
    """Return the threshold, if it is one.

    Raises
    ------
    ValueError
        If it does not lie from 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"The threshold is {threshold}; wanted a probability from 0 to 1.")
    return float(threshold)


def semantic_labels(
    probability: Maps,
    threshold: Threshold,
    *,
    low_threshold: Threshold | None = None,
    negative: Iterable[int] = (),
) -> Int32:
    """Label each pixel with the most probable of the prompts that are above their threshold.

    Parameters
    ----------
    probability : ndarray
        ``(prompts, *planes, height, width)``: floats from 0 to 1, or uint8, which stands for
        value / 255. NaN is never above a threshold.
    threshold : float, or sequence of float
        Probability above which a prompt may label a pixel; one for all prompts, or one per
        prompt.
    low_threshold : float, or sequence of float, optional
        For hysteresis: a prompt may also label pixels above this, if within the plane they
        are connected to one above `threshold`.
    negative : iterable of int
        Negative prompts, counted from 0: their pixels become background.

    Returns
    -------
    ndarray of int32
        ``(*planes, height, width)``: 0 for background, k for the k-th prompt that is
        not negative, counted from 1. If prompts are equally probable, the first one wins.

    Raises
    ------
    ValueError
        If the maps, a threshold, their number or `negative` cannot be used.
    TypeError
        If the maps are neither floats nor uint8.

    Examples
    --------
    >>> maps = np.array([[[0.9, 0.6, 0.2]], [[0.1, 0.8, 0.3]]])
    >>> semantic_labels(maps, 0.5).tolist()
    [[1, 2, 0]]
    >>> semantic_labels(maps, 0.5, negative=[1]).tolist()
    [[1, 0, 0]]
    """
    check_maps(probability)
    count = len(probability)
    highs = one_each(threshold, count)
    numbering = _numbering(count, negative)
    if low_threshold is None or not probability[0].size:
        return _labelled(probability, highs, None, numbering)
    lows = one_each(low_threshold, count)
    check_below(lows, highs)
    return _labelled(probability, None, _hysteresis(probability, lows, highs), numbering)


def admitted_labels(probability: Maps, admitted: Mask, negative: Iterable[int] = ()) -> Int32:
    """Label each pixel with the most probable of the prompts that may label it.

    Parameters
    ----------
    probability : ndarray
        ``(prompts, *planes, height, width)``, as for `semantic_labels`.
    admitted : ndarray of bool
        Of the same shape: where a prompt may label a pixel.
    negative : iterable of int
        As for `semantic_labels`.

    Returns
    -------
    ndarray of int32
        ``(*planes, height, width)``, as that of `semantic_labels`.
    """
    return _labelled(probability, None, admitted, _numbering(len(probability), negative))


def _labelled(
    probability: Maps,
    highs: Sequence[float] | None,
    admitted: Mask | None,
    numbering: Int32 | None,
) -> Int32:
    """Label the pixels above the thresholds, or those that are admitted."""
    count = len(probability)
    labels = np.empty(probability.shape[1:], np.int32)
    if not labels.size:
        return labels
    levels = [_level(high, probability.dtype) for high in highs or [0.0] * count]
    maps = probability.reshape(count, labels.size)
    masks = None if admitted is None else admitted.reshape(count, labels.size)
    flat = labels.reshape(-1)
    for start in range(0, flat.size, BLOCK_PIXELS):
        block = slice(start, start + BLOCK_PIXELS)
        part = maps[:, block] if maps.dtype == np.uint8 else as_unit(maps[:, block])
        winners = _winners(part, levels, None if masks is None else masks[:, block])
        if numbering is None:
            flat[block] = winners
        else:  # no index is out of range; without the mode NumPy would make a copy to check
            np.take(numbering, winners, out=flat[block], mode="clip")
    return labels


def otsu_threshold(probability: Maps) -> float:
    """Return the threshold that best separates low and high probabilities.

    Otsu's method (https://doi.org/10.1109/TSMC.1979.4310076): the threshold with the least
    variance within each class, for a regular sample of about a million pixels.

    Parameters
    ----------
    probability : ndarray
        Maps of any shape: floats from 0 to 1, or uint8, which stands for value / 255. NaN is
        left out.

    Returns
    -------
    float
        One threshold for all maps, 0 to 1. If all pixels have one value, that value: no pixel is
        above it.

    Raises
    ------
    ValueError
        If no pixel has a finite value.

    Examples
    --------
    >>> maps = np.repeat(np.array([[[0.1], [0.9]]]), 10, axis=2)
    >>> 0.1 < otsu_threshold(maps) < 0.9
    True
    """
    step = max(1, int(np.ceil(np.sqrt(probability.size / SAMPLED_PIXELS))))
    sample = as_unit(np.asarray(probability[..., ::step, ::step]))
    sample = sample[np.isfinite(sample)]
    if not sample.size:  # all sampled pixels are NaN, but others may not be
        whole = as_unit(np.asarray(probability))
        sample = whole[np.isfinite(whole)]
    if not sample.size:
        raise ValueError(
            f"No threshold can be found: of the {probability.size} pixels of the map none is "
            f"finite. Set the threshold by hand."
        )
    # float32 has too few numbers between near values for the bins of a histogram.
    found = np.clip(threshold_otsu(sample.astype(np.float64)), 0, 1)
    rounded = np.float32(found)
    # Maps are compared in float32, where rounding up could leave no pixel above.
    return float(np.nextafter(rounded, np.float32(0)) if rounded > found else rounded)


def _winners(maps: Maps, levels: Sequence[Any], admitted: Mask | None) -> NDArray[Any]:
    """Return ``(n,)``: the number of the prompt of each pixel, for maps ``(prompts, n)``."""
    lowest = min(levels)
    number = np.zeros(maps.shape[1], np.min_scalar_type(len(maps)))
    best = np.full(maps.shape[1], lowest, maps.dtype)
    for k, (one, level) in enumerate(zip(maps, levels, strict=True), start=1):
        better = one > best
        if level > lowest:
            better &= one > level
        if admitted is not None:
            better &= admitted[k - 1]
        # Numbers only grow, and a maximum is several times faster than writing under a mask.
        np.maximum(number, better * number.dtype.type(k), out=number)
        if k < len(maps):
            np.copyto(best, one, where=better)
    return number


def _level(threshold: float, dtype: np.dtype[Any]) -> Any:
    """Return the threshold in the type of the maps: the greatest value not above it."""
    if dtype != np.uint8:
        return np.float32(threshold)
    values = as_unit(np.arange(FULL + 1, dtype=np.uint8))
    return np.uint8(np.count_nonzero(values <= np.float32(threshold)) - 1)


def _hysteresis(probability: Maps, lows: Sequence[float], highs: Sequence[float]) -> Mask:
    """Return an array of the maps' shape: True where a prompt may label the pixel."""
    masks = np.empty(probability.shape, np.bool_)
    for k, *plane in np.ndindex(probability.shape[:-2]):
        masks[k, *plane] = apply_hysteresis_threshold(
            as_unit(probability[k, *plane]), np.float32(lows[k]), np.float32(highs[k])
        )
    return masks


def check_below(lows: Sequence[float], highs: Sequence[float]) -> None:
    """Check that no low threshold is above the threshold of its prompt.

    Raises
    ------
    ValueError
        If one is.
    """
    for low, high in zip(lows, highs, strict=True):
        if low > high:
            raise ValueError(
                f"The low threshold is {low}, above the threshold {high}. "
                f"Lower the one or raise the other."
            )


def one_each(threshold: Threshold, count: int) -> list[float]:
    """Return a threshold for each prompt.

    Raises
    ------
    ValueError
        If one is no probability, or there are neither one nor `count`.
    """
    if np.ndim(threshold) == 0:
        return [check_threshold(threshold)] * count  # type: ignore[arg-type]
    given = [check_threshold(one) for one in np.ravel(threshold)]
    if len(given) != count:
        raise ValueError(
            f"Got {len(given)} thresholds for {count} prompts; give one for all, or one per prompt."
        )
    return given


def _numbering(count: int, negative: Iterable[int]) -> Int32 | None:
    """Return the label of each prompt's number, or None if it is the number itself."""
    left_out = set(negative)
    if not left_out:
        return None
    strange = sorted(left_out - set(range(count)))
    if strange:
        raise ValueError(
            f"Got {strange[0]} as a negative prompt; wanted numbers from 0 to {count - 1}, "
            f"one of each of the {count} prompts."
        )
    if len(left_out) == count:
        raise ValueError("All prompts are negative; leave at least one that is to be labelled.")
    wanted = [k not in left_out for k in range(count)]
    return np.concatenate([[0], np.cumsum(wanted) * wanted]).astype(np.int32)
