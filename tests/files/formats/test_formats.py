"""Each format, read back by its field's own reader."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import dask.array
import numpy as np
import pytest
import roifile
import shapely
import tifffile
import zarr
from hypothesis import given
from pycocotools.coco import COCO

from drawing import examples
from exported import (
    BUSY,
    CASES,
    RING,
    STACK,
    filled,
    image_of,
    made_of,
    on_map,
    small_labels,
    table_read,
    written,
)
from napari_clipseg.files.formats import FORMATS, recipe_of
from napari_clipseg.images.labels.storage import label_dtype
from napari_clipseg.results import Segmentation

# It takes arrays of NumPy in the manner before NumPy 2.
PYCOCOTOOLS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RESULTS = pytest.mark.parametrize("result", CASES.values(), ids=CASES)


# The other cases are read below, each by what reads its format.
KINDS = ("2-D", "a stack in time", "no objects", "names that XML lacks", "labels of prompts")


@pytest.mark.parametrize("result", [CASES[kind] for kind in KINDS], ids=KINDS)
@pytest.mark.parametrize("name", FORMATS)
def test_any_output_alone_has_the_recipe(name, result, tmp_path):
    path = written(name, result, tmp_path, image=image_of(result))
    assert recipe_of(path) == result.recipe


# -- OME-TIFF


@RESULTS
def test_labels_as_tiff(result, tmp_path):
    path = written("labels-tiff", result, tmp_path)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        page = tiff.pages.first
        assert page.is_tiled
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        (series,) = tiff.series
        assert series.dtype == np.uint16
        labels = series.asarray()
        letters = [name.upper() for name in result.extent.axes if name in "tz"]
        own = dict(zip("YX", result.extent.spacing, strict=True))
        about = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    np.testing.assert_array_equal(labels.reshape(result.labels.shape), result.labels)
    if labels.shape == result.labels.shape and letters:
        assert series.axes == "".join([*letters, "Y", "X"])
    for axis, length in own.items():
        assert about[f"PhysicalSize{axis}"] == length


UNITS = {
    "anisotropic pixels": "µm",
    "nanometers": "nm",
    "an unknown unit": "reference frame",
    "2-D": "pixel",
}


@pytest.mark.parametrize(("case", "symbol"), UNITS.items())
def test_the_unit_of_a_tiff(case, symbol, tmp_path):
    path = written("labels-tiff", CASES[case], tmp_path)
    with tifffile.TiffFile(path) as tiff:
        about = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert about["PhysicalSizeXUnit"] == about["PhysicalSizeYUnit"] == symbol


@RESULTS
def test_probability_as_tiff(result, tmp_path):
    path = written("probability-tiff", result, tmp_path)
    with tifffile.TiffFile(path) as tiff:
        (series,) = tiff.series
        maps = series.asarray()
        channels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]["Channel"]
    assert maps.dtype == np.float32
    planes = len(result.extent.planes_shape)
    maps = maps.reshape(*result.labels.shape[:-2], -1, *result.labels.shape[-2:])
    np.testing.assert_array_equal(np.moveaxis(maps, planes, 0), result.probability)
    names = [one["Name"] for one in (channels if isinstance(channels, list) else [channels])]
    wanted = [*result.prompt_names, *(f"not {name}" for name in result.recipe.negative_names)]
    assert names == [name.replace("\a", "\ufffd").replace('"', "'") for name in wanted]


@pytest.mark.parametrize(
    ("dtype", "stored"), [("float32", "f4"), ("float16", "f4"), ("uint8", "u1")]
)
def test_the_type_of_maps_in_a_tiff(dtype, stored, tmp_path):
    result = CASES["2-D"]
    maps = (result.probability * (255 if dtype == "uint8" else 1)).astype(dtype)
    other = Segmentation(maps, 0.5, result.recipe, result.extent)
    found = tifffile.imread(written("probability-tiff", other, tmp_path))
    assert found.dtype == stored
    np.testing.assert_array_equal(found, maps)


def test_a_large_tiff_is_a_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_clipseg.files.formats.tiff.BIG", 1000)
    path = written("labels-tiff", CASES["wider than a tile"], tmp_path)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        assert tiff.pages.first.tags["ImageDescription"].value.startswith("<?xml")
    np.testing.assert_array_equal(tifffile.imread(path), CASES["wider than a tile"].labels)


# -- OME-Zarr


def multiscale(path):
    """What a group says of its image, by the version of the format."""
    group = zarr.open_group(path, mode="r")
    attributes = dict(group.attrs)
    old = group.metadata.zarr_format == 2
    holder = attributes if old else attributes["ome"]
    (image,) = holder["multiscales"]
    assert (image if old else holder)["version"] == ("0.4" if old else "0.5")
    return group, holder, image


ZARRS = pytest.mark.parametrize("version", ["", "-0.4"], ids=["0.5", "0.4"])


@ZARRS
@RESULTS
def test_labels_as_zarr(result, version, tmp_path):
    group, holder, image = multiscale(written(f"labels-zarr{version}", result, tmp_path))
    names = [one["name"] for one in image["axes"]]
    assert sorted(names) == sorted((*result.extent.axes, "y", "x"))
    assert names[-2:] == ["y", "x"]
    level = group["0"]
    assert level.dtype == np.uint16
    labels = level[:]
    if result is CASES["planes backwards"]:
        labels = labels[::-1]  # readers expect steps above 0
    np.testing.assert_array_equal(labels, result.labels)
    scale, translation = image["datasets"][0]["coordinateTransformations"]
    assert tuple(scale["scale"][-2:]) == result.extent.spacing
    assert tuple(translation["translation"][-2:]) == result.extent.place
    if version:
        assert level.metadata.dimension_separator == "/"
    else:
        assert list(level.metadata.dimension_names) == names
    _check_image_label(holder["image-label"], result, version)


def _check_image_label(about, result, version):
    """What the specification asks of labels (sections "labels" of 0.4 and 0.5)."""
    assert about["version"] == ("0.4" if version else "0.5")
    present = [label for label in np.unique(result.labels).tolist() if label]
    assert ("colors" in about) == ("properties" in about) == bool(present)
    for entry in ("colors", "properties"):
        assert [one["label-value"] for one in about.get(entry, [])] == present
        assert all(type(one["label-value"]) is int for one in about.get(entry, []))
    for one in about.get("colors", []):
        assert len(one["rgba"]) == 4
        assert all(0 <= value <= 255 for value in one["rgba"])
    columns = {name: one.tolist() for name, one in result.objects.items()}
    for i, row in enumerate(about.get("properties", [])):
        assert row["prompt"] == columns["prompt"][i]
        assert row["area"] == columns["area"][i]


@pytest.mark.parametrize("source", ["images/cells.ome.zarr", "images/cells.tif"])
def test_labels_name_an_image_that_is_a_zarr(source, tmp_path):
    image = tmp_path / source
    image.parent.mkdir()
    if image.suffix == ".zarr":
        zarr.create_group(image, attributes={"x": 1})
    path = tmp_path / "out.labels.ome.zarr"
    FORMATS["labels-zarr"].write(CASES["2-D"], path, source=image)
    about = dict(zarr.open_group(path, mode="r").attrs)
    wanted = {"image": "../images/cells.ome.zarr"} if image.suffix == ".zarr" else None
    assert about["ome"]["image-label"].get("source") == wanted
    assert about["napari_clipseg"]["source"] == image.name


@ZARRS
@RESULTS
def test_probability_as_zarr(result, version, tmp_path):
    group, holder, image = multiscale(written(f"probability-zarr{version}", result, tmp_path))
    names = [one["name"] for one in image["axes"]]
    maps = np.moveaxis(group["0"][:], names.index("c"), 0)
    if result is CASES["planes backwards"]:
        maps = maps[:, ::-1]
    np.testing.assert_array_equal(maps, result.probability)
    channels = holder["omero"]["channels"]
    wanted = [*result.prompt_names, *(f"not {name}" for name in result.recipe.negative_names)]
    assert [one["label"] for one in channels] == wanted
    assert all(len(one["color"]) == 6 for one in channels)


def test_levels_of_labels_hold_no_mean_of_labels(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_clipseg.images.io.ome_zarr.SMALLEST", 64)
    result = made_of(np.kron([[1, 0], [0, 2]], np.ones((75, 50), int)), prompts=("a", "b"))
    group, _, image = multiscale(written("labels-zarr", result, tmp_path))
    levels = [group[one["path"]][:] for one in image["datasets"]]
    assert [level.shape for level in levels] == [(150, 100), (75, 50), (38, 25)]
    for level in levels:
        assert set(np.unique(level)) == {0, 1, 2}
        assert (level[0, 0], level[-1, -1], level[0, -1]) == (1, 2, 0)


# -- more labels than 16 bits tell apart


class Many:
    """A result with labels up to 70,000, whose table would take long to measure."""

    def __init__(self, step):
        labels = np.arange(280 * 251, dtype=np.int32)
        self.labels = np.where(labels % step == 70_000 % step, labels, 0).reshape(280, 251)

    recipe = CASES["2-D"].recipe.replace(prompts=["a"])
    extent = made_of(np.zeros((280, 251))).extent
    axes = ("y", "x")

    @property
    def objects(self):
        index = np.unique(self.labels)[1:]
        ones = np.ones(len(index))
        return {"index": index, "prompt": np.full(len(index), "a"), "mean_probability": ones}

    def record(self, dtype):
        return {**CASES["2-D"].record(dtype), "extent": self.extent.to_dict()}


@pytest.mark.parametrize(
    ("name", "step"),
    # The properties of 70,000 labels are 20 MB of JSON.
    [("labels-tiff", 1), ("coco", 10), ("labels-zarr", 100), ("labels-zarr-0.4", 100)],
)
def test_70_000_labels(name, step, tmp_path):
    result = Many(step)
    path = written(name, result, tmp_path)
    if name == "labels-tiff":
        found = tifffile.imread(path)
    elif name == "coco":
        found = np.zeros(result.labels.shape, np.uint32).ravel(order="F")
        for one in json.loads(path.read_text())["annotations"]:
            found[one["segmentation"]["counts"][0]] = one["label"]
        found = found.reshape(result.labels.shape, order="F")
    else:
        found = zarr.open_group(path, mode="r")["0"][:]
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, result.labels)


@pytest.mark.parametrize(
    ("most", "dtype"), [(0, "u2"), (65_535, "u2"), (65_536, "u4"), (2**31 - 1, "u4")]
)
def test_the_type_of_labels(most, dtype):
    assert label_dtype(np.array([[0, most]], np.int32)) == dtype


# -- tables


@RESULTS
@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_tables(name, result, tmp_path):
    found = table_read(name, written(name, result, tmp_path))
    assert list(found) == list(result.objects)
    for column, values in result.objects.items():
        if len(values):
            assert found[column].tolist() == values.tolist()
    assert len(found) == len(result.objects["index"])


# -- outlines and masks


def labels_of_geojson(path, result):
    """The labels of each plane, by shapely."""
    values = json.loads(path.read_text())
    assert values["type"] == "FeatureCollection"
    found = np.zeros_like(result.labels)
    for feature in values["features"]:
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        at = feature["properties"].get("planes", {})
        number = result.extent.planes.index(tuple(at.values()))
        where = np.unravel_index(number, result.extent.planes_shape) if at else ()
        moved = shapely.transform(shape, lambda corners: on_map(corners, result.extent))
        rows, columns = np.indices(result.labels.shape[-2:]) + 0.5
        inside = shapely.contains_xy(moved, columns, rows)
        assert not found[where][inside].any()
        found[where][inside] = feature["properties"]["label"]
        assert moved.area == inside.sum()
    return found


def labels_of_rois(path, result):
    """The labels of each plane, by roifile."""
    found = np.zeros_like(result.labels)
    if not zipfile.ZipFile(path).namelist():
        return found
    stem = {}
    for roi in roifile.roiread(str(path)):
        rings = [on_map(ring, result.extent) for ring in roi.coordinates(multi=True)]
        inside = filled(result.labels.shape[-2:], rings)
        if roi.position:
            number = [plane[0] for plane in result.extent.planes].index(roi.position - 1)
        elif roi.z_position:
            at = (roi.t_position - 1, roi.z_position - 1)
            number = result.extent.planes.index(at)
        else:
            number = 0
        planes = result.extent.planes_shape
        where = np.unravel_index(number, planes) if planes else ()
        label = int(roi.props.splitlines()[0].removeprefix("label: "))
        assert not found[where][inside].any()
        found[where][inside] = label
        corners = np.concatenate(roi.coordinates(multi=True))
        assert roi.left <= corners[:, 0].min()
        assert roi.bottom >= corners[:, 1].max()
        stem[label] = roi.name
    prompts = dict(
        zip(result.objects["index"].tolist(), result.objects["prompt"].tolist(), strict=True)
    )
    wanted = {label: f"{name} {label}" for label, name in prompts.items()}
    assert stem == {label: name.replace("🔬", "\ufffd") for label, name in wanted.items()}
    return found


def labels_of_coco(path, result):
    """The labels of each plane, by pycocotools."""
    coco = COCO(str(path))
    found = np.zeros_like(result.labels).reshape(-1, *result.labels.shape[-2:])
    for number, plane in enumerate(coco.loadImgs(coco.getImgIds())):
        assert (plane["height"], plane["width"]) == found.shape[1:]
        for one in coco.loadAnns(coco.getAnnIds(plane["id"])):
            mask = coco.annToMask(one).astype(bool)
            assert one["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert one["bbox"] == box
            (category,) = coco.loadCats(one["category_id"])
            row = result.objects["index"].tolist().index(one["label"])
            assert category["name"] == result.objects["prompt"][row]
            found[number][mask] = one["label"]
    return found.reshape(result.labels.shape)


@RESULTS
def test_outlines_as_geojson(result, tmp_path):
    path = written("geojson", result, tmp_path)
    np.testing.assert_array_equal(labels_of_geojson(path, result), result.labels)


@RESULTS
def test_outlines_as_rois(result, tmp_path):
    path = written("roi-zip", result, tmp_path)
    np.testing.assert_array_equal(labels_of_rois(path, result), result.labels)


@PYCOCOTOOLS
@RESULTS
def test_masks_as_coco(result, tmp_path):
    path = written("coco", result, tmp_path)
    np.testing.assert_array_equal(labels_of_coco(path, result), result.labels)


READ_BACK = {"geojson": labels_of_geojson, "roi-zip": labels_of_rois, "coco": labels_of_coco}


class Drawn:
    """A result with any labels."""

    axes = ("y", "x")

    def __init__(self, labels):
        self.labels = labels
        self.recipe = CASES["2-D"].recipe
        self.extent = made_of(labels > 0).extent

    @property
    def objects(self):
        index = np.unique(self.labels[self.labels > 0])
        prompts = np.array(["a", "b"])[index % 2]
        return {"index": index, "prompt": prompts, "mean_probability": index / 1e6}

    def record(self, dtype):
        return CASES["2-D"].record(dtype)


@PYCOCOTOOLS
@examples(30)
@given(small_labels())
def test_any_labels_come_back_from_outlines_and_masks(labels):
    result = Drawn(labels)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        for name, read in READ_BACK.items():
            path = Path(folder) / f"cells{FORMATS[name].suffix}"
            FORMATS[name].write(result, path)
            np.testing.assert_array_equal(read(path, result), labels, err_msg=name)


def test_outlines_far_from_the_corner_of_the_image(tmp_path):
    result = made_of(RING, origin=(40_000.0, 1_000_000.0))
    path = written("roi-zip", result, tmp_path)
    (roi,) = roifile.roiread(str(path))
    rings = [on_map(ring, result.extent) for ring in roi.coordinates(multi=True)]
    np.testing.assert_array_equal(filled(RING.shape, rings), RING)
    assert min(ring.min() for ring in roi.coordinates(multi=True)) == 40_001


def test_what_qupath_reads_of_a_feature(tmp_path):
    result = CASES["a stack in time"]
    path = written("geojson", result, tmp_path, image=image_of(result))
    feature = json.loads(path.read_text())["features"][-1]
    assert (
        feature["geometry"]["plane"] == {"c": -1, "z": 2, "t": 1}
        or feature["geometry"]["plane"]["t"] == 1
    )
    properties = feature["properties"]
    assert properties["objectType"] == "detection"
    assert properties["classification"] == {"name": "b", "color": [0, 255, 0]} or properties[
        "classification"
    ] == {"name": "a", "color": [255, 0, 255]}
    assert {"area", "mean_probability", "intensity_mean-0"} <= set(properties["measurements"])


def test_names_in_an_archive_of_outlines_are_those_of_files(tmp_path):
    result = made_of(STACK, prompts=("a/b\\c: <d>", "Zellkern"))
    names = zipfile.ZipFile(written("roi-zip", result, tmp_path)).namelist()
    assert names[:2] == ["a_b_c_ _d_ 1-z0000.roi", "Zellkern 2-z0000.roi"]
    assert len(set(names)) == len(names)


def test_an_archive_of_outlines_is_the_same_each_time(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        written("roi-zip", CASES["2-D"], tmp_path / folder)
    one, two = (tmp_path / folder / "cells.roi.zip" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


# -- maps in files, of which no more than a part is in memory


def values_in(path):
    if path.is_dir():
        group = zarr.open_group(path, mode="r")
        return {name: array[:].tolist() for name, array in group.arrays()}
    if path.suffix == ".tif":
        return tifffile.imread(path).tolist()
    return path.read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_a_map_in_a_file_gives_the_same(name, tmp_path):
    result = made_of(np.stack([BUSY, BUSY[::-1]]), prompts=("a", "b"), instances=False)
    lazy = dask.array.from_array(result.probability, chunks=(1, 1, 4, 5))
    in_file = replace(result, probability=lazy)
    found = []
    for folder, one in (("memory", result), ("file", in_file)):
        (tmp_path / folder).mkdir()
        path = written(name, one, tmp_path / folder, image=image_of(result))
        assert recipe_of(path) == result.recipe
        found.append(values_in(path))
    assert found[0] == found[1]
