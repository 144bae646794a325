from __future__ import annotations

import pytest

from napari_clipseg.images.io.axes import name_axes, plane_axes

GRAY, COLOUR = (8, 18), (8, 18, 3)
NAMED = {
    "letters": ("tzyx", (2, 5, 8, 18), "tzyx"),
    "a sequence": (["z", "y", "x"], (5, 8, 18), "zyx"),
    "upper case": ("TCZYX", (2, 3, 5, 8, 18), "tczyx"),
    "words": (["Time", "Channel", "Height", "Width"], (2, 3, 8, 18), "tcyx"),
    "other words": (["frames", "plane", "rows", "columns"], (2, 5, 8, 18), "tzyx"),
    "columns before rows": ("xy", (18, 8), "xy"),
    "colors first": ("syx", (4, 8, 18), "syx"),
    "colors by name": (["row", "col", "rgb"], COLOUR, "yxs"),
    "channels last, three of them": ("yxc", COLOUR, "yxc"),
    "more axes than five": ("abtczyx", (1, 1, 2, 3, 5, 8, 18), "abtczyx"),
}
UNNAMED = {
    "gray": (GRAY, None, "yx"),
    "a stack": ((5, 8, 18), None, "zyx"),
    "4D": ((2, 5, 8, 18), None, "tzyx"),
    "5D": ((2, 3, 5, 8, 18), None, "tczyx"),
    "RGB": (COLOUR, None, "yxs"),
    "RGBA": ((8, 18, 4), None, "yxs"),
    "a stack of RGB": ((5, 8, 18, 3), None, "zyxs"),
    "three columns, said to be no colors": (COLOUR, False, "zyx"),
    "colors, as was said": (COLOUR, True, "yxs"),
    "two columns of gray": ((8, 3), None, "yx"),
}
BAD = {
    "too few names": ("yx", (5, 8, 18), None, "Got 2 names 'yx'"),
    "too many names": ("tzyx", (5, 8, 18), None, "wanted 3"),
    "a name twice": ("yyx", (5, 8, 18), None, "Got the axes 'yyx'; wanted different names"),
    "a name and its synonym": (["y", "row", "x"], (5, 8, 18), None, "wanted different names"),
    "no rows": ("zx", GRAY, None, "'y' for rows and 'x' for columns"),
    "no columns": (["lat", "y"], GRAY, None, "Got the axes ('lat', 'y')"),
    "two colors": (
        "yxs",
        (8, 18, 2),
        None,
        "length 3 (RGB) or 4 (RGBA). Name an axis of channels",
    ),
    "colors and channels": ("cyxs", (2, 8, 18, 3), None, "not both"),
    "a number": (None, (), None, "The image has shape ()"),
    "a line": (None, (5,), None, "wanted (height, width) for gray"),
    "six axes": (None, (1,) * 6, None, "Name the axes of others, such as axes='tzyx'"),
    "a line of colors": (None, (4, 3), True, "The image has shape (4, 3)"),
    "colors of length 7": (None, (4, 5, 7), True, "wanted an axis of colors 's', of length 3"),
}


@pytest.mark.parametrize(("names", "shape", "wanted"), NAMED.values(), ids=NAMED)
def test_names_are_understood(names, shape, wanted):
    assert name_axes(names, shape) == tuple(wanted)


@pytest.mark.parametrize(("shape", "rgb", "wanted"), UNNAMED.values(), ids=UNNAMED)
def test_axes_without_names_have_the_order_of_ome_zarr(shape, rgb, wanted):
    assert name_axes(None, shape, rgb) == tuple(wanted)


def test_other_names_are_kept():
    names = ["Position", "y", "x"]
    assert name_axes(names, (2, 8, 18)) == ("position", "y", "x")


@pytest.mark.parametrize(("names", "shape", "rgb", "says"), BAD.values(), ids=BAD)
def test_names_that_do_not_fit_are_refused_with_the_cure(names, shape, rgb, says):
    with pytest.raises(ValueError, match=r"wanted") as caught:
        name_axes(names, shape, rgb)
    assert says in str(caught.value)


def test_planes_lie_along_all_other_axes():
    assert plane_axes(tuple("ptczyx")) == ("p", "t", "z")
    assert plane_axes(tuple("yxs")) == ()
