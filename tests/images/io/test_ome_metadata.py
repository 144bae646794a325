"""OME-Zarr metadata as others write it: legal but rare, damaged, or hostile."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from drawing import examples
from napari_clipseg.images.io.source import as_source

CURE = "Repair the metadata, or open one of the group's arrays, such as group['0']."
MULTISCALE = {
    "axes": [
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ],
    "datasets": [
        {
            "path": "0",
            "coordinateTransformations": [
                {"type": "scale", "scale": [2, 0.5, 0.25]},
                {"type": "translation", "translation": [0, 10, 20]},
            ],
        }
    ],
}


def group_of(attributes, shape=(2, 8, 18)):
    group = zarr.open_group(zarr.storage.MemoryStore())
    group.create_array("0", data=np.zeros(shape, np.uint8))
    group.create_array("scales", data=np.array([2, 0.5, 0.25]))
    group.create_array("places", data=np.array([0.0, 10.0, 20.0]))
    group.create_group("nested")
    group.attrs.update(attributes)
    return group


def changed(*path, to=None, delete=False):
    """The metadata above with one entry changed or deleted."""
    image = copy.deepcopy(MULTISCALE)
    *above, last = path
    place = image
    for key in above:
        place = place[key]
    if delete:
        del place[last]
    else:
        place[last] = to
    return {"multiscales": [image]}


STEPS = ("datasets", 0, "coordinateTransformations")
IDENTITY = {"type": "identity"}
RARE = {
    "as most write it": (changed("version", to="0.4"), (0.5, 0.25), (10, 20)),
    "vectors in arrays": (
        changed(
            *STEPS,
            to=[{"type": "scale", "path": "scales"}, {"type": "translation", "path": "places"}],
        ),
        (0.5, 0.25),
        (10, 20),
    ),
    "an identity": (changed(*STEPS, to=[IDENTITY]), (1, 1), (0, 0)),
    "no transformations": (changed(*STEPS, delete=True), (1, 1), (0, 0)),
    "null for transformations": (changed(*STEPS, to=None), (1, 1), (0, 0)),
    "null for those of the image": (
        changed("coordinateTransformations", to=None),
        (0.5, 0.25),
        (10, 20),
    ),
    "ome is null beside metadata of version 0.4": (
        {"ome": None, **changed("version", to="0.4")},
        (0.5, 0.25),
        (10, 20),
    ),
    "metadata of version 0.5": (
        {"ome": {"version": "0.5", **changed("name", to="a")}},
        (0.5, 0.25),
        (10, 20),
    ),
    "a unit of null": (changed("axes", 1, "unit", to=None), (0.5, 0.25), (10, 20)),
}


@pytest.mark.parametrize(("attributes", "spacing", "translation"), RARE.values(), ids=RARE)
def test_rare_metadata_are_read(attributes, spacing, translation):
    source = as_source(group_of(attributes))
    assert source.axes == ("z", "y", "x")
    assert (source.spacing, source.translation) == (spacing, translation)


BAD = {
    "ome is a text": ({"ome": "0.5"}, "ome is '0.5'; wanted a mapping with the entry multiscales"),
    "ome is null": ({"ome": None}, "ome is None; wanted a mapping with the entry multiscales"),
    "multiscales are a mapping": ({"multiscales": {"a": 1}}, "multiscales is {'a': 1}; wanted a"),
    "multiscales of numbers": ({"multiscales": [5]}, "multiscales[0] is 5; wanted a mapping"),
    "no datasets": (changed("datasets", delete=True), "multiscales[0].datasets is missing; wanted"),
    "empty datasets": (changed("datasets", to=[]), "multiscales[0].datasets is []; wanted a list"),
    "null for datasets": (changed("datasets", to=None), "datasets is None; wanted a list"),
    "a dataset of text": (changed("datasets", 0, to="0"), "datasets[0] is '0'; wanted a mapping"),
    "no path": (
        changed("datasets", 0, "path", delete=True),
        "multiscales[0].datasets[0].path is missing; wanted the name of an array in the group",
    ),
    "a path that is not there": (
        changed("datasets", 0, "path", to="7"),
        "multiscales[0].datasets[0].path is '7'; wanted the name of an array in the group",
    ),
    "a number for a path": (changed("datasets", 0, "path", to=0), "datasets[0].path is 0; wanted"),
    "a path to a group": (changed("datasets", 0, "path", to="nested"), "path is 'nested'; wanted"),
    "a path out of the group": (changed("datasets", 0, "path", to="../0"), "path is '../0'; want"),
    "an absolute path": (changed("datasets", 0, "path", to="/etc"), "path is '/etc'; wanted"),
    "an empty path": (changed("datasets", 0, "path", to=""), "path is ''; wanted the name of"),
    "axes of numbers": (changed("axes", 0, to=3), "multiscales[0].axes[0] is 3; wanted a name"),
    "an axis without a name": (
        changed("axes", 0, "name", delete=True),
        "multiscales[0].axes[0].name is missing; wanted a text",
    ),
    "null for axes": (changed("axes", to=None), "multiscales[0].axes is None; wanted a list"),
    "no axes in 3D": (
        changed("axes", delete=True),
        "multiscales[0].axes is missing; wanted the names of the 3 axes of the array '0'",
    ),
    "too few axes": (
        changed("axes", to=["y", "x"]),
        "multiscales[0].axes is ['y', 'x']; wanted the names of the 3 axes of the array '0'",
    ),
    "a unit of numbers": (changed("axes", 1, "unit", to=5), "axes[1].unit is 5; wanted a text"),
    "a text for transformations": (changed(*STEPS, to="scale"), "is 'scale'; wanted a list"),
    "null for a transformation": (
        changed(*STEPS, 0, to=None),
        "datasets[0].coordinateTransformations[0] is None; wanted a mapping",
    ),
    "no type": (
        changed(*STEPS, 0, "type", delete=True),
        "coordinateTransformations[0].type is missing; wanted identity, scale or translation",
    ),
    "another type": (
        changed(*STEPS, 0, "type", to="rotation"),
        "coordinateTransformations[0].type is 'rotation'; wanted identity, scale or translation",
    ),
    "a scale without values": (
        changed(*STEPS, 0, to={"type": "scale"}),
        "coordinateTransformations[0].scale is missing; wanted 3 finite numbers",
    ),
    "null for a scale": (changed(*STEPS, 0, "scale", to=None), ".scale is None; wanted 3 finite"),
    "a short scale": (changed(*STEPS, 0, "scale", to=[1, 2]), ".scale is [1, 2]; wanted 3 finite"),
    "a scale of texts": (changed(*STEPS, 0, "scale", to=["a"] * 3), "['a', 'a', 'a']; wanted 3"),
    "a scale of 0": (
        changed(*STEPS, 0, "scale", to=[1, 0, 1]),
        "[0].scale is [1, 0, 1]; wanted 3 finite numbers, above 0",
    ),
    "a scale below 0": (
        changed(*STEPS, 0, "scale", to=[1, 1, -1]),
        "numbers, above 0 for rows and columns.",
    ),
    "a translation of null": (
        changed(*STEPS, 1, "translation", to=[0, None, 0]),
        "coordinateTransformations[1].translation is [0, None, 0]; wanted 3 finite numbers",
    ),
    "a vector in an array that is not there": (
        changed(*STEPS, 0, to={"type": "scale", "path": "no"}),
        "coordinateTransformations[0].path is 'no'; wanted the name of an array in the group",
    ),
    "a vector in an array of another size": (
        changed(*STEPS, 0, to={"type": "scale", "path": "0"}),
        "coordinateTransformations[0].path is '0'; wanted 3 finite numbers, above 0",
    ),
}


@pytest.mark.parametrize(("attributes", "says"), BAD.values(), ids=BAD)
def test_bad_metadata_are_refused_by_the_name_of_the_field(attributes, says):
    with pytest.raises(ValueError, match="OME-Zarr") as caught:
        as_source(group_of(attributes))
    assert says in str(caught.value)
    assert str(caught.value).endswith(CURE)


def test_names_that_the_caller_gives_stand_for_missing_ones():
    group = group_of(changed("axes", delete=True))
    source = as_source(group, axes="tyx")
    assert (source.axes, source.spacing, source.unit) == (("t", "y", "x"), (0.5, 0.25), "pixel")
    # ... and they say which scale is that of the rows.
    assert as_source(group_of(changed("name", to="a")), axes="yzx").spacing == (2, 0.25)


def test_a_long_value_is_shown_in_part():
    with pytest.raises(ValueError, match="OME-Zarr") as caught:
        as_source(group_of(changed("datasets", to="a" * 10_000)))
    assert len(str(caught.value)) < 400


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
PLACES = [
    ("axes",),
    ("axes", 1),
    ("axes", 1, "name"),
    ("axes", 1, "unit"),
    ("datasets",),
    ("datasets", 0),
    ("datasets", 0, "path"),
    STEPS,
    (*STEPS, 0),
    (*STEPS, 0, "type"),
    (*STEPS, 0, "scale"),
    (*STEPS, 0, "path"),
    (*STEPS, 1, "translation"),
    ("coordinateTransformations",),
    ("name",),
]


@examples(200)
@given(st.sampled_from(PLACES), values)
def test_any_value_anywhere_is_read_or_refused_with_the_cure(path, value):
    group = group_of({})
    attributes = changed(*path, to=value)
    try:
        group.attrs.update(attributes)
    except (ValueError, TypeError, UnicodeEncodeError):
        return  # zarr cannot write it
    try:
        said = str(as_source(group).axes)
    except ValueError as error:
        said = str(error)
    ends = (CURE, "among them, such as 'yx', 'zyx' or 'tczyx'.", "'y', 'x')")
    assert said.endswith(ends)
