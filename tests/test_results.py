from __future__ import annotations

from pathlib import Path

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.labels.threshold import semantic_labels
from napari_clipseg.images.uncertainty import disagreement
from napari_clipseg.results import Labelling, Segmentation

RANDOM = np.random.default_rng(0)
# Two prompts and one that is not wanted, on two planes; of things, not of noise.
MAPS = RANDOM.random((3, 2, 4, 5)).repeat(4, axis=2).repeat(4, axis=3).astype(np.float32)


def result(probability, threshold=0.5, **options):
    how = {name: options.pop(name) for name in ("low", "instances") if name in options}
    names = tuple("abcdef"[: len(probability)])
    return Segmentation(probability, Labelling(threshold, **how), names, "demo", **options)


def lazy(maps):
    """The map as it comes from a file: one prompt and plane a chunk, and several in a plane."""
    return dask.array.from_array(maps, chunks=(*(1,) * (maps.ndim - 2), 7, 9))


@pytest.mark.parametrize(
    ("threshold", "labels"),
    [(0, [1, 2, 1]), (0.3, [0, 2, 1]), (0.7, [0, 0, 1]), ([0.95, 0.1], [0, 2, 2])],
    ids=str,
)
def test_labels_follow_the_threshold(threshold, labels):
    maps = np.array([[[0.2, 0.5, 0.9]], [[0.1, 0.6, 0.8]]], np.float32)
    made = result(maps, threshold)
    assert made.threshold == threshold
    assert made.labels.tolist() == [labels]
    assert made.labels is made.classes  # without objects


OPTIONS = {
    "one threshold": {},
    "one threshold each": {"threshold": [0.2, 0.5, 0.8]},
    "unwanted": {"unwanted": 1},
    "hysteresis": {"threshold": 0.8, "low": 0.5},
    "hysteresis down to 0": {"threshold": 0.8, "low": 0.0},
    "everything": {"threshold": 0.7, "low": 0.4, "unwanted": 2},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_labels_of_a_map_in_a_file_are_those_in_memory(options, dtype):
    maps = np.rint(MAPS * 255).astype("uint8") if dtype == "uint8" else MAPS.astype(dtype)
    in_memory, in_file = (result(one, **options).labels for one in (maps, lazy(maps)))
    assert isinstance(in_file, dask.array.Array)
    assert in_file.dtype == in_memory.dtype == np.int32
    assert in_file.shape == in_memory.shape == (2, 16, 20)
    np.testing.assert_array_equal(in_file.compute(), in_memory)
    assert len(np.unique(in_memory)) > 1
    unwanted = options.get("unwanted", 0)
    wanted = semantic_labels(
        maps,
        options.get("threshold", 0.5),
        low=options.get("low"),
        unwanted=range(3 - unwanted, 3),
    )
    np.testing.assert_array_equal(in_memory, wanted)


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 12), st.floats(0, 1), st.floats(0, 1))
def test_labels_of_any_chunks_are_those_in_memory(prompts, height, width, one, other):
    maps = np.random.default_rng(height * width).random((prompts, 2, height, width))
    maps = maps.astype(np.float32)
    for low in (None, min(one, other)):
        in_memory, in_file = (
            result(maps_, max(one, other), low=low).labels
            for maps_ in (maps, dask.array.from_array(maps, chunks=(1, 1, 4, 5)))
        )
        np.testing.assert_array_equal(in_file.compute(), in_memory)


def test_objects_have_numbers_and_a_table():
    made = result(MAPS, 0.6, instances=InstanceOptions(), unwanted=1, spacing=(0.5, 2), unit="um")
    assert made.labels.max() > made.classes.max() == 2
    table = made.objects
    assert table["index"].tolist() == list(range(1, made.labels.max() + 1))
    assert set(table["prompt"]) <= {"a", "b"}
    assert table["area"].sum() == np.count_nonzero(made.labels)  # a pixel has 0.5 x 2
    assert set(table["unit"]) == {"um"}


def test_without_objects_the_table_has_a_row_a_prompt():
    table = result(MAPS, 0.6).objects
    assert table["prompt"].tolist() == ["a", "b", "c"]


def test_objects_of_a_map_in_a_file_are_refused_with_the_cure():
    made = result(lazy(MAPS), 0.6, instances=InstanceOptions(), path=Path("map.zarr"))
    with pytest.raises(ValueError, match=r"\(3, 2, 16, 20\) is in map\.zarr\. Segment a region"):
        made.labels  # noqa: B018


def test_the_table_of_a_map_in_a_file():
    in_memory, in_file = (result(maps, 0.6).objects for maps in (MAPS, lazy(MAPS)))
    for name, column in in_memory.items():
        np.testing.assert_array_equal(in_file[name], column)


@pytest.mark.parametrize("make", [np.asarray, lazy], ids=["in memory", "in a file"])
def test_wanted_prompts_disagree(make):
    made = result(make(MAPS), unwanted=1)
    np.testing.assert_array_equal(made.disagreement, disagreement(MAPS[:2]))


def test_one_prompt_cannot_disagree():
    with pytest.raises(ValueError, match="two or more are needed"):
        result(MAPS[:2], unwanted=1).disagreement  # noqa: B018
