"""The plugin as napari sees it: the dock, the menu and the samples, by its manifest."""

import subprocess
import sys
from importlib.metadata import distribution

import pytest


@pytest.fixture
def registered(npe2pm):
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-clipseg")
    with npe2pm.tmp_plugin(manifest=manifest):
        yield manifest


def test_the_dock_opens_from_the_plugins_menu(registered, viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-clipseg")
    assert type(widget).__name__ == "CLIPSegDock"
    assert widget.image.choices == ()


@pytest.mark.parametrize("key", ["shapes", "micrograph"])
def test_the_samples_open(registered, viewer, key):
    (layer,) = viewer.open_sample("napari-clipseg", key)
    assert layer.name == key
    assert min(layer.data.shape[:2]) > 100


def test_the_demo_s_window_shows_a_sample_and_its_result(registered, viewer, qtbot, checkpoint):
    from napari_clipseg.sample_data import load_sample
    from napari_clipseg.widgets.window import show_sample

    dock = show_sample(viewer, "shapes", str(checkpoint("small")))
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=60_000)
    prompts = load_sample("shapes").prompts
    assert dock.prompt.fields()["prompts"] == prompts
    assert len(viewer.layers) == 1 + len(prompts) + 1


def test_the_command_stands_under_layers_segment(registered, viewer):
    from napari._app_model import get_app_model

    items = get_app_model().menus.get_menu("napari/layers/segment")
    # Its id is napari's own affair: the command's, or before 0.9 that of the widget.
    titles = [str(item.command.title) for item in items]
    assert any(title.startswith("Segment with a prompt") for title in titles)


def test_neither_the_dock_nor_the_manifest_imports_torch():
    code = (
        "import sys, napari_clipseg.widgets.dock, napari_clipseg.sample_data;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_entry_point_is_napari_s():
    (point,) = distribution("napari-clipseg").entry_points.select(group="napari.manifest")
    assert point.value == "napari_clipseg:napari.yaml"


# Files, opened and saved as users do


@pytest.fixture
def labels_layer(viewer):
    from napari.layers import Layer

    from exported import CASES

    *_, labels = CASES["a stack"].to_layers()
    return viewer.add_layer(Layer.create(*labels))


@pytest.mark.parametrize(
    "name", ["a.labels.ome.tif", "a.labels.ome.zarr", "a.roi.zip", "a.geojson", "a.coco.json"]
)
def test_save_selected_layer_writes_what_we_write(registered, viewer, labels_layer, tmp_path, name):
    from napari_clipseg import Recipe, recipe_of

    first, *_ = viewer.layers.save(str(tmp_path / name), selected=True)
    assert first == str(tmp_path / name)
    assert recipe_of(first) == Recipe.of(labels_layer)


def test_labels_are_opened_with_recipe_and_table(registered, viewer, labels_layer, tmp_path):
    from napari_clipseg import Recipe

    path = tmp_path / "a.labels.ome.tif"
    viewer.layers.save(str(path), selected=True)
    (opened,) = viewer.open(path, plugin="napari-clipseg")
    assert (opened.data == labels_layer.data).all()
    assert Recipe.of(opened) == Recipe.of(labels_layer)
    assert opened.features.equals(labels_layer.features)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.json", "a.zip"])
def test_names_that_are_not_ours_are_left_to_others(registered, npe2pm, name):
    assert npe2pm.get_writer(name, ["labels"])[0] is None
    assert npe2pm.get_writer(name, ["image"])[0] is None
    assert list(npe2pm.iter_compatible_readers([name])) == []
