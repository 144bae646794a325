from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from cases import named
from napari_clipseg.images.labels.instances import InstanceOptions, instance_labels, pixel_size
from napari_clipseg.images.labels.linking import object_classes


def drawn(*rows):
    """Turn text into labels: a dot is background."""
    return np.array([[0 if c == "." else int(c) for c in row] for row in rows], np.int32)


SEMANTIC = drawn(
    "11..2..1",
    "11.222..",
    "...121..",
    ".......3",
    "3333....",
    "3..3..1.",
    "3333.1..",
)
NUMBERED = drawn(
    "11..2..3",
    "11.222..",
    "...425..",
    ".......6",
    "7777....",
    "7..7..8.",
    "7777.8..",
)


def test_connected_parts_in_reading_order():
    instances = instance_labels(SEMANTIC)
    assert instances.dtype == np.int32
    np.testing.assert_array_equal(instances, NUMBERED)


# What is left of the numbers above: their order stays.
KEPT = {
    "least size": ({"min_size": 4}, [1, 2, 7]),
    "greatest size": ({"max_size": 4}, [1, 3, 4, 5, 6, 8]),
    "both": ({"min_size": 2, "max_size": 4}, [1, 8]),
    "nothing at the border": ({"drop_border": True}, [4, 5]),
    "linked, but one plane": ({"link": True}, [1, 2, 3, 4, 5, 6, 7, 8]),
}


@pytest.mark.parametrize(("options", "left"), KEPT.values(), ids=KEPT.keys())
def test_objects_left_out(options, left):
    instances = instance_labels(SEMANTIC, options=InstanceOptions(**options))
    table = np.zeros(9, int)
    table[left] = 1 + np.arange(len(left))
    np.testing.assert_array_equal(instances, table[NUMBERED])


@pytest.mark.parametrize(
    ("options", "spacing", "left"),
    [
        pytest.param({"min_size": 1}, (0.5, 0.5), [1, 2, 7], id="four pixels are one unit"),
        pytest.param({"min_size": 8}, (2, 1), [1, 2, 7], id="oblong pixels"),
        pytest.param({"max_size": 0.25}, (9, 0.5, 0.5), [3, 4, 5, 6], id="planes do not count"),
    ],
)
def test_sizes_are_physical(options, spacing, left):
    instances = instance_labels(SEMANTIC, None, InstanceOptions(**options), spacing)
    assert np.unique(NUMBERED[instances > 0]).tolist() == left


@pytest.mark.parametrize(
    ("fill", "filled"),
    [(False, 0), (True, 2), (0.0, 0), (2, 2), (1, 0), (0.5, 0)],
)
def test_holes(fill, filled):
    instances = instance_labels(SEMANTIC, options=InstanceOptions(fill_holes=fill))
    assert (instances[5, 1:3] == 7).sum() == filled
    assert np.count_nonzero(instances) == np.count_nonzero(SEMANTIC) + filled


def test_holes_are_physical():
    for side, filled in ((1.1, 0), (0.9, 2)):
        options = InstanceOptions(fill_holes=2)
        instances = instance_labels(SEMANTIC, None, options, (side, side))
        assert (instances[5, 1:3] > 0).sum() == filled


def test_smoothing_takes_specks_and_spurs():
    plane = np.zeros((12, 16), np.int32)
    plane[2:9, 2:9] = 1
    plane[5, 9:14] = 1  # a spur
    plane[10, 14] = 1  # a speck
    smooth = instance_labels(plane, options=InstanceOptions(smooth=1))
    assert smooth.max() == 1
    assert not smooth[5, 10:].any()
    assert (smooth[3:8, 3:8] == 1).all()
    # The same window, of larger pixels.
    again = instance_labels(plane, None, InstanceOptions(smooth=2), (2, 2))
    np.testing.assert_array_equal(again, smooth)


def touching(dip=0.5):
    """Two discs that touch, ``(40, 50)``, and maps ``(2, 40, 50)`` with a dip between them."""
    rows, columns = np.ogrid[:40, :50]
    far = np.minimum(np.hypot(rows - 20, columns - 15), np.hypot(rows - 20, columns - 31))
    mask = (far <= 10).astype(np.int32)
    sure = np.clip(1 - dip * far / 10, 0, 1).astype(np.float32)
    return mask, np.stack([0 * sure, sure])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize(("split", "count"), [("none", 1), ("distance", 2), ("probability", 2)])
def test_splits(split, count, dtype):
    mask, maps = touching()
    maps = (maps * 255).astype(dtype) if dtype == np.uint8 else maps.astype(dtype)
    instances = instance_labels(mask, maps, InstanceOptions(split=split))
    assert instances.max() == count
    np.testing.assert_array_equal(instances > 0, mask > 0)
    if count == 2:
        assert (instances[20, 15], instances[20, 31]) == (1, 2)


def test_nan_of_another_prompt_does_not_matter():
    mask, maps = touching()
    maps[0, 20, 15:32] = np.nan
    assert instance_labels(mask, maps, InstanceOptions(split="probability")).max() == 2


def test_parts_are_numbered_in_reading_order():
    mask, _ = touching()
    plane = np.concatenate([mask, mask[:, ::-1], mask])
    plane[45, 48] = 1  # after the first two parts, before the next two
    instances = instance_labels(plane, options=InstanceOptions(split="distance"))
    first = [np.flatnonzero(instances == k)[0] for k in range(1, instances.max() + 1)]
    assert len(first) == 7
    assert first == sorted(first)


def test_a_dip_that_is_shallow_does_not_split():
    mask, maps = touching(dip=0.05)
    assert instance_labels(mask, maps, InstanceOptions(split="probability")).max() == 1


@given(
    hnp.arrays(
        np.int32,
        st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 6), st.integers(1, 6)),
        elements=st.integers(0, 2),
    ),
    st.booleans(),
)
def test_planes_are_taken_one_by_one(semantic, by_distance):
    options = InstanceOptions(split="distance" if by_distance else "none", min_distance=1)
    instances = instance_labels(semantic, options=options)
    seen = 0
    for plane in np.ndindex(semantic.shape[:2]):
        alone = instance_labels(semantic[plane], options=options)
        np.testing.assert_array_equal(instances[plane], np.where(alone, alone + seen, 0))
        seen += int(alone.max())
        if not by_distance:
            np.testing.assert_array_equal(alone, label(semantic[plane], background=0))
    np.testing.assert_array_equal(object_classes(instances, semantic)[instances], semantic)


def moving(*columns):
    """Planes with one square each, which begins at that column."""
    stack = np.zeros((len(columns), 6, 20), np.int32)
    for plane, column in zip(stack, columns, strict=True):
        plane[1:5, column : column + 4] = 1
    return stack


LINKED = {
    "it moves a little": (moving(0, 1, 2, 4), 0.25, [1, 1, 1, 1]),
    "it jumps": (moving(0, 1, 9, 9), 0.25, [1, 1, 2, 2]),
    "it comes back": (moving(0, 9, 0), 0.25, [1, 2, 3]),
    "it must not move": (moving(0, 0, 1), 1.0, [1, 1, 2]),
    "its class changes": (moving(0, 0, 0) * np.array([1, 2, 2])[:, None, None], 0.25, [1, 2, 2]),
    "it is gone for a plane": (
        moving(0, 0, 0) * np.array([1, 0, 1])[:, None, None],
        0.25,
        [1, 0, 2],
    ),
}


@pytest.mark.parametrize(("semantic", "least", "numbers"), LINKED.values(), ids=LINKED.keys())
def test_linked_through_planes(semantic, least, numbers):
    options = InstanceOptions(link=True, least_overlap=least)
    instances = instance_labels(semantic, options=options)
    assert instances.max(axis=(1, 2)).tolist() == numbers
    np.testing.assert_array_equal(instances > 0, semantic > 0)


def test_linked_along_the_first_axis_of_planes():
    semantic = np.stack([moving(0, 9), moving(1, 10), moving(9, 10)])  # (t, z, height, width)
    instances = instance_labels(semantic, options=InstanceOptions(link=True))
    assert instances.max(axis=(2, 3)).tolist() == [[1, 2], [1, 2], [3, 2]]


EMPTY = {
    "nothing": np.zeros((4, 5), np.int32),
    "no rows": np.zeros((0, 5), np.int32),
    "no planes": np.zeros((0, 4, 5), np.int32),
    "planes of nothing": np.zeros((3, 4, 5), np.int32),
}


@pytest.mark.parametrize("semantic", named(EMPTY))
@pytest.mark.parametrize(
    "options",
    named(
        {
            "plain": InstanceOptions(),
            "all": InstanceOptions("distance", 3, 2, 9, True, 1, True, True),
        }
    ),
)
def test_nothing_gives_nothing(semantic, options):
    instances = instance_labels(semantic, options=options)
    assert instances.shape == semantic.shape
    assert not instances.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"split": "color"},
            "Got split='color'; wanted one of 'none', 'distance', 'probability'",
        ),
        ({"min_size": -1}, "Got min_size=-1; wanted a number that is not negative"),
        ({"min_distance": np.nan}, "Got min_distance=nan"),
        ({"smooth": np.inf}, "Got smooth=inf"),
        ({"fill_holes": -2.0}, "Got fill_holes=-2.0"),
        ({"min_size": 9, "max_size": 5}, "Got max_size=5 and min_size=9"),
        ({"least_overlap": 0}, "Got least_overlap=0; wanted a part above 0"),
        ({"least_overlap": 1.5}, "Got least_overlap=1.5"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        InstanceOptions(**options)


@pytest.mark.parametrize(
    ("smooth", "spacing", "most"),
    [(1e8, (1, 1), "8"), (1e308, (1e-300, 1e-300), "8e-300"), (5, (0.5, 2), "4"), (9, (1, 1), "8")],
    ids=str,
)
def test_windows_beyond_the_plane_are_refused(smooth, spacing, most):
    says = f"Got smooth={smooth}; on planes of 7 x 8 pixels wanted at most {most}, the longer side."
    with pytest.raises(ValueError, match=re.escape(says)):
        instance_labels(SEMANTIC, None, InstanceOptions(smooth=smooth), spacing)


def test_a_window_of_the_whole_plane_is_possible():
    assert instance_labels(SEMANTIC, None, InstanceOptions(smooth=8)).shape == SEMANTIC.shape


def test_peaks_may_be_any_distance_apart():
    far = InstanceOptions(split="distance", min_distance=1e308)
    np.testing.assert_array_equal(instance_labels(SEMANTIC, None, far, (1e-150, 1e-150)), NUMBERED)


def test_splitting_by_probability_needs_one_that_fits():
    options = InstanceOptions(split="probability")
    with pytest.raises(ValueError, match="needs the probability maps; give them, or split by"):
        instance_labels(SEMANTIC, options=options)
    with pytest.raises(ValueError, match=r"shape \(1, 7, 7\), the labels \(7, 8\)"):
        instance_labels(SEMANTIC, np.zeros((1, 7, 7), np.float32), options)


def test_labels_need_rows_and_columns():
    with pytest.raises(ValueError, match=r"shape \(3,\); wanted \(\*planes, height, width\)"):
        instance_labels(np.zeros(3, int))


@pytest.mark.parametrize("spacing", [(1,), (), (1, 0), (1, -2), (np.nan, 1), (1, np.inf)], ids=repr)
def test_bad_spacings_are_refused(spacing):
    with pytest.raises(ValueError, match="wanted the positive height and width of a pixel"):
        pixel_size(spacing)
