"""The files of a series: what is listed, read, written and marked."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from exported import made_of
from napari_clipseg import as_source, recipe_of
from napari_clipseg.files.formats.layers import read_layers
from napari_clipseg.files.readers import read_image
from napari_clipseg.widgets.series_folder import SeriesFolder

RANDOM = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    for name in ("b2.npy", "b10.npy", "a.npy"):
        np.save(tmp_path / name, RANDOM.integers(0, 255, (12, 20), dtype=np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_images_are_listed_in_natural_order(folder):
    series = SeriesFolder(folder)
    assert series.names == ["a.npy", "b2.npy", "b10.npy"]
    assert len(series) == 3


@pytest.mark.parametrize("largest", [0, 1, 65_535, 65_536])
def test_labels_come_back_as_they_were(largest, folder):
    series = SeriesFolder(folder)
    opened = series.open(1)
    assert not opened.labelled
    assert not opened.labels.any()
    labels = RANDOM.integers(0, largest + 1, (12, 20)).astype(np.int32)
    labels[0, 0] = largest
    series.save(1, opened, labels)
    assert os.listdir(folder / "labels") == ["b2.npy.labels.ome.tif"]
    again = SeriesFolder(folder).open(1)
    assert again.labelled
    assert again.labels.dtype == np.int32
    np.testing.assert_array_equal(again.labels, labels)
    np.testing.assert_array_equal(again.source.levels[0], opened.source.levels[0])


@pytest.mark.parametrize(
    ("shape", "labelled"),
    [((9, 8, 3), (9, 8)), ((1, 9, 8), (1, 9, 8)), ((2, 4, 9, 8), (2, 4, 9, 8))],
    ids=["colors", "one plane", "times of planes"],
)
def test_labels_have_the_shape_of_their_image_without_colors(shape, labelled, tmp_path):
    np.save(tmp_path / "image.npy", np.zeros(shape, np.uint8))
    series = SeriesFolder(tmp_path)
    labels = np.arange(np.prod(labelled)).reshape(labelled)
    assert series.open(0).labels.shape == labelled
    series.save(0, series.open(0), labels)
    np.testing.assert_array_equal(series.open(0).labels, labels)


def test_labels_have_the_sizes_and_the_record_of_their_image(tmp_path):
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2.0}
    pixels = np.zeros((3, 4, 5), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, metadata={"axes": "ZYX", **sizes})
    series = SeriesFolder(tmp_path)
    image = series.open(0)
    # As an image whose planes do not come first.
    source = as_source(np.moveaxis(pixels, 0, 1), axes="yzx", spacing=(0.25, 0.5), unit="um")
    image = replace(image, source=replace(source, z_spacing=2.0))
    labels = np.arange(60).reshape(4, 3, 5)
    result = made_of(pixels)
    series.save(0, replace(image, record=result.record("uint16")), labels)
    again = series.open(0)
    np.testing.assert_array_equal(again.labels, np.moveaxis(labels, 1, 0))
    assert again.record == result.record("uint16")
    path = series.labels_path(0)
    assert recipe_of(path) == result.recipe
    ((data, _, kind),) = read_layers(path)
    assert (kind, data.shape) == ("labels", (3, 4, 5))
    file = read_image(path)
    assert (file.axes, file.spacing, file.z_spacing) == (("z", "y", "x"), (0.25, 0.5), 2)
    series.save(0, replace(image, record=None), labels)
    assert series.open(0).record is None


def test_marks_are_kept(folder):
    series = SeriesFolder(folder)
    series.mark(0, True)
    series.mark(2, True)
    series.mark(0, False)
    again = SeriesFolder(folder)
    assert [again.is_done(n) for n in range(3)] == [False, False, True]
    assert json.loads((folder / "labels" / "done.json").read_text()) == {"done": ["b10.npy"]}


def test_a_failed_write_leaves_the_labels_and_marks_before(folder, monkeypatch):
    series = SeriesFolder(folder)
    image = series.open(0)
    series.save(0, image, np.full((12, 20), 1))
    series.mark(0, True)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        series.save(0, image, np.full((12, 20), 2))
    with pytest.raises(OSError, match="No space"):
        series.mark(1, True)
    assert not series.is_done(1)
    assert sorted(os.listdir(folder / "labels")) == ["a.npy.labels.ome.tif", "done.json"]
    assert (series.open(0).labels == 1).all()


def spoiled(folder):
    series = SeriesFolder(folder)
    series.save(0, series.open(0), np.ones((12, 20), np.int32))
    tifffile.imwrite(folder / "labels" / "a.npy.labels.ome.tif", np.ones((5, 5), np.uint8))


def no_tiff(folder):
    (folder / "labels").mkdir()
    (folder / "labels" / "a.npy.labels.ome.tif").write_text("no")


def no_marks(folder):
    (folder / "labels").mkdir()
    (folder / "labels" / "done.json").write_text("[]")


def no_image(folder):
    for one in folder.glob("*.npy"):
        one.unlink()


WRONG = {
    "labels of another size": (spoiled, ValueError, r"have shape \(5, 5\), their image \(12, 20\)"),
    "labels that are no TIFF": (no_tiff, ValueError, "cannot be read as labels"),
    "marks that are none": (no_marks, ValueError, r"done\.json holds no marks .* or delete it"),
    "no image": (no_image, ValueError, "holds no image that can be read"),
}


@pytest.mark.parametrize(("spoil", "error", "says"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_used_is_told(spoil, error, says, folder):
    spoil(folder)
    with pytest.raises(error, match=says):
        SeriesFolder(folder).open(0)


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        SeriesFolder(tmp_path / "gone")
