"""A folder in the dock: from image to image, labels saved while they are edited."""

from __future__ import annotations

import os

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_clipseg import Recipe, recipe_of, segment
from napari_clipseg.files.formats.records import read_record
from napari_clipseg.widgets import series as module
from napari_clipseg.widgets.series_folder import SeriesFolder

RANDOM = np.random.default_rng(0)


pytestmark = pytest.mark.window(False)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.npy", "b.npy", "c.npy"):
        np.save(tmp_path / name, RANDOM.integers(0, 255, (32, 48), dtype=np.uint8))
    return tmp_path


def shown(viewer):
    return [layer.name for layer in viewer.layers]


@pytest.fixture
def opened(dock, viewer, qtbot, folder):
    """Open the folder, and wait for an image by its name."""
    dock.series.open_folder(folder)

    def wait_for(name):
        qtbot.waitUntil(lambda: shown(viewer) == [name, f"{name} · labels"], timeout=20_000)
        return viewer.layers[1]

    wait_for("a.npy")
    return wait_for


def saved(folder, number, qtbot):
    series = SeriesFolder(folder)
    qtbot.waitUntil(lambda: series.labels_path(number).exists(), timeout=10_000)
    return series.open(number).labels


def test_from_image_to_image(dock, viewer, qtbot, opened, folder):
    ahead = dock.series._ahead
    qtbot.waitUntil(lambda: 1 in ahead._known and ahead._known[1][1].done())
    dock.series.names.setCurrentRow(1)
    assert shown(viewer) == ["b.npy", "b.npy · labels"]  # read ahead: no event was waited for
    dock.series.next.click()
    opened("c.npy")
    dock.series.step(1)  # there is none
    assert dock.series.names.currentRow() == 2
    dock.series.previous.click()
    opened("b.npy")
    assert "2 of 3: b.npy" in dock.status.value
    assert dock.image.value == viewer.layers[0]
    assert not (folder / "labels").exists()  # nothing was done
    dock.series.names.item(0).setCheckState(Qt.CheckState.Checked)
    assert SeriesFolder(folder).is_done(0)
    dock.series.open_folder(folder)
    opened("b.npy")  # the first that is not done
    assert dock.series.names.item(0).checkState() == Qt.CheckState.Checked


def test_edits_are_saved(dock, qtbot, opened, folder):
    labels = opened("a.npy")
    labels.paint((10, 10), 3)
    np.testing.assert_array_equal(saved(folder, 0, qtbot), labels.data)
    assert module.SAVE_MS <= 2000
    labels.undo()
    qtbot.waitUntil(lambda: not SeriesFolder(folder).open(0).labels.any(), timeout=10_000)
    labels.data[4:9, 5:20] = 7  # without an event
    labels.paint((20, 20), 4)
    dock.series.next.click()
    opened("b.npy").undo()
    assert not opened("b.npy").data.any()  # strokes of another image
    dock.series.previous.click()
    assert (opened("a.npy").data[4:9, 5:20] == 7).all()
    assert os.listdir(folder / "labels") == ["a.npy.labels.ome.tif"]  # nothing was done to b
    opened("a.npy").data[:3] = 2
    dock.series.finish()  # the dock is closed
    assert (SeriesFolder(folder).open(0).labels[:3] == 2).all()


def test_new_images_are_labelled_with_the_prompt(dock, viewer, qtbot, opened, folder):
    dock.prompt.set_lines("nuclei")
    dock.results.threshold.value = 0.5
    dock.series.prelabel.setChecked(True)
    wanted = []
    for name in ("a.npy", "b.npy"):
        result = segment(
            np.load(folder / name),
            "nuclei",
            threshold=0.5,
            model=dock.model.value,
            refine_edges=True,
        )
        wanted.append(result.labels)
    assert wanted[0].any()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2 and viewer.layers[1].data.any(), timeout=20_000)
    np.testing.assert_array_equal(viewer.layers[1].data, wanted[0])
    np.testing.assert_array_equal(saved(folder, 0, qtbot), wanted[0])
    path = SeriesFolder(folder).labels_path(0)
    assert recipe_of(path).prompts == ("nuclei",)
    assert "edited" not in read_record(path)
    again = segment(np.load(folder / "a.npy"), recipe_of(path))
    np.testing.assert_array_equal(again.labels, wanted[0])
    viewer.layers[1].paint((3, 3), 9)
    dock.series.next.click()
    np.testing.assert_array_equal(opened("b.npy").data, wanted[1])
    qtbot.waitUntil(lambda: read_record(path).get("edited") is True, timeout=10_000)
    dock.series.previous.click()
    opened("a.npy").paint((5, 5), 9)  # read from its file, and edited again
    dock.series.finish()
    assert (SeriesFolder(folder).open(0).labels[5, 5], read_record(path)["edited"]) == (9, True)


def test_new_images_are_labelled_with_the_recipe_of_a_file(
    dock, viewer, qtbot, told, opened, folder, monkeypatch
):
    series, box = dock.series, dock.series.recipe
    dock.prompt.set_lines("another thing")
    named = Recipe("nuclei", threshold=0.4, planes={"z": 3}, region=[(0, 0), (4, 4)])
    named.save(folder / "nuclei.json")
    answers = iter([str(folder / "nuclei.json"), "", str(folder / "a.npy")])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (next(answers), ""))

    def choose(index):
        box.setCurrentIndex(index)
        box.activated.emit(index)
        return [box.itemText(i) for i in range(box.count())], box.currentText()

    entries = ["this prompt", "nuclei.json", "a recipe…"]
    assert choose(1) == (entries, "nuclei.json")
    series.prelabel.setChecked(True)
    wanted = segment(np.load(folder / "a.npy"), "nuclei", threshold=0.4).labels
    assert wanted.any()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2 and viewer.layers[1].data.any(), timeout=20_000)
    np.testing.assert_array_equal(viewer.layers[1].data, wanted)
    np.testing.assert_array_equal(saved(folder, 0, qtbot), wanted)
    assert recipe_of(SeriesFolder(folder).labels_path(0)).threshold == 0.4
    assert choose(2) == (entries, "nuclei.json")  # the window was closed without a choice
    assert choose(2) == (["this prompt", "a recipe…"], "this prompt")  # a file without a recipe
    assert "a.npy has no recipe" in told()


def test_what_cannot_be_read_is_told(dock, viewer, qtbot, told, opened, folder):
    (folder / "b.npy").write_bytes(b"no array")
    dock.series.open_folder(folder)
    opened("a.npy")
    dock.series.next.click()
    qtbot.waitUntil(lambda: "b.npy cannot be used as an image" in told(), timeout=10_000)
    assert not shown(viewer)
    dock.series.next.click()
    opened("c.npy")
    (folder / "empty").mkdir()
    dock.series.open_folder(folder / "empty")
    assert "holds no image" in told()
    assert shown(viewer) == ["c.npy", "c.npy · labels"]  # the folder before stays
