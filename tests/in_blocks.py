"""Maps of blobs, labelled in memory and block by block."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_clipseg.images.labels.blocks.classes import Classes
from napari_clipseg.images.labels.blocks.steps import LabelSteps
from napari_clipseg.images.labels.instances import instance_labels
from napari_clipseg.images.labels.objects import object_table
from napari_clipseg.images.labels.threshold import semantic_labels

SIDE = 16


class Written:
    """Labels in memory, written as a file is."""

    def __init__(self, shape):
        self.labels = np.full(shape, -1, np.int32)
        self.ended = []

    def write(self, plane, box, labels):
        assert labels.dtype == np.int32
        self.labels[(*plane, *box)] = labels

    def read(self, plane, box):
        return self.labels[(*plane, *box)]

    def end_plane(self, plane):
        assert (self.labels[plane] >= 0).all()
        self.ended.append(plane)


def blobs(shape, seed, coarse=3.0, dtype="float32"):
    """Return maps of blobs about as large as `coarse` pixels."""
    noise = np.random.default_rng(seed).random(shape)
    for place in np.ndindex(shape[:-2]):
        noise[place] = ndimage.gaussian_filter(noise[place], coarse)
        noise[place] -= noise[place].min()
        noise[place] /= noise[place].max() or 1
    return np.rint(noise * 255).astype("uint8") if dtype == "uint8" else noise.astype(dtype)


def by_blocks(maps, options, folder, *, threshold=0.5, low=None, negative=0, spacing=(1, 1), **how):
    """Return labels and table, block by block."""
    wanted = len(maps) - negative
    classes = Classes(threshold, low, range(wanted, len(maps)))
    names = [f"prompt {k}" for k in range(wanted)]
    steps = LabelSteps(maps, classes, options, names, spacing, "um", **{"side": SIDE, **how})
    written = Written(maps.shape[1:])
    running, count = steps.run(written, folder), 0
    while True:
        try:
            next(running)
        except StopIteration as stop:
            table = stop.value
            break
        count += 1
    assert steps.done == steps.total <= count
    assert written.ended == list(np.ndindex(maps.shape[1:-2]))
    assert not any(folder.rglob("*.npy"))
    return written.labels, table


def in_memory(maps, options, *, threshold=0.5, low=None, negative=0, spacing=(1, 1)):
    wanted = len(maps) - negative
    semantic = semantic_labels(
        maps, threshold, low_threshold=low, negative=range(wanted, len(maps))
    )
    labels = instance_labels(semantic, maps, options, spacing)
    names = [f"prompt {k}" for k in range(wanted)]
    return labels, object_table(labels, semantic, maps[:wanted], names, spacing, "um")


def assert_same_table(found, wanted):
    assert list(found) == list(wanted)
    for name, column in wanted.items():
        assert found[name].dtype.kind == column.dtype.kind, name
        if column.dtype.kind == "f":
            # Sums in another order; those of probabilities are float32 in scikit-image.
            rtol, atol = (1e-5, 1e-6) if name == "mean_probability" else (1e-9, 1e-6)
            np.testing.assert_allclose(found[name], column, rtol=rtol, atol=atol, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], column, err_msg=name)
