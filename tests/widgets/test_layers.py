"""Where results lie: exactly on the image that they were made of."""

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Layer, Shapes

from napari_clipseg import Recipe, plan, preview, segment
from napari_clipseg.images.io.source import as_source
from napari_clipseg.widgets.layers import region_outlines, shown_planes
from seeing import Seeing, brightness

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


def result_on(layer, **fields):
    """The labels of a run, as a layer; the engine answers with what it sees."""
    result = segment(layer, "x", model=Seeing(24), **fields)
    return result, Layer.create(*result.to_layers(layer)[-1])


def corners(shape):
    return [(0, 0), (0, shape[1] - 1), (shape[0] - 1, 0), (shape[0] - 1, shape[1] - 1)]


@pytest.mark.parametrize("arguments", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("rgb", [False, True], ids=["gray", "rgb"])
def test_a_result_lies_on_its_image(arguments, rgb):
    data = RANDOM.integers(0, 255, (20, 30, 3) if rgb else (20, 30), dtype=np.uint8)
    layer = Image(data, rgb=rgb, **arguments)
    _, result = result_on(layer)
    assert result.data.shape == (20, 30)
    for corner in corners((20, 30)):
        np.testing.assert_allclose(
            result.data_to_world(corner), layer.data_to_world(corner), atol=1e-9
        )
    assert result.units == layer.units
    assert result.axis_labels == layer.axis_labels


# As many pixels as the model's square has: it sees them as they are.
STACKS = {
    "z": {"shape": (5, 18, 32), "scale": (3, 0.5, 0.5), "translate": (7, 1, 2)},
    "t, z": {"shape": (4, 5, 18, 32), "scale": (1, 3, 0.5, 0.5)},
    "turned": {"shape": (5, 18, 32), "scale": (3, 1, 1), "rotate": (10, 20, 30)},
    "sheared": {"shape": (5, 18, 32), "shear": [0.1, 0.2, 0.3], "translate": (1, 2, 3)},
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
    planes = shown_planes(layer, layer.data_to_world((*index, 10, 15)))
    assert tuple(planes.values()) == index
    made, result = result_on(layer, planes=planes)
    assert result.data.shape == (*(1 for _ in index), 18, 32)
    seen = brightness(made.probability[0].reshape(18, 32))
    np.testing.assert_allclose(seen, data[index], atol=0.02)
    for corner in corners((18, 32)):
        np.testing.assert_allclose(
            result.data_to_world((*(0 for _ in index), *corner)),
            layer.data_to_world((*index, *corner)),
            atol=1e-9,
        )


def test_all_planes_of_a_stack_lie_on_it():
    data = RANDOM.integers(0, 255, (4, 5, 20, 30), dtype=np.uint8)
    layer = Image(data, scale=(1, 3, 0.5, 0.5), translate=(0, 1, 2, 3), contrast_limits=(0, 255))
    _, result = result_on(layer)
    assert result.data.shape == (4, 5, 20, 30)
    for corner in ((0, 0, 0, 0), (3, 4, 19, 29)):
        np.testing.assert_allclose(result.data_to_world(corner), layer.data_to_world(corner))


def test_a_position_outside_the_stack_means_its_nearest_plane():
    layer = Image(np.zeros((5, 8, 8)), contrast_limits=(0, 1))
    assert shown_planes(layer, (99, 0, 0)) == {"z": 4}
    assert shown_planes(layer, (-99, 0, 0)) == {"z": 0}


def test_lazy_data_is_read_by_the_worker_alone():
    read = []

    def note(block):
        read.append(block.shape)
        return block

    data = da.zeros((3, 50, 60), chunks=(1, 50, 60), dtype=np.uint8)
    layer = Image(data.map_blocks(note, meta=data._meta), contrast_limits=(0, 1))
    read.clear()  # napari itself reads what it shows
    planes = shown_planes(layer, (1, 0, 0))
    assert read == []
    segment(layer, "x", model=Seeing(), planes=planes)
    assert set(read) == {(1, 50, 60)}


@pytest.mark.parametrize("side", [4096, 600], ids=["large", "small"])
def test_a_multiscale_image_is_read_where_it_is_fine_enough(side):
    fine = np.zeros((side, 2 * side), dtype=np.uint8)
    fine[side // 4 : side // 2, side : side + side // 2] = 255
    levels = [fine, fine[::2, ::2], fine[::4, ::4], fine[::8, ::8]]
    layer = Image(levels, multiscale=True, scale=(0.2, 0.2), contrast_limits=(0, 255))
    made, result = result_on(layer)
    rows, columns = result.data.shape
    assert rows == (1024 if side == 4096 else 600)
    # The image's outer edges, half a pixel beyond the outer centres, are the same.
    for corner, coarse in (((-0.5, -0.5), (-0.5, -0.5)), (fine.shape, (rows, columns))):
        full = np.array(corner) - (0 if corner[0] < 0 else 0.5)
        part = np.array(coarse) - (0 if coarse[0] < 0 else 0.5)
        np.testing.assert_allclose(result.data_to_world(part), layer.data_to_world(full), atol=1e-9)
    assert made.extent.factor == (side / rows, side / rows)


# One reader

NOISE = RANDOM.integers(0, 256, (3, 40, 60), dtype=np.uint8)
# name: data, arguments of the layer, shape of the labels
READ = {
    "plain": (NOISE[0], {"contrast_limits": (20, 200)}, (40, 60)),
    "gamma": (NOISE[0], {"contrast_limits": (0, 255), "gamma": 0.5}, (40, 60)),
    "inverted": (NOISE[0], {"contrast_limits": (0, 255), "colormap": "gray_r"}, (40, 60)),
    "a colormap": (NOISE[0], {"contrast_limits": (0, 99), "colormap": "magenta"}, (40, 60)),
    "channels": (NOISE, {"contrast_limits": (0, 255), "axis_labels": ("c", "y", "x")}, (40, 60)),
    "channels in the middle": (
        NOISE.transpose(1, 0, 2),
        {"contrast_limits": (0, 255), "axis_labels": ("y", "channel", "x"), "scale": (2, 1, 3)},
        (40, 60),
    ),
    "transposed": (
        NOISE[0].T,
        {"contrast_limits": (0, 255), "axis_labels": ("x", "y"), "scale": (3, 2)},
        (60, 40),
    ),
    "planes last": (
        NOISE.transpose(1, 2, 0),
        {"contrast_limits": (0, 255), "axis_labels": ("y", "x", "z"), "rgb": False},
        (40, 60, 1),
    ),
    "all of it": (
        NOISE,
        {
            "contrast_limits": (10, 180),
            "gamma": 1.4,
            "colormap": "gray_r",
            "axis_labels": ("z", "x", "y"),
            "scale": (5, 0.5, 0.25),
            "units": ("um", "nm", "nm"),
        },
        (1, 40, 60),
    ),
}


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
@pytest.mark.parametrize(("data", "arguments", "shape"), READ.values(), ids=READ)
def test_the_dock_and_segment_show_the_model_the_same_image(
    viewer, dock, run, data, arguments, shape, monkeypatch
):
    from napari_clipseg.engine.engine import Engine

    layer = viewer.add_image(data, name="cells", **arguments)
    if arguments.get("axis_labels") == ("y", "x", "z"):
        viewer.dims.order = (2, 0, 1)  # else the viewer shows it from another side
    dock.run_options.detail.value = "fine"
    # The speed is known: else an image is encoded to measure it.
    monkeypatch.setattr("napari_clipseg.files.estimate.seconds_of_tile", lambda *_: 0.01)
    seen, encode = [], Engine.encode
    monkeypatch.setattr(
        Engine, "encode", lambda self, x, **options: seen.extend(x) or encode(self, x, **options)
    )
    run(text="nuclei")
    by_dock = list(seen)
    seen.clear()
    labels = viewer.layers[-1]
    recipe = Recipe.of(labels)
    by_segment = segment(
        layer,
        "nuclei",
        model=dock.model.value,
        detail="fine",
        planes=recipe.planes,
        refine_edges=True,
    )
    assert len(by_dock) == len(seen) == plan(layer, recipe).tile_count
    for number, (one, other) in enumerate(zip(by_dock, seen, strict=True)):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, preview(layer, recipe, tile=number))
    assert labels.data.shape == shape
    np.testing.assert_array_equal(by_segment.to_layers(layer)[-1][0], labels.data)
    # What the model sees is what napari shows.
    assert as_source(layer).gamma == layer.gamma
    for axis in range(labels.ndim):
        assert labels.units[axis] in layer.units


def test_what_the_model_sees_is_what_napari_shows():
    ramp = np.linspace(0, 200, 64 * 64).reshape(64, 64)
    layer = Image(ramp, contrast_limits=(50, 150), gamma=0.6, colormap="gray_r")
    shown = np.clip((ramp - 50) / 100, 0, 1) ** 0.6
    wanted = np.asarray(layer.colormap.map(shown.ravel()))[:, :3].reshape(64, 64, 3) * 255
    seen = preview(layer, model=Seeing(64))
    np.testing.assert_allclose(seen.astype(float), wanted, atol=1.01)


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
