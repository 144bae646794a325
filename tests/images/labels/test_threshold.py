from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_clipseg.images.labels import threshold as module
from napari_clipseg.images.labels.threshold import check_threshold, otsu_threshold, semantic_labels
from napari_clipseg.images.probability import as_unit

# A coarse grid of values, so that ties and hits of the threshold are drawn often.
values = st.sampled_from([0, 0.25, 0.3, 0.5, 0.75, 1, np.nan]) | st.floats(0, 1, width=32)
stacks = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    elements=values.map(np.float32),
)
thresholds = st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0]) | st.floats(0, 1)


def slowly(probability, threshold):
    labels = np.zeros(probability.shape[1:], np.int32)
    for row, column in np.ndindex(labels.shape):
        candidates = [-1.0 if np.isnan(p) else p for p in probability[:, row, column].tolist()]
        best = candidates.index(max(candidates))
        if candidates[best] > float(np.float32(threshold)):
            labels[row, column] = best + 1
    return labels


@given(stacks, thresholds)
def test_labels_are_the_likeliest_prompts_above_the_threshold(probability, threshold):
    before = probability.copy()
    labels = semantic_labels(probability, threshold)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, slowly(probability, threshold))
    np.testing.assert_array_equal(probability, before)


@pytest.mark.parametrize(
    ("pixel", "threshold", "label"),
    [
        pytest.param([0.4], 0.3, 1, id="above"),
        pytest.param([0.3], 0.3, 0, id="at the threshold is not above"),
        pytest.param([0.2], 0.3, 0, id="below"),
        pytest.param([0.6, 0.7], 0.3, 2, id="the likelier"),
        pytest.param([0.6, 0.6], 0.3, 1, id="a tie goes to the first"),
        pytest.param([0.6, 0.7, 0.7], 0.3, 2, id="a tie of later ones, too"),
        pytest.param([0, 0], 0, 0, id="nothing is not above 0"),
        pytest.param([1e-30], 0, 1, id="anything is above 0"),
        pytest.param([1, 1], 1, 0, id="nothing is above 1"),
        pytest.param([np.nan], 0, 0, id="NaN is nothing"),
        pytest.param([np.nan, 0.5], 0.3, 2, id="NaN does not hide others"),
        pytest.param([0.1] * 299 + [0.9], 0.5, 300, id="more prompts than a byte can count"),
    ],
)
def test_one_pixel(pixel, threshold, label):
    stack = np.array(pixel, np.float32)[:, None, None]
    assert semantic_labels(stack, threshold).tolist() == [[label]]


@pytest.mark.parametrize("threshold", [0, 1, 0.3, True, np.float32(0.5)], ids=repr)
def test_good_thresholds(threshold):
    checked = check_threshold(threshold)
    assert type(checked) is float
    assert checked == threshold


@pytest.mark.parametrize("threshold", [-1e-9, 1.0001, 30, np.nan, np.inf, -np.inf], ids=repr)
def test_bad_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match="wanted a probability from 0 to 1"):
        check_threshold(threshold)
    with pytest.raises(ValueError, match="The threshold is"):
        semantic_labels(np.zeros((1, 2, 2), np.float32), threshold)


def slowly_each(probability, thresholds, negative):
    """Say for each pixel who has it, by the words of the docstring."""
    labels = np.zeros(probability.shape[1:], np.int32)
    names = [k for k in range(len(probability)) if k not in negative]
    for pixel in np.ndindex(labels.shape):
        values = probability[:, *pixel].tolist()
        above = [k for k, t in enumerate(thresholds) if values[k] > float(np.float32(t))]
        if above:
            best = max(above, key=lambda k: values[k])  # the first of equal ones
            labels[pixel] = 0 if best in negative else 1 + names.index(best)
    return labels


@given(st.data(), stacks, st.sampled_from([np.float32, np.float16, np.uint8]))
def test_thresholds_of_each_prompt_and_negative_ones(data, probability, dtype):
    count = len(probability)
    given_thresholds = data.draw(st.lists(thresholds, min_size=count, max_size=count))
    negative = data.draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
    if dtype == np.uint8:
        probability = np.rint(np.nan_to_num(probability) * 255)
    maps = probability.astype(dtype)[:, None]  # with an axis of planes
    labels = semantic_labels(maps, given_thresholds, negative=negative)
    np.testing.assert_array_equal(labels, slowly_each(as_unit(maps), given_thresholds, negative))


@pytest.mark.parametrize("value", range(0, 256, 5))
def test_a_byte_is_not_above_itself(value):
    threshold = float(np.float32(value) / np.float32(255))
    stack = np.array([value, min(value + 1, 255)], np.uint8).reshape(1, 1, 2)
    assert semantic_labels(stack, threshold).tolist() == [[0, int(value < 255)]]


@pytest.mark.parametrize("layout", ["as it is", "planes of a larger one", "transposed", "reversed"])
def test_any_layout_and_any_block_size(monkeypatch, layout):
    monkeypatch.setattr(module, "BLOCK_PIXELS", 7)
    maps = np.random.default_rng(0).random((3, 4, 5, 6), np.float32)
    maps = {
        "as it is": maps,
        "planes of a larger one": maps[:, 1:3],
        "transposed": maps.transpose(0, 1, 3, 2),
        "reversed": maps[::-1, :, ::-1],
    }[layout]
    np.testing.assert_array_equal(semantic_labels(maps, 0.4), slowly_each(maps, [0.4] * 3, ()))


@pytest.mark.parametrize("shape", [(2, 0, 5), (2, 3, 0), (2, 0, 4, 4)], ids=repr)
@pytest.mark.parametrize("low", [None, 0.2])
def test_no_pixel_gives_no_label(shape, low):
    assert semantic_labels(np.zeros(shape, np.float32), 0.5, low_threshold=low).shape == shape[1:]


def test_hysteresis_follows_paths_within_the_plane():
    plane = [
        [0.9, 0.5, 0.1, 0.5, 0.5],
        [0.1, 0.5, 0.1, 0.1, 0.1],
        [0.1, 0.1, 0.5, 0.1, 0.9],
    ]
    weak = np.full_like(plane, 0.5)  # alone in its plane, though all of the other lies beside it
    stack = np.array([[plane, weak]], np.float32)
    labels = semantic_labels(stack, 0.8, low_threshold=0.3)
    assert labels[0].tolist() == [[1, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert not labels[1].any()


@given(stacks, thresholds)
def test_hysteresis_without_a_gap_is_a_threshold(probability, threshold):
    labels = semantic_labels(probability, threshold, low_threshold=threshold)
    np.testing.assert_array_equal(labels, slowly(probability, threshold))


def test_hysteresis_of_each_prompt():
    stack = np.array([[[0.9, 0.4, 0.4, 0.0]], [[0.0, 0.5, 0.3, 0.9]]], np.float32)
    assert semantic_labels(stack, 0.8, low_threshold=[0.35, 0.2]).tolist() == [[1, 2, 1, 2]]
    assert semantic_labels(stack, [0.8, 0.95], low_threshold=[0.35, 0.2]).tolist() == [[1, 1, 1, 0]]
    # A byte at a low threshold is not above it, either.
    stack = np.array([[[230, 100, 99]]], np.uint8)
    assert semantic_labels(stack, 0.8, low_threshold=99 / 255).tolist() == [[1, 1, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"threshold": [0.1]}, "Got 1 thresholds for 2 prompts", id="too few"),
        pytest.param({"threshold": [0.1, 2]}, "The threshold is 2", id="no probability"),
        pytest.param(
            {"low_threshold": 0.6}, "low threshold is 0.6, above the threshold 0.5", id="low above"
        ),
        pytest.param({"low_threshold": -1}, "The threshold is -1", id="low below 0"),
        pytest.param({"negative": [2]}, "Got 2 as a negative prompt; wanted", id="no prompt"),
        pytest.param({"negative": [-1]}, "Got -1 as a negative prompt", id="from the end"),
        pytest.param({"negative": [0, 1]}, "All prompts are negative", id="nothing left"),
    ],
)
def test_bad_options_are_refused(options, message):
    stack = np.zeros((2, 3, 3), np.float32)
    with pytest.raises(ValueError, match=message):
        semantic_labels(stack, **{"threshold": 0.5} | options)


def test_what_is_no_probability_is_refused():
    with pytest.raises(TypeError, match="type int64; wanted floats from 0 to 1, or uint8"):
        semantic_labels(np.zeros((1, 3, 3), np.int64), 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_otsu_parts_two_heaps(dtype):
    rng = np.random.default_rng(0)
    heaps = np.clip(np.concatenate([rng.normal(m, 0.03, 5000) for m in (0.2, 0.8)]), 0, 1)
    maps = (heaps * 255 if dtype == np.uint8 else heaps).astype(dtype).reshape(1, 100, 100)
    # Between the heaps every threshold is as good.
    assert 0.28 < otsu_threshold(maps) < 0.72


def test_otsu_of_a_large_map_is_that_of_its_sample(monkeypatch):
    maps = np.random.default_rng(0).random((1, 90, 90), np.float32)
    monkeypatch.setattr(module, "SAMPLED_PIXELS", 900)
    assert otsu_threshold(maps) == otsu_threshold(maps[:, ::3, ::3])


def test_otsu_leaves_nan_out(monkeypatch):
    maps = np.full((1, 8, 8), np.nan, np.float32)
    maps[0, 1, 1:5] = [0.1, 0.1, 0.9, 0.9]
    threshold = otsu_threshold(maps)
    assert 0.1 <= threshold < 0.9
    monkeypatch.setattr(module, "SAMPLED_PIXELS", 4)  # a sample of NaN alone
    assert otsu_threshold(maps) == threshold


@pytest.mark.parametrize("value", [0, 0.25, 1])
def test_nothing_is_above_otsus_threshold_of_a_constant_map(value):
    maps = np.full((1, 4, 4), value, np.float32)
    assert otsu_threshold(maps) == value
    assert not semantic_labels(maps, otsu_threshold(maps)).any()


NEAR = {
    "a narrow range": (0.5, 0.50001),
    "neighboring floats": (0.5, float(np.nextafter(np.float32(0.5), np.float32(1)))),
    "the smallest floats": (0.0, 1e-45),
    "neighbors of 1": (float(np.nextafter(np.float32(1), np.float32(0))), 1.0),
}


@pytest.mark.parametrize(("low", "high"), NEAR.values(), ids=NEAR)
def test_otsu_parts_values_however_near(low, high):
    maps = np.full((1, 6, 6), low, np.float32)
    maps[0, :3] = high
    threshold = otsu_threshold(maps)
    assert low <= threshold < high
    assert (semantic_labels(maps, threshold)[:3] == 1).all()
    assert not semantic_labels(maps, threshold)[3:].any()


@given(hnp.arrays(np.float32, (1, 4, 5), elements=st.floats(0, 1, width=32)))
def test_otsu_finds_a_threshold_for_any_map(maps):
    threshold = otsu_threshold(maps)
    assert maps.min() <= threshold <= maps.max()
    above = semantic_labels(maps, threshold) > 0
    np.testing.assert_array_equal(above[None], maps > threshold)
    assert above.any() == (maps.min() < maps.max())


def test_otsu_needs_a_finite_pixel():
    with pytest.raises(ValueError, match="of the 4 pixels of the map none is finite"):
        otsu_threshold(np.full((1, 2, 2), np.nan, np.float32))
