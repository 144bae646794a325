"""How uncertain probability maps are: shows which pixels to check and correct."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from napari_clipseg.images.probability import Maps, as_unit, check_maps

Float32 = NDArray[np.float32]

BLOCK_PIXELS = 1 << 17


def entropy(probability: Maps) -> Float32:
    """Return the binary entropy of each probability, in bits.

    ``-p log2 p - (1 - p) log2 (1 - p)``: 0 where p is 0 or 1, and 1 where p is 0.5.

    Parameters
    ----------
    probability : ndarray
        Of any shape: floats from 0 to 1, or uint8, which stands for value / 255. NaN counts
        as 0, as it does for labels.

    Returns
    -------
    ndarray of float32
        Of the same shape, 0 to 1.

    Examples
    --------
    >>> entropy(np.array([0, 0.5, 1])).tolist()
    [0.0, 1.0, 0.0]
    """
    p = np.nan_to_num(as_unit(probability))
    return np.asarray((entr(p) + entr(1 - p)) / np.float32(np.log(2)), np.float32)


def disagreement(maps: Maps) -> Float32:
    """Return where several maps of the same objects disagree.

    The maps may come from other wordings, tile shifts or reference images. Their disagreement
    is the entropy of the mean minus the mean of the entropies, in bits: the Jensen-Shannon
    divergence of the maps, and the mutual information of equation 2 in Houlsby et al. 2011
    (https://arxiv.org/abs/1112.5745), with a map in place of a sampled model. It is 0 where all
    maps are equally uncertain.

    Parameters
    ----------
    maps : ndarray
        ``(maps, *planes, height, width)``, two maps or more: floats from 0 to 1, or uint8,
        which stands for value / 255. NaN counts as 0.

    Returns
    -------
    ndarray of float32
        ``(*planes, height, width)``: 0 where all maps are equal, 1 where one half of them
        is 0 and the other half 1.

    Raises
    ------
    ValueError
        If there are fewer than two maps, or too few axes.
    TypeError
        If the maps are neither floats nor uint8.

    Examples
    --------
    >>> maps = np.array([[[0.0, 1.0]], [[1.0, 1.0]]])
    >>> disagreement(maps).tolist()
    [[1.0, 0.0]]
    """
    check_maps(maps, "(maps, *planes, height, width)")
    if len(maps) < 2:
        raise ValueError("Got one map; two or more are needed to tell where they disagree.")
    result = np.empty(maps.shape[1:], np.float32)
    stacked, flat = maps.reshape(len(maps), result.size), result.reshape(-1)
    for start in range(0, flat.size, BLOCK_PIXELS):
        block = slice(start, start + BLOCK_PIXELS)
        p = np.nan_to_num(as_unit(stacked[:, block]))
        shared = entropy(p.mean(axis=0)) - entropy(p).mean(axis=0)
        np.clip(shared, 0, 1, out=flat[block])
    return result
