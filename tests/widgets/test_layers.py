"""Where results lie: exactly on the image that they were made of."""

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_clipseg.images.tiling.planning import make_plan
from napari_clipseg.results import Labelling, Segmentation
from napari_clipseg.widgets.layers import placement, read_layer, region_outlines

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


def result_of(image, planes=None, **choices):
    """What a run of an image gives, without its map."""
    plan = make_plan(image.source, side=64, planes=planes, **choices)
    return plan, Segmentation(
        None,
        Labelling(0.5),
        ("dog",),
        "",
        planes=plan.planes,
        origin=plan.origin,
        factor=plan.factor,
    )


def corners(shape):
    return [(0, 0), (0, shape[1] - 1), (shape[0] - 1, 0), (shape[0] - 1, shape[1] - 1)]


@pytest.mark.parametrize("arguments", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("rgb", [False, True], ids=["gray", "rgb"])
def test_a_result_lies_on_its_image(arguments, rgb):
    data = RANDOM.integers(0, 255, (20, 30, 3) if rgb else (20, 30), dtype=np.uint8)
    layer = Image(data, rgb=rgb, **arguments)
    image = read_layer(layer)
    np.testing.assert_array_equal(image.source.read(0, ()), data if rgb else data[..., None])
    assert image.source.rgb == rgb
    _, found = result_of(image)
    result = Image(np.zeros((20, 30)), contrast_limits=(0, 1), **placement(layer, found))
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
    image = read_layer(layer, layer.data_to_world((*index, 10, 15)))
    assert image.shown == index
    plan, found = result_of(image, image.shown_planes)
    np.testing.assert_array_equal(image.source.read(0, plan.planes[0])[..., 0], data[index])
    assert plan.shape == (1, *(1 for _ in index), 20, 30)
    result = Image(np.zeros(plan.shape[1:]), contrast_limits=(0, 1), **placement(layer, found))
    for corner in corners((20, 30)):
        np.testing.assert_allclose(
            result.data_to_world((*(0 for _ in index), *corner)),
            layer.data_to_world((*index, *corner)),
            atol=1e-9,
        )


def test_all_planes_of_a_stack_lie_on_it():
    data = RANDOM.integers(0, 255, (4, 5, 20, 30), dtype=np.uint8)
    layer = Image(data, scale=(1, 3, 0.5, 0.5), translate=(0, 1, 2, 3), contrast_limits=(0, 255))
    plan, found = result_of(read_layer(layer, (0, 0, 0, 0)))
    assert plan.shape == (1, 4, 5, 20, 30)
    result = Image(np.zeros(plan.shape[1:]), contrast_limits=(0, 1), **placement(layer, found))
    for corner in ((0, 0, 0, 0), (3, 4, 19, 29)):
        np.testing.assert_allclose(result.data_to_world(corner), layer.data_to_world(corner))


def test_a_position_outside_the_stack_means_its_nearest_plane():
    layer = Image(np.zeros((5, 8, 8)), contrast_limits=(0, 1))
    assert read_layer(layer, (99, 0, 0)).shown == (4,)
    assert read_layer(layer, (-99, 0, 0)).shown == (0,)


def test_lazy_data_is_read_by_the_worker_alone():
    read = []

    def note(block):
        read.append(block.shape)
        return block

    data = da.zeros((3, 50, 60), chunks=(1, 50, 60), dtype=np.uint8)
    layer = Image(data.map_blocks(note, meta=data._meta), contrast_limits=(0, 1))
    read.clear()  # napari itself reads what it shows
    image = read_layer(layer, (1, 0, 0))
    assert read == []
    image.source.read(0, image.shown)
    assert read == [(1, 50, 60)]


def test_an_empty_layer_is_refused():
    empty = SimpleNamespace(name="void", ndim=2, data=np.zeros((0, 8)))  # napari draws none
    with pytest.raises(ValueError, match=r"'void' has shape \(0, 8\).*at least one pixel"):
        read_layer(empty)


@pytest.mark.parametrize("side", [4096, 600], ids=["large", "small"])
def test_a_multiscale_image_is_read_where_it_is_fine_enough(side):
    fine = np.zeros((side, 2 * side), dtype=np.uint8)
    fine[side // 4 : side // 2, side : side + side // 2] = 255
    levels = [fine, fine[::2, ::2], fine[::4, ::4], fine[::8, ::8]]
    layer = Image(levels, multiscale=True, scale=(0.2, 0.2), contrast_limits=(0, 255))
    plan, found = result_of(read_layer(layer))
    rows, columns = plan.shape[1:]
    assert rows == (1024 if side == 4096 else 600)
    result = Image(np.zeros((rows, columns)), contrast_limits=(0, 1), **placement(layer, found))
    # The image's outer edges, half a pixel beyond the outer centres, are the same.
    for corner, coarse in (((-0.5, -0.5), (-0.5, -0.5)), (fine.shape, (rows, columns))):
        full = np.array(corner) - (0 if corner[0] < 0 else 0.5)
        part = np.array(coarse) - (0 if coarse[0] < 0 else 0.5)
        np.testing.assert_allclose(result.data_to_world(part), layer.data_to_world(full), atol=1e-9)
    assert found.factor == (side / rows, side / rows)


def test_a_region_is_found_through_the_transforms_of_both_layers():
    image = Image(np.zeros((40, 60)), contrast_limits=(0, 1), scale=(2, 2), translate=(5, 5))
    wanted = np.array([[10, 20], [10, 30], [18, 30], [18, 20]])
    world = np.array([image.data_to_world(corner) for corner in wanted])
    shapes = Shapes([world / 0.5], shape_type="rectangle", scale=(0.5, 0.5))
    (got,) = region_outlines(shapes, image)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("selected", "wanted"),
    [(set(), [2]), ({0}, [0]), ({0, 1}, [0, 1]), ({1, 3}, [1]), ({3}, [2])],
    ids=["none: the last one", "one: that one", "two: both", "a line, too", "a line alone"],
)
def test_which_of_several_shapes_count(selected, wanted):
    image = Image(np.zeros((40, 60)), contrast_limits=(0, 1))
    boxes = [np.array([[0, 0], [0, 5], [5, 5], [5, 0]]) + 8 * i for i in range(3)]
    shapes = Shapes([*boxes, [[0, 0], [9, 9]]], shape_type=["rectangle"] * 3 + ["line"])
    shapes.selected_data = selected
    got = region_outlines(shapes, image)
    np.testing.assert_allclose(got, [boxes[i] for i in wanted])


def test_an_ellipse_is_its_round_outline():
    image = Image(np.zeros((40, 60)), contrast_limits=(0, 1))
    shapes = Shapes([[[0, 0], [0, 20], [10, 20], [10, 0]]], shape_type="ellipse")
    (outline,) = region_outlines(shapes, image)
    on_it = ((outline[:, 0] - 5) / 5) ** 2 + ((outline[:, 1] - 10) / 10) ** 2
    np.testing.assert_allclose(on_it, 1)
