import gc
import threading
import weakref

import numpy as np
import pytest
from napari.layers import Labels, Layer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_clipseg import Recipe, segment
from napari_clipseg.engine.engine import Engine

pytestmark = pytest.mark.window(False)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 60), dtype=np.uint8)


def fill(dock, text):
    dock.prompt.set_lines(text)


def finish(dock, qtbot):
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=30_000)


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_text_prompts_become_maps_and_labels_as_segment_gives_them(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei\nred rings")
    assert names(viewer) == [
        "cells",
        "cells · nuclei",
        "cells · red rings",
        "cells · nuclei, red rings · labels",
    ]
    # The layer's own contrast decides what the model sees, so the whole range is asked for.
    low, high = viewer.layers["cells"].contrast_limits
    stretched = np.clip((image.astype(float) - low) / (high - low), 0, 1)
    as_seen = np.repeat(np.rint(stretched * 255).astype(np.uint8)[..., None], 3, axis=2)
    wanted = segment(as_seen, ["nuclei", "red rings"], model=dock.model.value, refine_edges=True)
    np.testing.assert_allclose(viewer.layers[1].data, wanted.probability[0], atol=1e-6)
    np.testing.assert_allclose(viewer.layers[2].data, wanted.probability[1], atol=1e-6)
    np.testing.assert_array_equal(viewer.layers[3].data, wanted.labels)
    assert tuple(viewer.layers[1].contrast_limits) == (0, 1)
    assert viewer.layers[1].blending == "additive"
    assert viewer.layers[1].colormap.name != viewer.layers[2].colormap.name


def test_what_was_asked_stands_in_the_metadata(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    record = viewer.layers[-1].metadata["napari_clipseg"]
    assert record["source"] == "cells"
    recipe = Recipe.of(viewer.layers[-1])
    assert recipe.prompts == ("nuclei",)
    assert recipe.model == dock.model.value
    assert recipe.threshold == record["threshold"] == dock.results.threshold.value


def test_the_user_s_layers_are_not_changed(viewer, run, image):
    layer = viewer.add_image(image.copy(), name="cells", scale=(2, 3))
    before = layer.as_layer_data_tuple()
    run(text="nuclei")
    after = layer.as_layer_data_tuple()
    np.testing.assert_array_equal(before[0], after[0])
    assert str(before[1]) == str(after[1])


def test_the_threshold_moves_the_labels_without_the_model(viewer, dock, run, image, monkeypatch):
    viewer.add_image(image)
    run(text="nuclei")
    monkeypatch.setattr(Engine, "encode", lambda *_, **__: pytest.fail("the model was asked"))
    probability, labels = viewer.layers[-2].data, viewer.layers[-1]
    for threshold in (0.2, 0.45, 0.6):
        dock.results.threshold.value = threshold
        np.testing.assert_array_equal(labels.data, probability > threshold)
    assert labels.metadata["napari_clipseg"]["threshold"] == 0.6
    assert len(viewer.layers) == 3


def test_a_second_run_updates_its_own_layers(viewer, dock, run, image):
    layer = viewer.add_image(image, name="cells")
    run(text="nuclei")
    first = viewer.layers[1].data.copy()
    layer.data = 255 - image
    run(text="nuclei")
    assert len(viewer.layers) == 3
    assert not np.array_equal(viewer.layers[1].data, first)


def test_another_prompt_adds_what_is_new(viewer, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    run(text="nuclei\nrings")
    assert sorted(names(viewer)) == [
        "cells",
        "cells · nuclei",
        "cells · nuclei · labels",
        "cells · nuclei, rings · labels",
        "cells · rings",
    ]


@pytest.mark.parametrize("then", ["threshold", "run"])
def test_labels_edited_by_hand_are_kept(viewer, dock, run, image, told, then):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    edited = viewer.layers[-1]
    edited.paint((5, 5), 7)
    strokes = edited.data.copy()
    if then == "threshold":
        dock.results.threshold.value = 0.77
    else:
        run(text="nuclei")
    np.testing.assert_array_equal(edited.data, strokes)
    assert "edited by hand" in told()
    assert Recipe.of(edited).prompts == ("nuclei",)  # what it was made from
    assert sum(isinstance(layer, Labels) for layer in viewer.layers) == 2
    dock.results.threshold.value = 0.1
    np.testing.assert_array_equal(edited.data, strokes)
    np.testing.assert_array_equal(viewer.layers[-1].data, viewer.layers[1].data > 0.1)


def test_moving_the_threshold_back_and_forth_is_no_edit(viewer, dock, run, image, told):
    viewer.add_image(image)
    run(text="nuclei")
    for threshold in (0.1, 0.9, 0.5):
        dock.results.threshold.value = threshold
    run(text="nuclei")
    assert len(viewer.layers) == 3
    assert told() == ""


def test_a_threshold_that_the_user_chose_holds_for_the_next_run(viewer, dock, run, image):
    viewer.add_image(image)
    dock.results.threshold.value = 0.61
    run(text="nuclei")
    assert dock.results.threshold.value == pytest.approx(0.61)
    np.testing.assert_array_equal(viewer.layers[-1].data, viewer.layers[1].data > 0.61)


def test_else_the_threshold_is_the_checkpoint_s(viewer, dock, run, image):
    viewer.add_image(image)
    run(text="nuclei")
    assert dock.results.threshold.value == pytest.approx(0.3)


def test_enter_adds_and_runs_and_shift_enter_only_adds(viewer, dock, qtbot, image):
    viewer.add_image(image)
    edit = dock.prompt.line.native
    QTest.keyClicks(edit, "nuclei")
    QTest.keyClick(edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert dock.run_button.enabled
    QTest.keyClicks(edit, "rings")
    QTest.keyClick(edit, Qt.Key.Key_Return)
    assert dock.prompt.fields()["prompts"] == ("nuclei", "rings")
    assert edit.text() == ""
    assert not dock.run_button.enabled
    finish(dock, qtbot)
    assert len(viewer.layers) == 4


def test_the_run_button_runs(viewer, dock, qtbot, image):
    viewer.add_image(image)
    fill(dock, "nuclei")
    qtbot.mouseClick(dock.run_button.native, Qt.MouseButton.LeftButton)
    finish(dock, qtbot)
    assert len(viewer.layers) == 3


def test_the_model_is_loaded_and_asked_off_the_gui_thread(viewer, dock, run, image, monkeypatch):
    threads = []
    from napari_clipseg import segmentation

    load = segmentation.load
    monkeypatch.setattr(
        segmentation,
        "load",
        lambda model: threads.append(threading.current_thread()) or load(model),
    )
    viewer.add_image(image)
    run(text="nuclei")
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


@pytest.mark.window(True)
def test_the_choices_follow_the_viewer(viewer, dock, run, image):
    assert dock.image.choices == ()
    layer = viewer.add_image(image, name="cells")
    run(text="nuclei")
    assert [choice.name for choice in dock.image.choices] == ["cells"]  # no results among them
    layer.name = "others"
    assert dock.image.native.findChildren(type(dock.image.native.view()))  # the box is alive
    assert dock.image.current_choice == "others"
    viewer.layers.remove(layer)
    assert dock.image.choices == ()


def test_the_active_image_is_chosen_when_the_dock_opens(viewer, image):
    from napari_clipseg.widgets.dock import CLIPSegDock

    viewer.add_image(image, name="first")
    second = viewer.add_image(image, name="second")
    viewer.layers.selection.active = second
    assert CLIPSegDock(viewer).image.value.name == "second"


def test_the_recipe_of_the_labels_gives_them_again(viewer, dock, run, image):
    layer = viewer.add_image(image, name="cells", scale=(0.5, 0.5))
    run(text="nuclei\n- rings")
    dock.results.threshold.value = 0.41
    labels = viewer.layers[-1]
    again = segment(layer, Recipe.of(labels))
    np.testing.assert_array_equal(again.labels, labels.data)
    assert again.labels.any()


def test_a_layer_that_the_user_duplicated_is_theirs(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    labels = viewer.layers[-1]
    copied = Layer.create(*labels.as_layer_data_tuple())
    viewer.layers.insert(1, copied)
    strokes = copied.data.copy()
    dock.results.threshold.value = 0.77
    run(text="nuclei")
    np.testing.assert_array_equal(copied.data, strokes)
    assert len(viewer.layers) == 4


@pytest.mark.window(True)
def test_another_dock_finds_the_results_of_the_first(viewer, dock, run, qtbot, image):
    from napari_clipseg.widgets.dock import CLIPSegDock

    viewer.add_image(image, name="cells")
    run(text="nuclei")
    other = CLIPSegDock(viewer)
    viewer.window.add_dock_widget(other, name="other")
    other.offer_model(dock.model.value)
    fill(other, "nuclei")
    other.run()
    finish(other, qtbot)
    assert len(viewer.layers) == 3


def test_nothing_but_the_result_is_held_after_a_run(viewer, dock, qtbot, image):
    viewer.add_image(image, name="cells")
    fill(dock, "nuclei\nrings")
    dock.run()
    started, source = weakref.ref(dock._run), weakref.ref(dock._run.source)
    finish(dock, qtbot)
    qtbot.wait(50)
    gc.collect()
    assert started() is None
    assert source() is None


@pytest.mark.window(True)
def test_a_result_that_was_removed_is_not_held(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    # What the layers show are views of it.
    maps = weakref.ref(dock.results.result.segmentation.probability)
    for layer in list(viewer.layers)[1:]:
        viewer.layers.remove(layer)
    del layer
    gc.collect()
    assert maps() is None


@pytest.mark.window(True)
def test_an_image_that_was_removed_is_not_held(viewer, dock, run, image, qtbot):
    pixels = image.copy()
    layer = viewer.add_image(pixels, name="cells")
    run(text="nuclei")
    layer, pixels = weakref.ref(layer.__wrapped__), weakref.ref(pixels)
    viewer.layers.remove("cells")
    qtbot.wait(50)
    gc.collect()
    assert layer() is None
    assert pixels() is None
    assert len(viewer.layers) == 2
    dock.results.threshold.value = 0.4  # the labels go on without it


@pytest.mark.window(True)
def test_what_was_done_on_the_way_is_not_held_after_a_run(viewer, dock, qtbot, image):
    viewer.add_image(np.stack([image] * 3), name="cells")
    dock.run_options.planes.value = "all of them"
    fill(dock, "nuclei")
    partial = []
    dock.run()
    dock._worker._progressed.connect(
        lambda step: (
            getattr(step, "partial", None) and partial.append(weakref.ref(step.partial.probability))
        )
    )
    finish(dock, qtbot)
    assert partial
    viewer.layers.clear()
    qtbot.wait(50)
    gc.collect()
    assert [one() for one in partial if one() is not None] == []


def test_a_threshold_moved_during_a_run_holds(viewer, dock, qtbot, image):
    viewer.add_image(image, name="cells")
    fill(dock, "nuclei")
    dock.run()
    dock.results.threshold.value = 0.77
    dock.results.objects.value = True
    finish(dock, qtbot)
    assert dock.results.threshold.value == pytest.approx(0.77)
    recipe = Recipe.of(viewer.layers[-1])
    assert recipe.threshold == pytest.approx(0.77)
    assert recipe.instances is not None


def test_the_threshold_moves_when_the_image_has_other_data_or_is_gone(viewer, dock, run, image):
    layer = viewer.add_image(image, name="cells")
    run(text="nuclei")
    maps, labels = viewer.layers[1:]
    layer.data = np.stack([image] * 3)
    dock.results.threshold.value = 0.4
    np.testing.assert_array_equal(labels.data, maps.data > 0.4)
    viewer.layers.remove(layer)
    dock.results.threshold.value = 0.6
    np.testing.assert_array_equal(labels.data, maps.data > 0.6)


def test_metadata_that_were_cleared_stop_nothing(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    viewer.layers[-1].metadata = {}
    strokes = viewer.layers[-1].data.copy()
    dock.results.threshold.value = 0.4
    dock.results.result.measure()
    np.testing.assert_array_equal(viewer.layers[2].data, strokes)
    assert len(viewer.layers) == 4


def test_a_new_result_moves_its_layers_only_if_the_image_moved(viewer, dock, run, image):
    layer = viewer.add_image(image, name="cells", scale=(2, 3), shear=[0.5])
    run(text="nuclei")
    moved = []
    for name in ("scale", "translate", "rotate", "shear", "affine", "units"):
        getattr(viewer.layers[-1].events, name).connect(lambda *_, name=name: moved.append(name))
    run(text="nuclei")
    assert moved == []
    layer.shear = [0.25]
    run(text="nuclei")
    assert moved == ["shear"]
