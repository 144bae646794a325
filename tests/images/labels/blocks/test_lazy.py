"""Classes with hysteresis as a dask array: block by block, equal to those in memory."""

from __future__ import annotations

import dask
import dask.array
import numpy as np
import pytest

from in_blocks import SIDE, blobs
from napari_clipseg.images.labels.blocks.classes import Classes
from napari_clipseg.images.labels.blocks.lazy import classes_by_blocks
from napari_clipseg.images.labels.threshold import semantic_labels


def snake():
    """A path through all blocks; only its end is above the high threshold."""
    maps = np.zeros((1, 3 * SIDE, 3 * SIDE), np.float32)
    maps[:, ::4] = 0.5
    maps[:, 1::8, -1] = maps[:, 2::8, -1] = maps[:, 3::8, -1] = 0.5
    maps[:, 5::8, 0] = maps[:, 6::8, 0] = maps[:, 7::8, 0] = 0.5
    maps[0, 0, 0] = 0.9
    return maps


CASES = {
    "a path through all blocks": (snake(), 0.8, 0.4, ()),
    "blobs": (blobs((1, 50, 37), 1), 0.8, 0.5, ()),
    "two prompts and a negative one": (blobs((3, 2, 50, 37), 2), 0.7, 0.5, (2,)),
    "a low threshold each": (blobs((2, 2, 3, 20, 33), 3), (0.8, 0.7), (0.4, 0.6), ()),
    "uint8": (blobs((2, 40, 40), 4, dtype="uint8"), 0.7, 0.5, ()),
    "nothing above": (np.zeros((2, 20, 20), np.float32), 0.7, 0.5, ()),
    "one pixel": (np.ones((1, 1, 1), np.float32), 0.7, 0.5, ()),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chunks", [7, -1], ids=["small chunks", "one chunk"])
def test_classes_are_those_in_memory(case, chunks):
    maps, threshold, low, negative = CASES[case]
    wanted = semantic_labels(maps, threshold, low_threshold=low, negative=negative)
    found = classes_by_blocks(
        dask.array.from_array(maps, chunks), Classes(threshold, low, negative), SIDE
    )
    assert max(map(max, found.chunks[-2:])) <= SIDE
    assert (found.dtype, found.shape) == (np.int32, wanted.shape)
    np.testing.assert_array_equal(np.asarray(found), wanted)
    np.testing.assert_array_equal(np.asarray(found[..., 1:, :9]), wanted[..., 1:, :9])


def test_no_more_than_blocks_are_read_and_each_plane_is_gone_through_once():
    read = []

    class File:
        shape, dtype, ndim = (2, 3, 40, 40), np.dtype(np.float32), 4

        def __getitem__(self, where):
            part = values[where]
            if part.size:  # dask tries an empty part first
                read.append((where[1], part.size))
            return part

    values = blobs((2, 3, 40, 40), 5)
    maps = dask.array.from_array(File(), (2, 1, 8, 8), name=False, inline_array=True)
    classes = classes_by_blocks(maps, Classes(0.7, 0.5), SIDE)
    with dask.config.set(scheduler="threads"):
        np.asarray(classes[1])
    assert {where if isinstance(where, int) else where.start for where, _ in read} == {1}
    assert max(size for _, size in read) == 2 * 8 * 8
    assert sum(size for _, size in read) == 2 * values[:, 1].size  # once to follow, once to label
