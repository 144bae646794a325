"""Where results lie: exactly on the image that they were made of."""

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_clipseg.widgets.layers import placement, read_plane, region_outline

RANDOM = np.random.default_rng(0)
TURNED = np.array([[0.9, -0.3, 4], [0.2, 1.1, -7], [0, 0, 1]])

# name: the layer's arguments
TRANSFORMS = {
    "none": {},
    "scale": {"scale": (0.5, 2)},
    "translate": {"translate": (10, -3)},
    "rotate": {"rotate": 30},
    "shear": {"shear": [0.4]},
    "affine": {"affine": TURNED},
    "units": {"scale": (0.3, 0.3), "units": ("um", "um"), "axis_labels": ("rows", "columns")},
    "all": {
        "scale": (0.5, 2),
        "translate": (10, -3),
        "rotate": 30,
        "shear": [0.4],
        "affine": TURNED,
        "units": ("nm", "um"),
        "axis_labels": ("a", "b"),
    },
}


def corners(shape):
    return [(0, 0), (0, shape[1] - 1), (shape[0] - 1, 0), (shape[0] - 1, shape[1] - 1)]


@pytest.mark.parametrize("arguments", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("rgb", [False, True], ids=["gray", "rgb"])
def test_a_result_lies_on_its_image(arguments, rgb):
    data = RANDOM.integers(0, 255, (20, 30, 3) if rgb else (20, 30), dtype=np.uint8)
    layer = Image(data, rgb=rgb, **arguments)
    plane = read_plane(layer)
    np.testing.assert_array_equal(plane.data, data)
    assert plane.rgb == rgb
    result = Image(np.zeros((20, 30)), contrast_limits=(0, 1), **placement(layer, plane))
    for corner in corners((20, 30)):
        np.testing.assert_allclose(
            result.data_to_world(corner), layer.data_to_world(corner), atol=1e-9
        )
    assert result.units == layer.units
    assert result.axis_labels == layer.axis_labels


STACKS = {
    "z": {"shape": (5, 20, 30), "scale": (3, 0.5, 0.5), "translate": (7, 1, 2)},
    "t, z": {"shape": (4, 5, 20, 30), "scale": (1, 3, 0.5, 0.5)},
    "turned": {"shape": (5, 20, 30), "scale": (3, 1, 1), "rotate": (10, 20, 30)},
    "sheared": {"shape": (5, 20, 30), "shear": [0.1, 0.2, 0.3], "translate": (1, 2, 3)},
}


# napari shows a plane of a turned stack as if it were not turned, and says so.
@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
@pytest.mark.parametrize("case", STACKS.values(), ids=STACKS)
@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_the_plane_of_a_stack_that_is_shown(case, lazy):
    shape = case["shape"]
    data = RANDOM.integers(0, 255, shape, dtype=np.uint8)
    arguments = {key: value for key, value in case.items() if key != "shape"}
    layer = Image(da.from_array(data) if lazy else data, contrast_limits=(0, 255), **arguments)
    index = tuple(n - 2 for n in shape[:-2])
    plane = read_plane(layer, layer.data_to_world((*index, 10, 15)))
    assert plane.index == index
    np.testing.assert_array_equal(plane.load().pixels, data[index])
    one = (1,) * len(index)
    result = Image(np.zeros((*one, 20, 30)), contrast_limits=(0, 1), **placement(layer, plane))
    for corner in corners((20, 30)):
        np.testing.assert_allclose(
            result.data_to_world((*(0 for _ in index), *corner)),
            layer.data_to_world((*index, *corner)),
            atol=1e-9,
        )


def test_a_position_outside_the_stack_means_its_nearest_plane():
    layer = Image(np.zeros((5, 8, 8)), contrast_limits=(0, 1))
    assert read_plane(layer, (99, 0, 0)).index == (4,)
    assert read_plane(layer, (-99, 0, 0)).index == (0,)


def test_lazy_data_is_read_by_the_worker_alone():
    read = []

    def note(block):
        read.append(block.shape)
        return block

    data = da.zeros((3, 50, 60), chunks=(1, 50, 60), dtype=np.uint8)
    layer = Image(data.map_blocks(note, meta=data._meta), contrast_limits=(0, 1))
    read.clear()  # napari itself reads what it shows
    plane = read_plane(layer, (1, 0, 0))
    assert read == []
    plane.load()
    assert read == [(1, 50, 60)]


def test_an_empty_layer_is_refused():
    empty = SimpleNamespace(name="void", ndim=2, data=np.zeros((0, 8)))  # napari draws none
    with pytest.raises(ValueError, match=r"'void' has shape \(0, 8\).*at least one pixel"):
        read_plane(empty)


@pytest.mark.parametrize("side", [4096, 600], ids=["large", "small"])
def test_a_multiscale_image_is_read_where_it_is_fine_enough(side):
    fine = np.zeros((side, 2 * side), dtype=np.uint8)
    fine[side // 4 : side // 2, side : side + side // 2] = 255
    levels = [fine, fine[::2, ::2], fine[::4, ::4], fine[::8, ::8]]
    layer = Image(levels, multiscale=True, scale=(0.2, 0.2), contrast_limits=(0, 255))
    plane = read_plane(layer)
    rows = plane.data.shape[0]
    assert rows == (1024 if side == 4096 else 600)
    result = Image(np.asarray(plane.data), contrast_limits=(0, 255), **placement(layer, plane))
    # The image's outer edges, half a pixel beyond the outer centres, are the same.
    step = np.array(plane.factor)
    for corner, coarse in (((-0.5, -0.5), (-0.5, -0.5)), (fine.shape, plane.data.shape)):
        full = np.array(corner) - (0 if corner[0] < 0 else 0.5)
        part = np.array(coarse) - (0 if coarse[0] < 0 else 0.5)
        np.testing.assert_allclose(result.data_to_world(part), layer.data_to_world(full), atol=1e-9)
    assert tuple(step) == (side / rows, side / rows)


def test_a_region_is_found_through_the_transforms_of_both_layers():
    image = Image(np.zeros((40, 60)), contrast_limits=(0, 1), scale=(2, 2), translate=(5, 5))
    wanted = np.array([[10, 20], [10, 30], [18, 30], [18, 20]])
    world = np.array([image.data_to_world(corner) for corner in wanted])
    shapes = Shapes([world / 0.5], shape_type="rectangle", scale=(0.5, 0.5))
    got = region_outline(shapes, image, read_plane(image))
    np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("selected", "wanted"),
    [(set(), 2), ({0}, 0), ({0, 1}, 1)],
    ids=["none: the last one", "one: that one", "two: the later one"],
)
def test_which_of_several_shapes_counts(selected, wanted):
    image = Image(np.zeros((40, 60)), contrast_limits=(0, 1))
    boxes = [np.array([[0, 0], [0, 5], [5, 5], [5, 0]]) + 8 * i for i in range(3)]
    shapes = Shapes([*boxes, [[0, 0], [9, 9]]], shape_type=["rectangle"] * 3 + ["line"])
    shapes.selected_data = selected
    got = region_outline(shapes, image, read_plane(image))
    np.testing.assert_allclose(got, boxes[wanted])


def test_an_ellipse_is_its_round_outline():
    image = Image(np.zeros((40, 60)), contrast_limits=(0, 1))
    shapes = Shapes([[[0, 0], [0, 20], [10, 20], [10, 0]]], shape_type="ellipse")
    outline = region_outline(shapes, image, read_plane(image))
    on_it = ((outline[:, 0] - 5) / 5) ** 2 + ((outline[:, 1] - 10) / 10) ** 2
    np.testing.assert_allclose(on_it, 1)
