from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.images.labels.objects import object_table

SHAPE = ["axis_major_length", "axis_minor_length", "eccentricity"]
PLANE = ["index", "prompt", "area", "centroid-0", "centroid-1", *SHAPE, "mean_probability"]
PLANE += ["bbox-0", "bbox-1", "bbox-2", "bbox-3", "unit"]
STACK = ["index", "prompt", "area", "planes", "centroid-0", "centroid-1", "centroid-2", *SHAPE]
STACK += ["mean_probability", *(f"bbox-{i}" for i in range(6)), "unit"]


def scene():
    """An oblong of 4 x 8 pixels, numbered 3, and a pixel, numbered 7, with two maps."""
    instances = np.zeros((10, 12), np.int32)
    instances[2:6, 1:9] = 3
    instances[8, 10] = 7
    semantic = np.array([0, 0, 0, 2, 0, 0, 0, 1])[instances]
    maps = np.zeros((2, 10, 12), np.float32)
    maps[1, 2:6, 1:5], maps[1, 2:6, 5:9] = 0.5, 1
    maps[0] = 0.25
    return instances, semantic, maps


def test_one_plane():
    table = object_table(*scene(), ["rings", "spots"], (0.5, 0.25), "µm")
    assert list(table) == PLANE
    assert table["index"].tolist() == [3, 7]
    assert table["prompt"].tolist() == ["spots", "rings"]
    assert table["area"].tolist() == [4, 0.125]
    assert table["centroid-0"].tolist() == [1.75, 4]
    assert table["centroid-1"].tolist() == [1.125, 2.5]
    np.testing.assert_allclose(table["mean_probability"], [0.75, 0.25])
    bounds = np.stack([table[f"bbox-{i}"] for i in range(4)], axis=1)
    assert bounds.tolist() == [[2, 1, 6, 9], [8, 10, 9, 11]]
    assert table["unit"].tolist() == ["µm", "µm"]
    # 4 rows of half a unit and 8 columns of a quarter: as high as it is wide.
    assert table["axis_major_length"][0] == pytest.approx(table["axis_minor_length"][0], rel=0.05)


def test_an_ellipse_has_its_own_axes():
    rows, columns = np.ogrid[:60, :100]
    mask = (((rows - 30) / 20) ** 2 + ((columns - 50) / 40) ** 2 <= 1).astype(np.int32)
    table = object_table(mask, mask, mask[None].astype(np.float32), ["one"], (0.5, 0.5))
    assert table["axis_major_length"][0] == pytest.approx(40, rel=0.01)
    assert table["axis_minor_length"][0] == pytest.approx(20, rel=0.01)
    assert table["eccentricity"][0] == pytest.approx(np.sqrt(3) / 2, rel=0.01)


def test_an_object_in_several_planes_has_one_row():
    instances = np.zeros((2, 3, 8, 8), np.int32)  # (t, z, height, width)
    instances[0, 1, 0:2, 0:2] = 5
    instances[0, 2, 0:4, 0:2] = 5
    instances[1, 0, 6:8, 4:8] = 9
    maps = np.zeros((1, *instances.shape), np.float32)
    maps[0, 0, 1], maps[0, 0, 2], maps[0, 1] = 0.3, 0.9, 0.6
    table = object_table(instances, (instances > 0).astype(int), maps, ["cells"], (10, 2, 1, 1))
    assert table["index"].tolist() == [5, 9]
    assert table["area"].tolist() == [12, 8]
    assert table["planes"].tolist() == [2, 1]
    np.testing.assert_allclose(table["mean_probability"], [0.7, 0.6])
    centroids = np.stack([table[f"centroid-{i}"] for i in range(4)], axis=1)
    # 4 pixels in plane 1 and 8 in plane 2, two units apart.
    np.testing.assert_allclose(centroids, [[0, 10 / 3, 7 / 6, 0.5], [10, 0, 6.5, 5.5]])
    bounds = np.stack([table[f"bbox-{i}"] for i in range(8)], axis=1)
    assert bounds.tolist() == [[0, 1, 0, 0, 1, 3, 4, 2], [1, 0, 6, 4, 2, 1, 8, 8]]
    alone = object_table(instances[0, 2], instances[0, 2] > 0, maps[:, 0, 2], ["cells"])
    for name in SHAPE:
        assert table[name][0] == alone[name][0]  # of the larger plane


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8])
def test_maps_of_other_types(dtype):
    instances, semantic, maps = scene()
    stored = (maps * 255).astype(dtype) if dtype == np.uint8 else maps.astype(dtype)
    found = object_table(instances, semantic, stored, ["a", "b"])["mean_probability"]
    np.testing.assert_allclose(found, [0.75, 0.25], atol=1 / 255)


def test_an_object_that_no_prompt_has():
    instances, semantic, maps = scene()
    table = object_table(instances, np.where(instances == 7, 0, semantic), maps, ["a", "b"])
    assert table["prompt"].tolist() == ["b", ""]
    np.testing.assert_allclose(table["mean_probability"], [0.75, np.nan])


@pytest.mark.parametrize(
    ("shape", "columns"), [((6, 7), PLANE), ((3, 6, 7), STACK), ((0, 6, 7), STACK), ((0, 7), PLANE)]
)
def test_no_object_gives_every_column(shape, columns):
    nothing = np.zeros(shape, np.int32)
    table = object_table(nothing, nothing, np.zeros((1, *shape), np.float32), ["cells"])
    assert list(table) == columns
    full = object_table(
        *(np.ones((2,) * len(shape), int),) * 2, np.ones((1,) + (2,) * len(shape)), "a"
    )
    for name, column in table.items():
        assert column.shape == (0,)
        assert column.dtype.kind == full[name].dtype.kind


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.zeros((1, 10, 12))}, r"shape \(1, 10, 12\); wanted \(2, 10, 12\) for 2"),
        ({"maps": np.zeros((2, 10, 11))}, r"shape \(2, 10, 11\); wanted \(2, 10, 12\)"),
        ({"semantic": np.zeros((10, 11), int)}, "they must be equal"),
        ({"semantic": np.full((10, 12), 3)}, "The labels name prompt 3, but there are 2"),
        ({"spacing": (1, 1, 1)}, r"Got the spacing \(1.0, 1.0, 1.0\); wanted 2 or 2 positive"),
        ({"spacing": (0, 1)}, r"Got the spacing \(0.0, 1.0\)"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    instances, semantic, maps = scene()
    given = {"semantic": semantic, "maps": maps, "spacing": (1, 1)} | change
    with pytest.raises(ValueError, match=message):
        object_table(instances, given["semantic"], given["maps"], ["a", "b"], given["spacing"])
