"""Image layers as images, and maps exactly on the layer that they were made of."""

from __future__ import annotations

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels, Points, Shapes, Surface, Vectors

from kinds import image
from napari_clipseg.images.io.layers import placement, read_layer, to_layer_order
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.tiling.planning import make_plan
from seeing import Recorded

RANDOM = np.random.default_rng(0)
TURNED = np.array([[0.9, -0.3, 4], [0.2, 1.1, -7], [0, 0, 1]])
# In three dimensions the first axis, which is left out where it is that of channels, adds to the
# others.
MIXED = np.array([[1, 0, 0, 2], [0.5, 0.9, -0.3, 4], [0, 0.2, 1.1, -7], [0, 0, 0, 1]])


def layer_of(axes, labels=True, **options):
    """A layer with axes of the lengths in `kinds`, named by its labels or not."""
    rgb = "s" in axes
    plain = axes.replace("s", "")
    options = {"contrast_limits": None if rgb else (0, 255)} | options
    if labels is True:
        labels = list(plain)
    return Image(image(axes, "uint8"), rgb=rgb, axis_labels=labels or None, **options)


# name: labels, axes of the image, axes of its planes, channels
LABELS = {
    "rows and columns": ("yx", "yx", "", 1),
    "none": (None, "zyx", "z", 1),
    "none, of four": (None, "tzyx", "tz", 1),
    "none, of five": (None, "tczyx", "tz", 3),
    "channels first": ("cyx", "cyx", "", 3),
    "channels last": ("yxc", "yxc", "", 3),
    "columns first": ("xy", "xy", "", 1),
    "rows first": (("Row", "Depth", "Column"), "yzx", "z", 1),
    "words": (("Time", "channel", "height", "width"), "tcyx", "t", 3),
    "another name": ("pyx", "pyx", "p", 1),
    "of the user's own making": (("a", "b", "c"), "zyx", "z", 1),
    "one number left": (("z", "y", "-1"), "zyx", "z", 1),
    "RGB": ("tyx", "tyxs", "t", 1),
    "RGB, unnamed": (None, "zyxs", "z", 1),
    "RGB with channels": ("cyx", "zyxs", "z", 1),
}


@pytest.mark.parametrize(("labels", "axes", "planes", "channels"), LABELS.values(), ids=LABELS)
def test_labels_name_the_axes_if_rows_and_columns_are_among_them(labels, axes, planes, channels):
    source = as_source(layer_of(axes, labels and list(labels)))
    assert "".join(source.axes) == axes
    assert "".join(source.plane_axes) == planes
    assert source.channels == channels
    pixels = source.open().read(0, (0,) * len(planes), channels=range(channels))
    wanted = image(axes, "uint8")
    places = {name: 0 for name in planes}
    wanted = wanted[tuple(places.get(name, slice(None)) for name in axes)]
    left = [name for name in axes if name not in planes]
    wanted = wanted.transpose([left.index(name) for name in "yxcs" if name in left])
    np.testing.assert_array_equal(pixels, wanted if wanted.ndim == 3 else wanted[..., None])


def test_a_layer_may_have_more_axes_than_an_unnamed_array():
    source = as_source(Image(np.zeros((2, 1, 3, 4, 5, 6)), contrast_limits=(0, 1)))
    assert source.axes == ("axis 0", "t", "c", "z", "y", "x")


def test_a_layer_is_read_as_it_is_shown():
    layer = layer_of("zyx", scale=(3, 0.5, -0.25), units="um", gamma=0.7, name="cells")
    source = as_source(layer)
    assert (source.spacing, source.unit, source.name) == ((0.5, 0.25), "micrometer", "cells")
    assert (source.contrast_limits, source.gamma, source.colormap) == ((0, 255), 0.7, None)


def test_rows_and_columns_have_the_size_of_their_own_axes():
    layer = layer_of("xzy", scale=[2, 7, -3], units=["um", "s", "mm"])
    source = as_source(layer)
    assert source.shape == (8, 18)
    assert (source.spacing, source.unit) == ((3, 2), "millimeter")
    other = as_source(layer, axes="yzx")
    assert other.shape == (18, 8)
    assert (other.spacing, other.unit) == ((2, 3), "micrometer")


# name: transforms of a layer, and where its first pixel lies as far as an OME-Zarr can say it
PLACES = {
    "plain": ({}, (0, 0)),
    "moved": ({"translate": (7, 10, -3), "scale": (1, 0.5, 2)}, (10, -3)),
    "mirrored": ({"translate": (7, 10, -3), "scale": (1, -0.5, 2)}, (0, 0)),
    "turned": ({"translate": (7, 10, -3), "rotate": [0, 0, 30]}, (0, 0)),
    "sheared": ({"translate": (7, 10, -3), "shear": [0, 0, 0.3]}, (0, 0)),
    "affine": ({"translate": (7, 10, -3), "affine": np.diag([1, 2, 1, 1])}, (0, 0)),
}


@pytest.mark.parametrize(("transforms", "place"), PLACES.values(), ids=PLACES)
def test_a_layer_that_is_only_moved_keeps_its_place(transforms, place):
    assert as_source(layer_of("zyx", **transforms)).translation == place


COLORMAPS = {
    "gray": None,
    "gray_r": np.repeat(np.arange(255, -1, -1)[:, None], 3, axis=1),
    "red": np.outer(np.arange(256), [1, 0, 0]),
}


@pytest.mark.parametrize(("name", "wanted"), COLORMAPS.items(), ids=COLORMAPS)
def test_colormaps_are_tables_but_for_gray(name, wanted):
    found = as_source(layer_of("yx", colormap=name)).colormap
    if wanted is None:
        assert found is None
    else:
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, wanted)


def test_rgb_layers_have_neither_limits_nor_gamma_nor_colormap():
    layer = layer_of("yxs", scale=(0.5, 0.5))
    layer.gamma = 0.3  # napari ignores it, too
    source = as_source(layer)
    assert (source.contrast_limits, source.gamma, source.colormap) == (None, 1, None)
    assert source.spacing == (0.5, 0.5)


OTHERS = {
    "Labels": lambda: Labels(np.zeros((4, 5), int)),
    "Points": lambda: Points(np.zeros((3, 2))),
    "Shapes": lambda: Shapes([np.zeros((4, 2))]),
    "Surface": lambda: Surface((np.zeros((3, 2)), np.array([[0, 1, 2]]))),
    "Vectors": lambda: Vectors(np.zeros((1, 2, 2))),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_of_layers_are_refused_with_the_cure(kind):
    layer = OTHERS[kind]()
    says = rf"layer '{layer.name}' is of type {kind}; wanted an Image layer, gray or RGB\. Choose"
    with pytest.raises(TypeError, match=says):
        as_source(layer)


def test_an_empty_layer_is_refused_by_its_name():
    layer = layer_of("yx", name="void")
    blank = SimpleNamespace(
        **{name: getattr(layer, name) for name in ("scale", "translate", "units", "axis_labels")},
        **{name: getattr(layer, name) for name in ("rotate", "shear", "affine", "colormap")},
        **{name: getattr(layer, name) for name in ("contrast_limits", "gamma", "ndim", "name")},
        data=np.zeros((0, 8)),  # napari draws none
        data_to_world=layer.data_to_world,
        multiscale=False,
        rgb=False,
    )
    with pytest.raises(ValueError, match=r"The image 'void' is empty: its shape is \(0, 8\)"):
        as_source(blank)


def test_a_lazy_layer_is_not_read():
    recorded = Recorded(image("zyx", "uint8"))
    recorded.ndim, recorded.size = 3, np.prod(recorded.shape)
    layer = Image(recorded, contrast_limits=(0, 1), multiscale=False)
    recorded.read[:] = False
    as_source(layer)
    assert not recorded.read.any()


def test_only_the_chunks_of_a_layer_that_are_asked_for_are_computed():
    read = []

    def note(block):
        read.append(block.shape)
        return block

    data = da.zeros((3, 50, 60), chunks=(1, 50, 60), dtype=np.uint8)
    layer = Image(data.map_blocks(note, meta=data._meta), contrast_limits=(0, 1))
    read.clear()  # napari itself reads what it shows
    source = as_source(layer)
    assert read == []
    source.open().read(0, (1,))
    assert read == [(1, 50, 60)]


def test_the_levels_of_a_multiscale_layer_are_those_of_the_image():
    fine = image("yx", "uint8")
    source = as_source(Image([fine, fine[::2, ::2]], multiscale=True, contrast_limits=(0, 1)))
    assert len(source.levels) == 2
    assert source.factor(1) == (2, 2)


def test_what_a_layer_says_is_what_a_source_takes():
    known = read_layer(layer_of("cyx"))
    assert known["axes"] == ("c", "y", "x")
    assert set(known) <= set(as_source(layer_of("cyx")).__dataclass_fields__)


# name: axes of the layer, whether its labels name them, its transforms
LAYERS = {
    "plain": ("yx", True, {}),
    "scaled": ("yx", True, {"scale": (0.5, 2), "translate": (10, -3)}),
    "rotated": ("yx", True, {"rotate": 30}),
    "sheared": ("yx", True, {"shear": [0.4], "scale": (2, 3)}),
    "sheared the other way": ("yx", True, {"shear": np.array([[1, 0], [0.4, 1]])}),
    "affine": ("yx", True, {"affine": TURNED}),
    "mirrored": ("yx", True, {"scale": (-1, 2), "rotate": 30}),
    "everything": (
        "yx",
        True,
        {
            "scale": (0.5, 2),
            "translate": (10, -3),
            "rotate": 30,
            "shear": [0.4],
            "affine": TURNED,
            "units": ("nm", "um"),
        },
    ),
    "own labels": ("yx", ["a", "b"], {"scale": (0.3, 0.3), "units": ("um", "um")}),
    "RGB": ("yxs", True, {"scale": (0.5, 2), "rotate": 30}),
    "a stack": ("zyx", False, {"scale": (3, 0.5, 0.5), "translate": (7, 1, 2)}),
    "a stack of RGB": ("tyxs", True, {"scale": (3, 0.5, 0.5)}),
    "stacks": ("tzyx", False, {"scale": (1, 3, 0.5, 0.5), "translate": (0, 1, 2, 3)}),
    "a turned stack": ("zyx", False, {"scale": (3, 1, 1), "rotate": (10, 20, 30)}),
    "a sheared stack": ("zyx", False, {"shear": [0.1, 0.2, 0.3], "translate": (1, 2, 3)}),
    "columns first": ("xy", True, {"scale": (0.5, 2), "rotate": 30, "shear": [0.2]}),
    "rows first": ("yzx", True, {"scale": (3, 4, 5), "rotate": (10, 20, 30)}),
    "channels first": ("cyx", True, {"scale": (7, 0.5, 2), "translate": (9, 1, 2)}),
    "channels between": ("ycx", True, {"scale": (0.5, 7, 2), "translate": (1, 9, 2)}),
    "channels of a stack": ("zcyx", True, {"scale": (2, 7, 3, 4), "rotate": np.eye(4)}),
    "unnamed channels": ("tczyx", False, {"scale": (2, 3, 4, 5, 6)}),
    "channels, affine": ("cyx", True, {"affine": MIXED, "translate": (3, 1, 2)}),
    "channels, turned besides": (
        "cyx",
        True,
        {
            "rotate": [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]],
            "shear": [0, 0, 0.3],
            "scale": (7, 2, 3),
        },
    ),
}
PARTS = {
    "whole": {},
    "a region": {"region": [(2, 3), (6, 14)]},
    "a plane": {"planes": {"t": 1, "z": 3}},
    "every second plane": {"planes": {"z": slice(1, None, 2)}},
    "backwards": {"planes": {"z": slice(None, None, -1)}},
}


# napari shows a plane of a turned stack as if it were not turned, and says so.
@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
@pytest.mark.parametrize(("axes", "labels", "transforms"), LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("options", PARTS.values(), ids=PARTS)
def test_a_map_lies_on_its_layer(axes, labels, transforms, options):
    layer = layer_of(axes, labels, **transforms)
    source = as_source(layer)
    options = dict(options)
    if "planes" in options:
        options["planes"] = {
            name: where for name, where in options["planes"].items() if name in source.plane_axes
        }
    extent = make_plan(source, side=16, **options).extent
    own = [name for name in axes if name not in "cs"]
    data = to_layer_order(np.zeros(extent.shape), source.axes)
    place = placement(layer, extent)
    result = Image(data, contrast_limits=(0, 1), **place)
    assert len(place["scale"]) == len(own) == result.ndim
    all_names = [name for name in axes if name != "s"]
    for _ in range(20):
        at = dict(zip((*source.plane_axes, "y", "x"), RANDOM.uniform(-1, 20, 5), strict=False))
        there = {name: 0.0 for name in all_names}
        for i, name in enumerate(source.plane_axes):
            there[name] = extent.plane_starts[i] + extent.plane_steps[i] * at[name]
        for i, name in enumerate("yx"):
            there[name] = extent.origin[i] + extent.factor[i] * at[name]
        found = result.data_to_world([at[name] for name in own])
        world = dict(
            zip(all_names, layer.data_to_world([there[name] for name in all_names]), strict=True)
        )
        np.testing.assert_allclose(found, [world[name] for name in own], atol=1e-9)
    kept = [all_names.index(name) for name in own]
    assert result.units == tuple(layer.units[i] for i in kept)
    assert result.axis_labels == tuple(layer.axis_labels[i] for i in kept)


@pytest.mark.parametrize("side", [4096, 600], ids=["large", "small"])
def test_a_map_of_a_coarse_level_has_the_outer_edges_of_the_layer(side):
    fine = np.zeros((side, 2 * side), dtype=np.uint8)
    levels = [fine, fine[::2, ::2], fine[::4, ::4], fine[::8, ::8]]
    layer = Image(levels, multiscale=True, scale=(0.2, 0.2), contrast_limits=(0, 255))
    extent = make_plan(as_source(layer), side=64).extent
    assert extent.height == (1024 if side == 4096 else 600)
    assert extent.factor == (side / extent.height, side / extent.height)
    result = Image(np.zeros(extent.shape), contrast_limits=(0, 1), **placement(layer, extent))
    lasts = np.subtract(extent.shape, 0.5), np.subtract(fine.shape, 0.5)
    for part, full in (((-0.5, -0.5), (-0.5, -0.5)), lasts):
        np.testing.assert_allclose(result.data_to_world(part), layer.data_to_world(full), atol=1e-9)


def test_a_layer_that_was_read_with_other_axes_is_placed_with_them():
    layer = layer_of("cyx", labels=False, scale=(7, 0.5, 2))
    source = as_source(layer, axes="cyx")
    extent = make_plan(source, side=16).extent
    place = placement(layer, extent, source.axes)
    np.testing.assert_array_equal(place["scale"], [0.5, 2])
    assert len(place["units"]) == 2


@pytest.mark.parametrize("axes", ["yx", "xy", "xzy", "yxzt", "zcyx", "yxs", "ztyx"])
@pytest.mark.parametrize("leading", [0, 1, 2])
def test_maps_come_into_the_order_of_the_layer(axes, leading):
    source = as_source(image(axes, "uint8"), axes=axes)
    front = (2, 3)[:leading]
    lengths = dict(zip(source.plane_axes, source.planes_shape, strict=True)) | {"y": 8, "x": 18}
    array = RANDOM.random((*front, *source.planes_shape, *source.shape))
    found = to_layer_order(array, source.axes, leading)
    own = [name for name in axes if name not in "cs"]
    assert found.shape == (*front, *(lengths[name] for name in own))
    back = [own.index(name) for name in (*source.plane_axes, "y", "x")]
    np.testing.assert_array_equal(
        found.transpose((*range(leading), *(leading + i for i in back))), array
    )
    assert np.shares_memory(found, array)


def test_lazy_maps_stay_lazy():
    source = as_source(image("xy", "uint8"), axes="xy")
    lazy = to_layer_order(da.zeros((3, 8, 18)), source.axes, 1)
    assert isinstance(lazy, da.Array)
    assert lazy.shape == (3, 18, 8)
