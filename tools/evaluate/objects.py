"""Count objects as the dock does by default: ``python tools/evaluate/objects.py``.

Of the coins that scikit-image ships, by maps of the bundled checkpoint and by Otsu's threshold, and
of the samples by their own prompts. For the coins it says how many of the 24 are one object, are
split, joined to another, or missed.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data, filters, measure, morphology

from napari_clipseg import InstanceOptions, segment
from napari_clipseg.images.labels.instances import instance_labels
from napari_clipseg.sample_data import load_sample

BY_DEFAULT = InstanceOptions(split="distance", link=True, min_size=None)
WITHOUT = InstanceOptions()
LEAST_COIN, MOST_COIN = 500, 4000  # pixels; what is larger is the bright corner
COVERED = 0.3  # a part of a coin that is an object of its own
PIECE = 0.05


def true_coins() -> NDArray[np.int32]:
    """Return the coins: by threshold, filled and opened, and cut from the bright corner."""
    coins = data.coins()
    flat = coins.astype(float) - filters.gaussian(coins.astype(float), 50)
    mask = ndimage.binary_fill_holes(flat > filters.threshold_otsu(flat))
    parts = measure.label(morphology.opening(mask, morphology.disk(8)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    kept = (sizes >= LEAST_COIN) & (sizes <= MOST_COIN)
    return measure.label(kept[parts]).astype(np.int32)


def judged(found: NDArray[np.int32], truth: NDArray[np.int32]) -> dict[str, int]:
    """Return how many coins are one object, split, joined to another, or missed."""
    overlap = np.zeros((truth.max() + 1, found.max() + 1), int)
    np.add.at(overlap, (truth.ravel(), found.ravel()), 1)
    share = overlap[1:, 1:] / overlap[1:].sum(axis=1, keepdims=True)
    joined = (share >= COVERED).sum(axis=0) > 1
    its = share >= PIECE
    counts = {
        "coins": len(share),
        "objects": int(found.max()),
        "missed": int((share.max(axis=1) < COVERED).sum()),
        "split": int((its.sum(axis=1) > 1).sum()),
        "joined": int(((share >= COVERED)[:, joined].any(axis=1)).sum()),
    }
    return counts


def main() -> int:
    """Print the counts."""
    truth, coins = true_coins(), data.coins()
    masks = {"coins, Otsu": coins > filters.threshold_otsu(coins)}
    for prompt in ("nuclei", "disks"):
        result = segment(coins, prompt, refine_edges=True)
        for threshold in (0.3, 0.5):
            masks[f"coins, {prompt!r} above {threshold}"] = result.probability[0] > threshold
    for name, mask in masks.items():
        for how, options in (("connected", WITHOUT), ("by default", BY_DEFAULT)):
            found = instance_labels(mask.astype(np.int32), options=options)
            counts = ", ".join(f"{key} {value}" for key, value in judged(found, truth).items())
            print(f"{name}, {how}: {counts}")
    for name in ("shapes", "micrograph"):
        sample = load_sample(name)
        result = segment(sample.image, sample.prompts, refine_edges=True)
        for k, prompt in enumerate(sample.prompts):
            mask = (result.classes == k + 1).astype(np.int32)
            true = measure.label(sample.truth == k + 1).max()
            plain, ours = (instance_labels(mask, options=o).max() for o in (WITHOUT, BY_DEFAULT))
            print(f"{name}, {prompt!r}: {true} in truth, connected {plain}, by default {ours}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
