from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import COLOUR, GRAY, dtypes, named
from drawing import examples
from kinds import SIDE, coarser, dask_array, image, layer, ome_zarr, table, zarr_array
from napari_clipseg.images.io.source import as_source
from seeing import Recorded

ROWS = {name: row for name, *row in table()}
WRONG_SHAPE = "wanted (height, width) for gray or (height, width, 3) for RGB"
ONE = np.zeros((8, 18))


def unknown_chunks():
    """A dask array that does not know how many rows it has."""
    import dask.array

    rows = dask.array.ones((8, 18), chunks=(4, 18))
    return rows[dask.array.arange(8, chunks=4) > 2]


BAD = {
    "complex": (np.ones((4, 4), complex), TypeError, "complex128"),
    "object": (np.array([[None]]), TypeError, "object"),
    "text": ([["a"]], TypeError, "<U1"),
    "a file's name": (
        "cells.tif",
        TypeError,
        "Got the text 'cells.tif' for an image; wanted its pixels. Read the file first, such as "
        "with skimage.io.imread('cells.tif').",
    ),
    "a file's path": (Path("cells.tif"), TypeError, "Got the path 'cells.tif' for an image"),
    "the name of an OME-Zarr": ("a.zarr", TypeError, "such as with zarr.open('a.zarr', mode='r')."),
    "file names": (["a.tif", "b.tif"], TypeError, "Got the text 'a.tif' for an image"),
    "dask of unknown size": (
        unknown_chunks(),
        ValueError,
        "The image's shape (nan, 18) is not known; wanted whole numbers. Of a dask array, call "
        "compute_chunk_sizes() first.",
    ),
    "a level of unknown size": ([np.zeros((16, 18)), unknown_chunks()], ValueError, "not known"),
    "dates": (np.zeros((2, 2), "M8[D]"), TypeError, "datetime64"),
    "nothing": (None, TypeError, "object"),
    "a mapping": ({"a": ONE}, TypeError, "type dict; wanted an array, a layer or an OME-Zarr"),
    "a number": (5, ValueError, WRONG_SHAPE),
    "a line": (np.zeros(5), ValueError, WRONG_SHAPE),
    "an empty list": ([], ValueError, WRONG_SHAPE),
    "6 axes": (np.zeros((1, 1, 1, 2, 4, 5)), ValueError, WRONG_SHAPE),
    "no rows": (np.zeros((0, 4)), ValueError, "The image is empty: its shape is (0, 4)"),
    "no columns": (np.zeros((4, 0, 3)), ValueError, "empty"),
    "no planes": (np.zeros((0, 4, 5)), ValueError, "empty"),
    "an empty level": ([ONE, np.zeros((0, 9))], ValueError, "empty"),
    "levels of other axes": ([ONE, np.zeros((2, 4, 9))], ValueError, "as many axes in each"),
    "a list of planes": (
        [ONE, ONE],
        ValueError,
        "Put equal planes into one array with numpy.stack",
    ),
    "growing levels": ([ONE, np.zeros((16, 9))], ValueError, "fewer rows or columns"),
    "a level of fewer channels": (
        [np.zeros((3, 8, 18)), np.zeros((2, 4, 9))],
        ValueError,
        "The levels of the image have 3 and 2 channels; wanted as many in each",
        "cyx",
    ),
    "a level of more channels": (
        [np.zeros((3, 8, 18)), np.zeros((4, 4, 9))],
        ValueError,
        "have 3 and 4 channels",
        "cyx",
    ),
    "a level without colors": (
        [np.zeros((8, 18, 3)), np.zeros((4, 9, 1))],
        ValueError,
        "have 3 and 1 colors; wanted 3 or 4 in each",
        "yxs",
    ),
    "a level of complex numbers": ([ONE, np.ones((4, 9), complex)], TypeError, "complex128"),
}


@pytest.mark.parametrize("image", named(GRAY))
def test_gray_comes_as_it_is(image):
    source = as_source(image)
    assert not source.rgb
    assert source.axes == ("y", "x")
    assert source.shape == image.shape
    assert source.dtype == image.dtype
    pixels = source.open().read(0, ())
    np.testing.assert_array_equal(pixels, image[..., None])
    assert np.shares_memory(pixels, image)


@pytest.mark.parametrize("image", named(COLOUR))
def test_colour_comes_without_transparency(image):
    source = as_source(image)
    assert source.rgb
    assert source.channels == 1
    assert source.shape == image.shape[:2]
    np.testing.assert_array_equal(source.open().read(0, ()), image[..., :3])


def test_lists_are_images_too():
    assert as_source([[1, 2, 3]]).shape == (1, 3)


@pytest.mark.parametrize(
    ("image", "error", "says", "axes"), [(*row, None)[:4] for row in BAD.values()], ids=BAD
)
def test_bad_images_are_refused_with_the_cure(image, error, says, axes):
    with pytest.raises(error) as caught:
        as_source(image, axes=axes)
    assert says in str(caught.value)


def test_a_group_that_is_no_image_is_refused(tmp_path):
    import zarr

    group = zarr.open_group(tmp_path / "plain.zarr")
    group.create_array("image", data=ONE)
    with pytest.raises(TypeError, match=r"type Group; .* Choose one of the arrays in it"):
        as_source(group)
    assert as_source(group["image"]).shape == ONE.shape


@pytest.mark.parametrize("spacing", [(0, 1), (1, -1), (1, np.nan), (np.inf, 1), (1, 1, 1)], ids=str)
def test_spacings_must_be_above_0(spacing):
    with pytest.raises(ValueError, match="wanted height and width of a pixel, above 0"):
        as_source(ONE, spacing=spacing)


@pytest.mark.parametrize(("kind", "axes", "dtype", "planes", "shape", "_"), ROWS.values(), ids=ROWS)
def test_every_kind_says_what_it_is_and_reads_its_planes(
    kind, axes, dtype, planes, shape, _, tmp_path
):
    array = image(axes, dtype)
    given_image, options = kind(array, axes, tmp_path)
    source = as_source(given_image, **options)
    assert source.plane_axes == tuple(planes)
    assert (*source.planes_shape, *source.shape) == shape
    assert source.dtype.newbyteorder("=") == dtype
    assert source.rgb == ("s" in axes or "a" in axes)
    assert source.channels == (3 if "c" in axes else 1)
    last = tuple(n - 1 for n in source.planes_shape)
    pixels = source.open().read(0, last, slice(2, 7), slice(5, 6), channels=range(source.channels))
    colors = next((name for name in "csa" if name in axes), "")
    wanted = image(f"{planes}yx{colors}", dtype)[last][2:7, 5:6]
    np.testing.assert_array_equal(pixels, wanted[..., :3] if colors else wanted[..., None])


@st.composite
def arrays_with_axes(draw):
    """An array of any order of axes and any type, and its names."""
    axes = draw(st.permutations(["y", "x", *draw(st.sets(st.sampled_from("tzcp"), max_size=3))]))
    shape = [draw(st.integers(1, 4)) for _ in axes]
    values = np.arange(np.prod(shape)).reshape(shape)
    return (values % 100).astype(draw(dtypes())), "".join(axes)


@given(arrays_with_axes(), st.data())
def test_any_order_of_axes_is_read_alike(array_and_axes, data):
    array, axes = array_and_axes
    source = as_source(array, axes=axes)
    names = [*source.plane_axes, "y", "x", *("c" * ("c" in axes))]
    ordered = array.transpose([axes.index(name) for name in names])
    if "c" not in axes:
        ordered = ordered[..., None]
    plane = tuple(data.draw(st.integers(0, n - 1)) for n in source.planes_shape)
    channels = data.draw(st.lists(st.integers(0, source.channels - 1), min_size=1, max_size=4))
    if "c" not in axes:
        channels = [0]
    top, left = (data.draw(st.integers(0, n - 1)) for n in source.shape)
    got = source.open().read(0, plane, slice(top, top + 2), slice(left, None), channels)
    wanted = ordered[plane][top : top + 2, left:, channels]
    np.testing.assert_array_equal(got, wanted)
    assert got.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")


@examples(30)
@given(arrays_with_axes(), st.data())
def test_nothing_but_what_is_asked_for_is_read(array_and_axes, data):
    array, axes = array_and_axes
    recorded = Recorded(array)
    source = as_source(recorded, axes=axes)
    assert not recorded.read.any()
    plane = tuple(data.draw(st.integers(0, n - 1)) for n in source.planes_shape)
    source.open().read(0, plane, slice(0, 1), slice(1, 3), [0])
    places = dict(zip(source.plane_axes, plane, strict=True))
    places |= {"y": slice(0, 1), "x": slice(1, 3), "c": 0}
    wanted = np.zeros(array.shape, bool)
    wanted[tuple(places[name] for name in axes)] = True
    np.testing.assert_array_equal(recorded.read, wanted)


def test_of_dask_only_the_blocks_that_are_asked_for_are_computed():
    import dask.array

    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"])
        return np.ones((1, 10, 10))

    lazy = dask.array.map_blocks(block, chunks=((1,) * 4, (10,) * 5, (10,) * 6), dtype=float)
    source = as_source(lazy)
    assert computed == []
    source.open().read(0, (2,), slice(12, 18), slice(5, 25))
    assert sorted(computed) == [(2, 1, 0), (2, 1, 1), (2, 1, 2)]


def test_of_an_open_file_only_what_is_asked_for_is_read(tmp_path):
    xarray = pytest.importorskip("xarray")
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "image.zarr", mode="w")
    group.create_array(
        "image", data=np.ones((4, 20, 20)), chunks=(1, 10, 10), dimension_names="zyx"
    )
    chunks = tmp_path / "image.zarr" / "image" / "c"
    others = [c for c in chunks.rglob("*") if c.is_file() and c != chunks / "2" / "1" / "0"]
    assert len(others) == 15
    for chunk in others:
        chunk.write_bytes(b"damaged: reading it is an error")
    opened = xarray.open_dataset(
        tmp_path / "image.zarr", engine="zarr", chunks=None, consolidated=False
    )
    source = as_source(opened["image"])
    assert (source.open().read(0, (2,), slice(10, 20), slice(0, 10)) == 1).all()


def test_a_level_may_be_without_transparency():
    source = as_source([np.zeros((8, 18, 4)), np.ones((4, 9, 3))], axes="yxs")
    assert source.open().read(1, ()).shape == (4, 9, 3)


def masked(values, *where):
    mask = np.zeros(np.shape(values), bool)
    mask[where] = True
    return np.ma.array(values, mask=mask)


def lazily_masked(values, *where):
    import dask.array

    chunks = tuple(max(1, n // 2) for n in np.shape(values))
    return dask.array.from_array(masked(values, *where), chunks=chunks)


MASKED = {"numpy": masked, "dask": lazily_masked}


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int64", "float16", "float64"])
@pytest.mark.parametrize("make", MASKED.values(), ids=MASKED)
def test_what_is_masked_is_not_finite(make, dtype):
    values = (np.arange(8 * 18).reshape(8, 18) % 100).astype(dtype)
    given_image = make(values, slice(2, 5), slice(3, 9))
    source = as_source(given_image)
    assert source.dtype == dtype
    pixels = source.open().read(0, (), slice(1, 7), slice(2, None))[..., 0]
    missing = np.zeros((8, 18), bool)
    missing[2:5, 3:9] = True
    np.testing.assert_array_equal(np.isnan(pixels), missing[1:7, 2:])
    np.testing.assert_array_equal(pixels, np.where(missing, np.nan, values)[1:7, 2:])


def test_a_masked_array_without_a_masked_pixel_is_that_array():
    image = np.arange(40, dtype=np.uint8).reshape(5, 8)
    pixels = as_source(np.ma.array(image)).open().read(0, ())
    assert pixels.dtype == np.uint8
    assert as_source(np.ma.array(image)).in_memory
    assert type(pixels) is np.ndarray


LEVELED = {
    "arrays": lambda a: [a, a[:, ::2, ::2]],
    "a tuple": lambda a: (a, a[:, ::2, ::2]),
    "fewer planes, too": lambda a: [a, a[::2, ::2, ::2]],
    "dask": lambda a: [dask_array(a), dask_array(a[:, ::2, ::2])],
    "different libraries": lambda a: [zarr_array(a), np.array(a[:, ::2, ::2])],
}


@pytest.mark.parametrize("make", LEVELED.values(), ids=LEVELED)
def test_levels(make):
    array = image("zyx", "uint16")
    source = as_source(make(array))
    assert len(source.levels) == 2
    assert source.shape_of(1) == (4, 9)
    assert source.factor(1) == (2, 2)
    assert source.planes_shape == (5,)
    np.testing.assert_array_equal(source.open().read(0, (4,)), array[4, ..., None])
    np.testing.assert_array_equal(source.open().read(1, (4,)), array[4, ::2, ::2, None])


def test_levels_of_odd_sizes_have_the_same_outer_edges():
    source = as_source([np.zeros((9, 5)), np.zeros((5, 3)), np.zeros((3, 3))])
    assert source.factor(1) == (9 / 5, 5 / 3)
    assert source.factor(2) == (3, 5 / 3)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_knows_its_pixels(version):
    source = as_source(ome_zarr(image("tczyx", "uint8"), "tczyx", version))
    assert (source.spacing, source.unit) == ((0.5, 0.5), "micrometer")
    assert source.factor(1) == (2, 2)


@pytest.mark.parametrize("translation", [(1,), (np.nan, 1), (1, np.inf)], ids=str)
def test_translations_are_two_finite_numbers(translation):
    with pytest.raises(ValueError, match="wanted the row and column of the first pixel, in units"):
        as_source(ONE, translation=translation)


@pytest.mark.parametrize("limits", [(2, 1), (np.nan, 1), (0, np.inf), (1,), (1, 2, 3)], ids=str)
def test_contrast_limits_are_two_finite_values(limits):
    with pytest.raises(ValueError, match=r"Got the contrast limits .*; wanted two finite values"):
        as_source(ONE, contrast_limits=limits)
    assert as_source(ONE, contrast_limits=(1, 1)).contrast_limits == (1, 1)


def test_what_the_caller_says_wins():
    shown = layer(image("tyx", "uint16"), "tyx")
    source = as_source(
        shown,
        axes="zyx",
        contrast_limits=(3, 4),
        spacing=(2, 2),
        translation=(5, 6),
        unit="parsec",
    )
    assert source.axes == ("z", "y", "x")
    assert source.contrast_limits == (3, 4)
    assert (source.spacing, source.translation, source.unit) == ((2, 2), (5, 6), "parsec")
    assert as_source(np.zeros((4, 5, 3)), rgb=False).plane_axes == ("z",)


def test_a_source_is_one_already():
    known = as_source(
        layer(image("cyx", "uint16"), "cyx"), contrast_limits=(3, 4), spacing=(2, 2), unit="m"
    )
    again = as_source(known)
    assert vars(again) == vars(known)
    other = as_source(known, axes="zyx", unit="mm")
    assert (other.axes, other.unit, other.spacing) == (("z", "y", "x"), "mm", (2, 2))


def test_a_source_holds_nothing_of_what_was_read():
    import dask.array

    source = as_source(dask.array.ones((40, 60), chunks=(20, 20)))
    before = dict(vars(source))
    with source.open() as reader:
        reader.read(0, ())
        assert sum(blocks.nbytes for blocks in reader._blocks) == 40 * 60 * 8
    assert vars(source) == before
    assert sum(blocks.nbytes for blocks in reader._blocks) == 0
    with pytest.raises(ValueError, match="The image was closed"):
        reader.read(0, ())
    assert source.open().read(0, ()).all()


def test_a_reader_is_closed_when_a_run_fails():
    source = as_source(dask_array(ONE))
    with pytest.raises(KeyError), source.open() as reader:
        raise KeyError
    with pytest.raises(ValueError, match=r"Open it again: source\.open\(\)"):
        reader.read(0, ())


@pytest.mark.parametrize(
    ("make", "in_memory"),
    [
        (lambda a, _: a, True),
        (lambda a, _: a.tolist(), True),
        (lambda a, _: dask_array(a), False),
        (lambda a, _: zarr_array(a), False),
        (lambda a, path: np.memmap(path, a.dtype, "w+", shape=a.shape), False),
        (lambda a, _: [dask_array(a), coarser(a, "yx")], False),
    ],
    ids=["numpy", "list", "dask", "zarr", "memory map", "only the coarse level"],
)
def test_what_costs_nothing_to_read(make, in_memory, tmp_path):
    array = image("yx", "uint8")
    assert as_source(make(array, tmp_path / "map")).in_memory == in_memory


def test_making_a_source_imports_none_of_the_libraries():
    import subprocess

    code = (
        "import sys, numpy, napari_clipseg.images.io.source as s; s.as_source(numpy.ones((3, 4))); "
        "print(sorted({'dask', 'zarr', 'xarray', 'napari', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_kinds_are_as_many_as_were_asked_for():
    assert len(ROWS) >= 60
    assert SIDE**2 == 8 * 18
