"""Files as napari layers and back, by the functions that the manifest names."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas
import pytest
import tifffile
from napari.layers import Image, Labels, Layer

from exported import CASES, STACK, TWO, made_of, written
from napari_clipseg import Recipe, write
from napari_clipseg.cache import content_digest
from napari_clipseg.files.formats import read_layers, recipe_of
from napari_clipseg.files.formats.layers import get_reader, write_layer, write_map_layer
from napari_clipseg.files.formats.records import read_record
from napari_clipseg.images.io.layers import to_layer_order
from napari_clipseg.results import DIGEST

# What may be lost on the way: axes and their order, units, tables, types.
KINDS = (
    "2-D",
    "a stack in time",
    "an image with channels",
    "no objects",
    "anisotropic pixels",
    "an unknown unit",
    "names that XML lacks",
    "several prompts",
    "labels of prompts",
    "a region",
    "a level of odd size",
    "planes backwards",
    "an axis of another name",
)
RESULTS = pytest.mark.parametrize("result", [CASES[kind] for kind in KINDS], ids=KINDS)
LABELS = ["labels-tiff", "labels-zarr", "labels-zarr-0.4"]
MAPS = ["probability-tiff", "probability-zarr", "probability-zarr-0.4"]


@RESULTS
@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back_as_labels(name, result, tmp_path):
    ((data, options, kind),) = read_layers(written(name, result, tmp_path))
    layer = Layer.create(data, options, kind)
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, to_layer_order(result.labels, result.axes))
    assert Recipe.of(layer) == result.recipe
    table = pandas.DataFrame(result.objects)
    if len(table):
        assert layer.features.to_dict("list") == table.to_dict("list")
    y = layer.axis_labels.index("y")
    assert (layer.scale[y], layer.translate[y]) == (
        result.extent.spacing[0],
        result.extent.place[0],
    )


@RESULTS
@pytest.mark.parametrize("name", MAPS)
def test_maps_come_back_as_images(name, result, tmp_path):
    found = read_layers(written(name, result, tmp_path))
    assert len(found) == len(result.probability)
    for (data, options, kind), wanted in zip(found, result.probability, strict=True):
        layer = Layer.create(data, options, kind)
        assert isinstance(layer, Image)
        np.testing.assert_array_equal(layer.data, to_layer_order(wanted, result.axes))
        assert Recipe.of(layer) == result.recipe


def test_units_and_places_of_layers(tmp_path):
    result = made_of(
        STACK,
        prompts=("a", "b"),
        spacing=(0.5, 0.25),
        unit="um",
        origin=(2.0, 4.0),
        translation=(10.0, 20.0),
        planes=((3,), (5,), (7,)),
    )
    ((data, options, kind),) = read_layers(written("labels-tiff", result, tmp_path))
    layer = Layer.create(data, options, kind)
    assert [str(unit) for unit in layer.units] == ["pixel", "micrometer", "micrometer"]
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.25))
    np.testing.assert_allclose(layer.translate, (3, 11, 21))


@pytest.mark.parametrize("name", ["a.labels.ome.tif", "a.probability.ome.tif", "a.labels.ome.zarr"])
def test_files_of_ours_are_read(name, tmp_path):
    (path,) = write(CASES["2-D"], tmp_path / name)
    assert get_reader(str(path)) is read_layers


def test_files_of_others_are_left_to_others(tmp_path):
    tiff, text, folder = (tmp_path / name for name in ("a.labels.ome.tif", "b.tif", "c"))
    tifffile.imwrite(tiff, TWO.astype(np.uint8), ome=True)
    text.write_text("II*\0 is how a TIFF starts")
    folder.mkdir()
    (table, record) = write(CASES["2-D"], tmp_path / "cells.csv")
    record.unlink()
    for path in (tiff, text, folder, table, tmp_path / "nothing.tif"):
        assert get_reader(str(path)) is None
    assert get_reader([str(tiff), str(tiff)]) is None


def test_a_reader_says_what_it_cannot_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", TWO)
    with pytest.raises(ValueError, match=r"^a\.tif has no recipe"):
        read_layers(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.geojson", "a.csv", "a.coco.json"])
def test_a_file_without_pixels_is_no_layer(name, tmp_path):
    path, *_ = write(CASES["2-D"], tmp_path / name)
    assert get_reader(str(path)) is None
    with pytest.raises(ValueError, match=f"^{name} holds neither labels nor maps; wanted an OME-"):
        read_layers(path)


# -- layers saved


def layers_of(result):
    """The result's maps and labels as napari hands them to a writer."""
    return [Layer.create(*one).as_layer_data_tuple() for one in result.to_layers()]


@RESULTS
def test_a_saved_layer_is_what_we_write(result, tmp_path):
    *_, (data, attributes, _) = layers_of(result)
    (saved,) = write_layer(str(tmp_path / "layer.labels.ome.tif"), data, attributes)
    (direct,) = write(result, tmp_path / "result.labels.ome.tif")
    np.testing.assert_array_equal(tifffile.imread(saved), tifffile.imread(direct))
    assert recipe_of(saved) == result.recipe
    one, other = read_layers(saved)[0][1]["features"], read_layers(direct)[0][1]["features"]
    assert list(one) == list(other)
    for name, column in other.items():
        np.testing.assert_array_equal(one[name], column)
    assert not {"layer_id", "source_id", "digest", "role"} & set(read_record(tmp_path / saved))


@pytest.mark.parametrize(
    "name", ["a.labels.ome.zarr", "a.roi.zip", "a.geojson", "a.coco.json", "a.csv", "a.parquet"]
)
def test_a_labels_layer_in_any_format_of_labels(name, tmp_path):
    *_, (data, attributes, _) = layers_of(CASES["a stack"])
    saved = write_layer(str(tmp_path / name), data, attributes)
    assert recipe_of(saved[0]) == CASES["a stack"].recipe


def test_a_saved_map_knows_its_prompt(tmp_path):
    result = CASES["several prompts"]
    _, (data, attributes, _), _ = layers_of(result)
    (saved,) = write_map_layer(str(tmp_path / "b.probability.ome.tif"), data, attributes)
    ((again, options, _),) = read_layers(saved)
    np.testing.assert_array_equal(again, result.probability[1])
    assert options["metadata"]["napari_clipseg"]["prompt"] == "b"
    assert recipe_of(saved) == result.recipe
    # And once more, from the layer that was read.
    layer = Layer.create(again, options, "image").as_layer_data_tuple()
    (twice,) = write_map_layer(str(tmp_path / "c.probability.ome.tif"), *layer[:2])
    np.testing.assert_array_equal(read_layers(twice)[0][0], result.probability[1])


@pytest.mark.parametrize("instances", [True, False])
def test_labels_that_were_edited_are_measured_anew(instances, tmp_path):
    result = made_of(TWO, prompts=("a", "b"), instances=instances)
    *_, (data, attributes, _) = layers_of(result)
    attributes["metadata"]["napari_clipseg"][DIGEST] = content_digest(data).hex()
    data = data.copy()
    data[data == 1] = 0
    data[3, 3:] = 9  # a label of no prompt
    (saved,) = write_layer(str(tmp_path / "a.labels.ome.tif"), data, attributes)
    ((again, options, _),) = read_layers(saved)
    np.testing.assert_array_equal(again, data)
    table = pandas.DataFrame(options["features"]).set_index("index")
    assert sorted(table.index) == [label for label in np.unique(data) if label]
    assert table.loc[9, "area"] == 2
    assert table.loc[9, "prompt"] == ""
    assert table.loc[2, "prompt"] == "b"
    assert read_record(tmp_path / saved)["edited"] is True


@pytest.mark.parametrize("write_one", [write_layer, write_map_layer])
def test_layers_of_others_are_refused(write_one, tmp_path):
    data, attributes, _ = Labels(TWO, name="mine").as_layer_data_tuple()
    with pytest.raises(ValueError, match=r"^The layer 'mine' has no recipe; wanted one that"):
        write_one(str(tmp_path / "a.labels.ome.tif"), data, attributes)
    assert list(tmp_path.iterdir()) == []


def test_the_functions_of_the_manifest_import_neither_torch_nor_napari():
    code = (
        "import sys, napari_clipseg.files.formats.layers; "
        "sys.exit(bool({'torch', 'napari', 'qtpy', 'zarr', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_list_of_formats_is_there_at_once():
    code = (
        "import sys; from napari_clipseg.files.formats import FORMATS, DEFAULT_FORMATS; "
        "sys.exit(bool({'numpy', 'skimage', 'torch'} & set(sys.modules)) or not FORMATS)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
