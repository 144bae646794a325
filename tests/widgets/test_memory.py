"""What a dock remembers, and recipes in and out of it: docks without a window."""

import json

import numpy as np
import pytest
from qtpy.QtGui import QGuiApplication

from napari_clipseg import Recipe
from napari_clipseg.engine.checkpoints.locate import BUNDLED, KNOWN
from napari_clipseg.images.io.maps import MapTooLargeError
from napari_clipseg.widgets import recipe_menu
from napari_clipseg.widgets.memory import settings_file
from napari_clipseg.widgets.runs import in_the_dock


@pytest.fixture
def open_dock(qtbot):
    """Open docks on one viewer model, and close them."""
    from napari.components import ViewerModel

    from napari_clipseg.widgets.dock import CLIPSegDock

    viewer = ViewerModel()

    def open_dock():
        dock = CLIPSegDock(viewer)
        qtbot.addWidget(dock.native)
        dock.viewer = viewer
        return dock

    return open_dock


def test_what_was_chosen_is_there_again(open_dock, tmp_path):
    dock = open_dock()
    dock.prompt.set_lines("nuclei\n- debris")
    dock.prompt.line.remember(["rings"])
    dock.run_options.detail.value = "fine"
    dock.run_options.refine_edges.value = False
    dock.results.objects.value = True
    dock.offer_model(str(tmp_path))
    dock.more_images.open = True
    dock._memory.write()
    again = open_dock()
    assert [row.line for row in again.prompt.rows] == ["nuclei", "- debris"]
    assert again.prompt.line.history == ["rings"]
    assert again.run_options.detail.value == "fine"
    assert not again.run_options.refine_edges.value
    assert again.results.objects.value
    assert again.model.value == str(tmp_path)
    assert (again.more_images.open, again.more_options.open) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        "{}",
        json.dumps({"prompts": 3, "history": [None], "model": "nowhere", "folds": []}),
        json.dumps({"detail": "finest", "objects": "yes", "folders": ["/not/here", 1]}),
    ],
    ids=["no JSON", "a list", "empty", "other types", "other values"],
)
def test_a_broken_file_is_as_none(open_dock, text):
    settings_file().parent.mkdir(parents=True)
    settings_file().write_text(text)
    dock = open_dock()
    assert dock.prompt.rows == ()
    assert (dock.model.value, dock.run_options.detail.value) == (BUNDLED, "whole")
    assert not dock.results.objects.value


def test_a_folder_that_cannot_be_written_to_is_no_fault(open_dock, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("NAPARI_CLIPSEG_CONFIG", str(tmp_path / "a file"))
    dock = open_dock()
    dock.prompt.set_lines("nuclei")
    dock._memory.write()
    assert open_dock().prompt.rows == ()


def test_a_recipe_is_copied_saved_and_applied(open_dock, tmp_path, monkeypatch):
    dock = open_dock()
    dock.prompt.set_lines("nuclei\n- debris")
    dock.model.value = KNOWN[1]
    dock.run_options.detail.value = "medium"
    dock.results.threshold.value = 0.6
    dock.results.objects.value = True
    path = tmp_path / "a.json"
    monkeypatch.setattr(
        recipe_menu.QFileDialog, "getSaveFileName", lambda *_: (str(path.with_suffix("")), "")
    )
    monkeypatch.setattr(recipe_menu.QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    copy, save, apply_file, apply_layer = dock.recipes.menu.actions()
    copy.trigger()
    save.trigger()
    recipe = Recipe.load(path)
    assert Recipe.from_dict(json.loads(QGuiApplication.clipboard().text())) == recipe
    assert (recipe.prompts, recipe.negative_prompts) == (("nuclei",), ("debris",))
    path.write_text(json.dumps(recipe.replace(region=[[0, 0], [9, 9]]).to_dict()))
    other = open_dock()
    other.prompt.set_lines("")
    other.recipes.apply_file()
    assert "was applied" in other.status.value
    assert other.status.value.endswith("Left out, as the dock has no place for it: region.")
    assert other._recipe_of_files() == recipe
    path.write_text("no recipe")
    apply_file.trigger()
    assert "Choose a saved recipe" in dock.status.value
    apply_layer.trigger()
    assert "No layer is selected" in dock.status.value


def test_the_recipe_of_a_layer_brings_its_examples_along(open_dock):
    dock = open_dock()
    example = np.full((8, 8, 3), 200, np.uint8)
    recipe = Recipe({"like this": example, "rings": "rings"}, planes=None)
    layer = dock.viewer.add_image(np.zeros((9, 9)), contrast_limits=(0, 1))
    layer.metadata["napari_clipseg"] = {"recipe": recipe.to_dict()}
    dock.viewer.layers.selection.active = layer
    dock.recipes.apply_layer()
    assert [row.line for row in dock.prompt.rows] == ["like this", "rings"]
    assert dock._recipe_of_files().prompt_names == ("like this", "rings")
    np.testing.assert_array_equal(dock._recipe_of_files().prompts[0], example)


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (MapTooLargeError("The map would take 9 GB.", "output='map.zarr'"), "The map would take"),
        (MemoryError("Unable to allocate 9 GB"), "The memory is full: Unable to allocate 9 GB."),
    ],
)
def test_where_memory_is_short_the_cure_is_one_of_the_dock(error, facts):
    said = in_the_dock(error)
    assert said.startswith(facts)
    assert "Choose fewer planes" in said
    assert "output=" not in said
