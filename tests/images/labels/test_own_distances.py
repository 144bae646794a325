"""Objects told apart by their own size: whatever the unit, through planes, and on real coins."""

import numpy as np
import pytest
from skimage.data import coins

from evaluate.objects import BY_DEFAULT, judged, true_coins
from in_blocks import by_blocks, in_memory
from napari_clipseg import InstanceOptions, segment
from napari_clipseg.images.labels.instances import instance_labels

ROWS, COLUMNS = np.ogrid[:60, :160]


def discs(*places):
    found = np.zeros((60, 160), np.int32)
    for row, column, radius in places:
        found[(ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2] = 1
    return found


APART = discs((30, 20, 14), (30, 70, 14), (30, 120, 14))
# name: a plane, objects in it
PLANES = {
    "apart": (APART, 3),
    "touching": (discs((30, 25, 14), (30, 49, 14), (30, 80, 14)), 3),
    "touching, of other sizes": (discs((30, 25, 14), (30, 47, 10), (30, 90, 20)), 3),
    "with a hole of some pixels": (APART - discs((30, 20, 1)), 3),
    "with crumbs": (np.maximum(APART, discs((5, 40, 1), (5, 95, 2))), 3),
    "a ring": (discs((30, 60, 25)) - discs((30, 60, 18)), 1),
    "a bar": (np.pad(np.ones((12, 120), np.int32), ((20, 28), (20, 20))), 1),
    "nothing": (np.zeros((60, 160), np.int32), 0),
}


@pytest.mark.parametrize("unit", [1.0, 0.01, 250.0])
@pytest.mark.parametrize(("plane", "count"), PLANES.values(), ids=PLANES)
def test_objects_of_a_plane_and_of_equal_planes(plane, count, unit):
    spacing = (unit, unit)
    one = instance_labels(plane, options=BY_DEFAULT, spacing=spacing)
    assert one.max() == count
    stack = instance_labels(np.stack([plane] * 5), options=BY_DEFAULT, spacing=spacing)
    np.testing.assert_array_equal(stack, [one] * 5)


def test_crumbs_are_small_beside_the_objects_of_their_plane():
    plane = discs((30, 20, 2), (30, 60, 3), (30, 100, 2))
    assert instance_labels(plane, options=BY_DEFAULT).max() == 3


def test_coins_are_objects():
    image, truth = coins(), true_coins()
    assert truth.max() == 24
    mask = (segment(image, "nuclei", refine_edges=True).probability[0] > 0.3).astype(np.int32)
    counts = judged(instance_labels(mask, options=BY_DEFAULT), truth)
    # The others are what the model marks beside the coins.
    assert {name: counts[name] for name in ("missed", "split", "joined")} == {
        "missed": 0,
        "split": 0,
        "joined": 0,
    }
    assert judged(instance_labels(mask), truth)["joined"] > 0


@pytest.mark.parametrize("split", ["distance", "probability"])
def test_block_by_block_it_is_the_same(split, tmp_path):
    maps = np.stack([APART, PLANES["touching"][0]]).astype(np.float32)[None]
    options = InstanceOptions(split=split, link=True, min_size=None)
    wanted, _ = in_memory(maps, options)
    labels, _ = by_blocks(maps, options, tmp_path, side=32)
    np.testing.assert_array_equal(labels, wanted)


def test_an_object_in_tiles_is_split_by_its_own_thickness(tmp_path):
    maps = discs(*((14 + 25 * i, 14 + 24 * k, 14) for i in range(2) for k in range(6)))
    wanted, _ = in_memory(maps[None].astype(np.float32), BY_DEFAULT)
    assert wanted.max() == 12
    labels, _ = by_blocks(
        maps[None].astype(np.float32), BY_DEFAULT, tmp_path, side=32, most_pixels=72**2
    )
    assert labels.max() == 12


def test_a_step_can_stop_the_work():
    called = []

    def stop():
        called.append(1)
        if len(called) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        instance_labels(np.stack([APART] * 5), options=BY_DEFAULT, step=stop)
    assert len(called) == 3
