from __future__ import annotations

import json

import dask.array
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image, Layer

from drawing import examples
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.labels.threshold import otsu_threshold, semantic_labels
from napari_clipseg.images.uncertainty import disagreement
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Segmentation
from napari_clipseg.segmentation import segment
from seeing import Seeing

RANDOM = np.random.default_rng(0)
# Two prompts and a negative one, on two planes; of things, not of noise.
MAPS = RANDOM.random((3, 2, 4, 5)).repeat(4, axis=2).repeat(4, axis=3).astype(np.float32)


def result(probability, threshold=0.5, *, negative=0, path=None, **fields):
    names = list("abcdef"[: len(probability)])
    count = len(names) - negative
    extent = {name: fields.pop(name) for name in ("spacing", "unit") if name in fields}
    recipe = Recipe(names[:count], negative_prompts=names[count:], threshold=threshold, **fields)
    planes = probability.shape[1:-2]
    made = Extent(
        axes=tuple("tz"[-len(planes) :]) if planes else (),
        planes_shape=planes,
        planes=tuple(np.ndindex(*planes)),
        height=probability.shape[-2],
        width=probability.shape[-1],
        **extent,
    )
    return Segmentation(probability, threshold, recipe, made, (*made.axes, "y", "x"), path)


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
    "negative prompts": {"negative": 1},
    "hysteresis": {"threshold": 0.8, "low_threshold": 0.5},
    "hysteresis down to 0": {"threshold": 0.8, "low_threshold": 0.0},
    "everything": {"threshold": 0.7, "low_threshold": 0.4, "negative": 2},
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
    wanted = semantic_labels(
        maps,
        options.get("threshold", 0.5),
        low_threshold=options.get("low_threshold"),
        negative=range(3 - options.get("negative", 0), 3),
    )
    np.testing.assert_array_equal(in_memory, wanted)


@examples(30)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 12), st.floats(0, 1), st.floats(0, 1))
def test_labels_of_any_chunks_are_those_in_memory(prompts, height, width, one, other):
    maps = np.random.default_rng(height * width).random((prompts, 2, height, width))
    maps = maps.astype(np.float32)
    for low in (None, min(one, other)):
        in_memory, in_file = (
            result(maps_, max(one, other), low_threshold=low).labels
            for maps_ in (maps, dask.array.from_array(maps, chunks=(1, 1, 4, 5)))
        )
        np.testing.assert_array_equal(in_file.compute(), in_memory)


def test_objects_have_numbers_and_a_table():
    made = result(MAPS, 0.6, instances=InstanceOptions(), negative=1, spacing=(0.5, 2), unit="um")
    assert made.labels.max() > made.classes.max() == 2
    table = made.objects
    assert table["index"].tolist() == list(range(1, made.labels.max() + 1))
    assert set(table["prompt"]) <= {"a", "b"}
    assert table["area"].sum() == np.count_nonzero(made.labels)  # a pixel has 0.5 x 2
    assert set(table["unit"]) == {"um"}


def test_without_objects_the_table_has_a_row_a_prompt():
    table = result(MAPS, 0.6).objects
    assert table["prompt"].tolist() == ["a", "b", "c"]


def test_objects_of_a_lazy_map_in_no_file_are_refused_with_the_cure():
    made = result(lazy(MAPS), 0.6, instances=InstanceOptions())
    with pytest.raises(ValueError, match=r"\(3, 2, 16, 20\) is in no file.* Load it: replace\("):
        made.labels  # noqa: B018


def test_the_table_of_a_map_in_a_file():
    in_memory, in_file = (result(maps, 0.6).objects for maps in (MAPS, lazy(MAPS)))
    for name, column in in_memory.items():
        np.testing.assert_array_equal(in_file[name], column)


@pytest.mark.parametrize("make", [np.asarray, lazy], ids=["in memory", "in a file"])
def test_wanted_prompts_disagree(make):
    made = result(make(MAPS), negative=1)
    np.testing.assert_array_equal(made.disagreement, disagreement(MAPS[:2]))


def test_one_prompt_cannot_disagree():
    with pytest.raises(ValueError, match="two or more are needed"):
        result(MAPS[:2], negative=1).disagreement  # noqa: B018


# Other labels of the same map


@pytest.mark.parametrize("make", [np.asarray, lazy], ids=["in memory", "in a file"])
@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"threshold": 0.7}, {"threshold": 0.7}),
        ({"threshold": [0.2, 0.9, 0.4]}, {"threshold": [0.2, 0.9, 0.4]}),
        ({"low_threshold": 0.3}, {"low_threshold": 0.3}),
        ({"threshold": 0.8, "low_threshold": None}, {"threshold": 0.8}),
    ],
    ids=str,
)
def test_relabel_gives_the_labels_of_other_thresholds(make, changes, fields):
    first = result(make(MAPS), negative=1)
    before = np.asarray(first.labels).copy()
    other = first.relabel(**changes)
    wanted = result(MAPS, **{"threshold": 0.5, **fields}, negative=1)
    np.testing.assert_array_equal(np.asarray(other.labels), wanted.labels)
    assert other.recipe == wanted.recipe
    assert other.probability is first.probability
    np.testing.assert_array_equal(np.asarray(first.labels), before)


def test_relabel_tells_objects_apart_and_back():
    first = result(MAPS, 0.6)
    objects = first.relabel(instances=InstanceOptions())
    assert objects.labels.max() > first.labels.max()
    np.testing.assert_array_equal(objects.relabel(instances=None).labels, first.labels)


def test_relabel_by_otsu():
    first = result(MAPS)
    other = first.relabel(threshold="otsu")
    assert other.threshold == tuple(otsu_threshold(one) for one in MAPS)
    assert other.recipe.threshold == "otsu"
    assert other.relabel(low_threshold=0.01).threshold == other.threshold


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"threshold": 2}, "The threshold is 2"),
        ({"threshold": [0.5]}, "Got 1 thresholds for 3 prompts"),
        ({"low_threshold": 0.9}, "The low threshold is 0.9, above the threshold 0.5"),
    ],
    ids=str,
)
def test_relabel_refuses_what_is_not_possible(changes, says):
    with pytest.raises(ValueError, match=says):
        result(MAPS).relabel(**changes)


# Layers


def test_layers_of_a_result_without_a_layer():
    made = result(MAPS, negative=1, spacing=(2, 3))
    *maps, (labels, options, kind) = made.to_layers()
    assert [(one[1]["name"], one[2]) for one in maps] == [("a", "image"), ("b", "image")]
    for one, wanted in zip(maps, MAPS, strict=False):
        np.testing.assert_array_equal(one[0], wanted)
    assert (options["name"], kind) == ("a, b · labels", "labels")
    np.testing.assert_array_equal(labels, made.labels)
    layer = Layer.create(labels, options, kind)
    assert layer.data_to_world((1, 2, 3)) == (1, 2, 3)


def test_layers_of_an_image_whose_axes_were_given():
    channels = Image(np.zeros((3, 12, 20), np.uint8), scale=(1, 2, 3))
    found = segment(channels, "x", axes="cyx", model=Seeing(12))
    labels, options, kind = found.to_layers(channels)[-1]
    made = Layer.create(labels, options, kind)
    assert made.data.shape == (12, 20)
    np.testing.assert_allclose(made.scale, (2, 3))
    assert options["metadata"]["napari_clipseg"]["axes"] == ["c", "y", "x"]


def test_a_layer_of_other_axes_is_refused():
    found = segment(np.zeros((12, 20), np.uint8), "x", model=Seeing(12))
    with pytest.raises(ValueError, match="Got 2 names 'yx' for the axes of an image of shape"):
        found.to_layers(Image(np.zeros((3, 12, 20))))


def test_labels_of_layers_are_a_copy():
    made = result(MAPS)
    before = made.labels.copy()
    made.to_layers()[-1][0][:] = 7
    np.testing.assert_array_equal(made.labels, before)


def test_layers_of_a_transposed_image_lie_on_plain_pixels():
    image = np.zeros((20, 12), np.uint8)
    image[15:, :6] = 255
    made = segment(image, "x", axes="xy", model=Seeing(12))
    labels = made.to_layers()[-1][0]
    assert labels.shape == image.shape
    assert np.mean((labels > 0) == (image > 0)) > 0.9


def test_a_place_is_enough():
    layer = Image(np.zeros((12, 20), np.uint8), name="cells", scale=(2, 3))
    made = segment(layer, "x", model=Seeing(12))
    place = made.place_on(layer)
    by_place, by_layer = made.to_layers(place)[-1][1], made.to_layers(layer)[-1][1]
    np.testing.assert_array_equal(by_place["scale"], by_layer["scale"])
    assert by_place["name"] == by_layer["name"] == "cells · x · labels"


def test_labels_have_the_table_of_their_objects():
    made = result(MAPS, 0.6, instances=InstanceOptions())
    features = made.to_layers()[-1][1]["features"]
    np.testing.assert_array_equal(features["area"], made.objects["area"])
    assert "features" not in made.to_layers(features=False)[-1][1]


def test_metadata_of_layers_are_json():
    for data, options, kind in result(MAPS).to_layers():
        metadata = Layer.create(data.copy(), options, kind).metadata
        assert json.loads(json.dumps(metadata)) == metadata
        assert Recipe.of(metadata) == result(MAPS).recipe


@pytest.mark.parametrize(
    ("dtype", "limits"), [("float32", (0, 1)), ("float16", (0, 1)), ("uint8", (0, 255))]
)
def test_maps_of_any_type_are_shown_from_0_to_1(dtype, limits):
    maps = (MAPS * 255).astype("uint8") if dtype == "uint8" else MAPS.astype(dtype)
    assert result(maps).to_layers()[0][1]["contrast_limits"] == limits
