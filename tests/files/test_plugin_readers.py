"""Images that readers of napari plugins open: axes, levels, sizes, and errors."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import dask.array
import numpy as np
import pytest
from npe2 import DynamicPlugin, PluginManager

from napari_clipseg.files.failures import explain
from napari_clipseg.files.inputs import find_inputs
from napari_clipseg.files.plugin_readers import source_of_layers
from napari_clipseg.files.readers import read_image

YX = np.zeros((20, 30), np.uint8)
ZYX = np.zeros((4, 20, 30), np.uint16)
CZYX = np.zeros((2, 4, 20, 30), np.uint16)
COARSE = np.zeros((10, 15), np.uint8)


class Micron:
    """A unit that is no text, as pint's are."""

    def __str__(self) -> str:
        return "micrometer"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, npe2pm):
    monkeypatch.chdir(tmp_path)
    Path("a.czi").write_bytes(b"ZISRAWFILE")


@contextmanager
def plugin(layers, name="czi-reader", pattern="*.czi"):
    """A plugin whose reader gives these layers, raises an error, or refuses the file."""

    def read(path):
        if isinstance(layers, Exception):
            raise layers
        return layers

    def get_reader(path):
        return None if layers is None else read

    with DynamicPlugin(name, plugin_manager=PluginManager.instance()) as made:
        made.contribute.reader(get_reader, filename_patterns=[pattern])
        yield


@pytest.mark.parametrize(
    ("layer", "axes", "spacing", "translation", "unit"),
    [
        pytest.param((YX,), "yx", (1, 1), (0, 0), "pixel", id="data alone"),
        pytest.param((ZYX, {}), "zyx", (1, 1), (0, 0), "pixel", id="data and no type"),
        pytest.param((dask.array.from_array(ZYX), {}, "image"), "zyx", (1, 1), (0, 0), "pixel"),
        pytest.param((ZYX, None, "Image"), "zyx", (1, 1), (0, 0), "pixel", id="no arguments"),
        pytest.param(
            (ZYX, {"scale": (2, 0.5, 0.25), "translate": (9, 3, 4), "units": "um"}, "image"),
            "zyx",
            (0.5, 0.25),
            (3, 4),
            "micrometer",
            id="scale, translate and one unit",
        ),
        pytest.param(
            (ZYX, {"scale": (0.5, 0.25), "units": (Micron(), Micron())}, "image"),
            "zyx",
            (0.5, 0.25),
            (0, 0),
            "micrometer",
            id="of the last axes",
        ),
        pytest.param(
            (ZYX, {"axis_labels": ("T", "Y", "X"), "units": ("s", "nm", "nm")}, "image"),
            "tyx",
            (1, 1),
            (0, 0),
            "pixel",
            id="axis labels; a unit without a scale",
        ),
        pytest.param(
            (ZYX, {"axis_labels": ("a", "b", "c")}, "image"), "zyx", (1, 1), (0, 0), "pixel"
        ),
        pytest.param(
            (CZYX, {"channel_axis": 0, "scale": (2, 0.5, 0.25)}, "image"),
            "czyx",
            (0.5, 0.25),
            (0, 0),
            "pixel",
            id="a channel axis",
        ),
        pytest.param(
            (CZYX, {"channel_axis": -3, "scale": (2, 1, 0.5, 0.25)}, "image"),
            "zcyx",
            (0.5, 0.25),
            (0, 0),
            "pixel",
            id="a channel axis that has a scale",
        ),
        pytest.param(
            (CZYX, {"channel_axis": 1, "axis_labels": ("t", "y", "x")}, "image"),
            "tcyx",
            (1, 1),
            (0, 0),
            "pixel",
            id="a channel axis and labels",
        ),
        pytest.param(
            (CZYX, {"axis_labels": ("c", "z", "y", "x"), "scale": (1, 2, 3, 4)}, "image"),
            "czyx",
            (3, 4),
            (0, 0),
            "pixel",
            id="channels among the labels",
        ),
        pytest.param((np.zeros((20, 30, 3)), {}), "yxs", (1, 1), (0, 0), "pixel", id="colors"),
        pytest.param(
            (np.zeros((5, 20, 3)), {"rgb": False}), "zyx", (1, 1), (0, 0), "pixel", id="no colors"
        ),
        pytest.param(
            (np.zeros((2, 20, 30, 4)), {"rgb": True, "axis_labels": ("z", "y", "x")}),
            "zyxs",
            (1, 1),
            (0, 0),
            "pixel",
            id="labels without that of colors",
        ),
        pytest.param(
            (np.zeros((2, 2, 2, 2, 20, 30)), {}),
            ("axis 0", *"tczyx"),
            (1, 1),
            (0, 0),
            "pixel",
            id="six axes",
        ),
        pytest.param(
            (YX, {"scale": (np.nan, 0.5), "translate": "?"}), "yx", (1, 1), (0, 0), "pixel"
        ),
    ],
)
def test_images_of_a_reader(layer, axes, spacing, translation, unit):
    with plugin([layer]):
        source = read_image(Path("a.czi"))
    assert source.axes == tuple(axes)
    assert (source.spacing, source.translation, source.unit) == (spacing, translation, unit)
    assert source.name == "a.czi"
    assert source.levels[0] is layer[0]


@pytest.mark.parametrize(
    ("data", "options", "shapes"),
    [
        pytest.param([YX, COARSE], {"multiscale": True}, [(20, 30), (10, 15)], id="levels"),
        pytest.param((YX, COARSE), {}, [(20, 30), (10, 15)], id="levels of different shapes"),
        pytest.param([YX], {}, [(20, 30)], id="one level"),
        pytest.param([YX, YX], {}, [(2, 20, 30)], id="planes of one shape"),
    ],
)
def test_levels_of_a_reader(data, options, shapes):
    source = source_of_layers([(data, options, "image")])
    assert [level.shape for level in source.levels] == shapes


def test_the_first_image_is_taken():
    layers = [(YX, {}, "labels"), (None,), (ZYX, {}, "image"), (YX, {}, "image")]
    assert source_of_layers(layers).axes == ("z", "y", "x")


def test_the_next_reader_is_asked_and_one_for_any_file_last():
    with plugin([(np.zeros((7, 7)), {})], "any-reader", "*"):
        assert read_image(Path("a.czi")).shape == (7, 7)
        broken = plugin(RuntimeError("no such scene"), "broken-reader")
        with broken, plugin([(YX, {})], "good-reader"):
            assert read_image(Path("a.czi")).shape == (20, 30)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        pytest.param(RuntimeError("no such scene."), "open it: no such scene)", id="raises"),
        pytest.param(AssertionError(), "open it: AssertionError)", id="raises without a word"),
        pytest.param([(YX, {}, "labels")], "open it: it gives no image, but labels)", id="labels"),
        pytest.param([(None,)], "open it: it gives no image, but image)", id="nothing"),
        pytest.param([], "returned no data)", id="an empty list"),
        pytest.param(None, "open it: Reader 'czi-reader", id="refuses"),
        pytest.param([(np.zeros(9), {})], "The image has shape (9,)", id="one axis"),
        pytest.param([(YX.astype(complex), {})], "values of type complex", id="complex numbers"),
    ],
)
def test_what_a_reader_cannot_do(layers, said):
    with plugin(layers), pytest.raises(ValueError, match=r"no reader for \.czi takes it") as error:
        read_image(Path("a.czi"))
    assert "(the napari plugin 'czi-reader' could not open it: " in str(error.value)
    assert said in str(error.value)
    assert explain(error.value)[1].startswith("Update the plugin, or save it as OME-TIFF")


@pytest.mark.parametrize("error", [PermissionError("locked"), MemoryError("too large")], ids=str)
def test_what_has_a_cure_of_its_own_is_passed_on(error):
    with plugin(error), pytest.raises(type(error), match=str(error)):
        read_image(Path("a.czi"))


def test_without_a_reader_the_cure_is_named():
    with pytest.raises(ValueError, match=r"no reader for \.czi takes it\. Wanted .tif") as error:
        read_image(Path("a.czi"))
    assert explain(error.value)[1] == (
        "Install a napari plugin that reads .czi, or save it as OME-TIFF, such as with Fiji."
    )


def test_readers_of_napari_and_our_own_are_not_asked():
    with plugin([(YX, {})], "napari"), plugin([(YX, {})], "napari-clipseg"):
        assert find_inputs(["."]).left_out == {".czi": 1}
        with pytest.raises(ValueError, match=r"no reader for \.czi takes it\. Wanted"):
            read_image(Path("a.czi"))


def test_in_folders_files_of_microscopes_count_where_a_plugin_reads_them():
    for name in ("a.tif", "b.ND2", "notes.txt"):
        Path(name).touch()

    def found(given):
        inputs = find_inputs([given])
        return [one.path.name for one in inputs.images], dict(inputs.left_out)

    assert found(".") == (["a.tif"], {".czi": 1, ".nd2": 1, ".txt": 1})
    with plugin([(YX, {})], pattern="*.nd2"):
        assert found(".") == (["a.tif", "b.ND2"], {".czi": 1, ".txt": 1})
        assert found("*.*") == (["a.tif", "b.ND2"], {".czi": 1, ".txt": 1})
    with plugin([(YX, {})], pattern="*"):  # notes are no images, whatever a reader claims
        assert found(".") == (["a.czi", "a.tif", "b.ND2"], {".txt": 1})
