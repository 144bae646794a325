"""Labels and tables of maps read in blocks are those of maps in memory."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from drawing import examples
from in_blocks import assert_same_table, blobs, by_blocks, in_memory
from napari_clipseg.images.labels.instances import InstanceOptions

OPTIONS = {
    "connected parts": {},
    "holes": {"fill_holes": True},
    "small holes": {"fill_holes": 12.0},
    "smooth": {"smooth": 2},
    "sizes": {"min_size": 9, "max_size": 300},
    "no border": {"drop_border": True},
    "split at necks": {"split": "distance", "min_distance": 3},
    "split at minima": {"split": "probability", "min_distance": 3},
    "linked": {"link": True, "least_overlap": 0.1},
    "all of it": {
        "split": "distance",
        "min_distance": 4,
        "min_size": 9,
        "fill_holes": 20.0,
        "smooth": 1,
        "drop_border": True,
        "link": True,
    },
}
SHAPES = {
    "a plane": (1, 64, 64),
    "three prompts": (3, 50, 67),
    "a stack": (2, 3, 40, 33),
    "times of stacks": (1, 3, 2, 33, 20),
    "one block": (1, 9, 12),
    "one row": (1, 1, 70),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_blocks_leave_no_trace(options, shape, tmp_path):
    maps = blobs(shape, 5, 2.0 if min(shape[-2:]) > 12 else 1.0)
    # Neighbors in a stack are alike, so that there is something to link.
    if len(shape) > 3:
        maps = ndimage.gaussian_filter1d(maps, 1, axis=1)
    given_ = {"threshold": 0.6, "negative": len(shape) > 2 and shape[0] - 1, "spacing": (0.5, 0.75)}
    options = InstanceOptions(**options)
    labels, table = by_blocks(maps, options, tmp_path, **given_)
    wanted, wanted_table = in_memory(maps, options, **given_)
    np.testing.assert_array_equal(labels, wanted)
    assert_same_table(table, wanted_table)
    assert labels.max() > 0 or min(shape[-2:]) < 12


@st.composite
def asked(draw):
    """Maps of any kind and size, and what is asked of them."""
    planes = draw(st.lists(st.integers(1, 3), max_size=2))
    prompts, negative = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    shape = (prompts + negative, *planes, draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    maps = blobs(
        shape,
        draw(st.integers(0, 999)),
        draw(st.sampled_from([0.5, 1.0, 2.5, 5.0])),
        draw(st.sampled_from(["float32", "float16", "uint8"])),
    )
    threshold = draw(st.floats(0.2, 0.8))
    options = InstanceOptions(
        split=draw(st.sampled_from(["none", "distance", "probability"])),
        min_distance=draw(st.sampled_from([1.0, 3.0, 50.0])),
        min_size=draw(st.sampled_from([0.0, 5.0])),
        max_size=draw(st.sampled_from([None, 60.0])),
        fill_holes=draw(st.sampled_from([False, True, 7.0])),
        smooth=draw(st.sampled_from([0.0, 1.0])),
        drop_border=draw(st.booleans()),
        link=draw(st.booleans()),
        least_overlap=draw(st.sampled_from([0.05, 0.5])),
    )
    low = draw(st.none() | st.floats(0.1, threshold))
    spacing = draw(st.sampled_from([(1, 1), (0.5, 2.0)]))
    kept = {"threshold": threshold, "low": low, "negative": negative, "spacing": spacing}
    return maps, options, kept


@examples(40)
@given(asked(), st.sampled_from([3, 16]))
def test_blocks_leave_no_trace_of_whatever_is_asked(drawn, side):
    maps, options, kept = drawn
    if options.smooth > max(maps.shape[-2:]) * min(kept["spacing"]):
        options = dataclasses.replace(options, smooth=0.0)
    with tempfile.TemporaryDirectory() as folder:
        labels, table = by_blocks(maps, options, Path(folder), side=side, **kept)
    wanted, wanted_table = in_memory(maps, options, **kept)
    np.testing.assert_array_equal(labels, wanted)
    assert_same_table(table, wanted_table)
