"""Objects corrected and kept in a real window, by keys, clicks and buttons."""

import gc
import weakref

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_clipseg.widgets.kept import KEPT

ROWS, COLUMNS = np.ogrid[:60, :90]
PLACES = ((15, 15), (15, 45), (15, 75), (45, 15), (45, 45), (45, 75))


@pytest.fixture
def found(viewer, dock, run):
    """Six discs as the result of a run on an image of another scale; the model is random."""
    from napari_clipseg.images.labels.instances import InstanceOptions

    viewer.add_image(np.zeros((60, 90), np.uint8), name="cells", scale=(2, 3), translate=(5, 7))
    run(text="nuclei")
    maps = dock.results.result.segmentation.probability
    maps[:] = 0
    for row, column in PLACES:
        maps[0, (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= 64] = 0.9
    dock.results.objects.value = True
    assert dock.results.result.labels_layer.data.max() == 6
    assert dock.results.result.instances == InstanceOptions("distance", link=True, min_size=None)
    return dock


def at(viewer, row, column):
    return tuple(viewer.layers["cells"].data_to_world((row, column)))


def kept_of(viewer):
    return next(x for x in viewer.layers if KEPT in x.metadata)


def count(layer):
    return len(np.unique(layer.data)) - 1


def press(viewer, key, place):
    viewer.cursor.position = place
    viewer.keymap[next(known for known in viewer.keymap if str(known) == key)](viewer)


def test_a_session_of_corrections(viewer, found, qtbot):
    labels = found.results.result.labels_layer
    whole = labels.data.copy()
    # K keeps; the object moves, with a fresh number, to a layer on the image.
    press(viewer, "K", at(viewer, 15, 45))
    kept = kept_of(viewer)
    assert (count(labels), count(kept)) == (5, 1)
    np.testing.assert_array_equal(kept.data > 0, whole == whole[15, 45])
    np.testing.assert_allclose(kept.extent.world, viewer.layers["cells"].extent.world)
    press(viewer, "K", at(viewer, 15, 75))
    assert kept.data.max() == 2
    # As a class.
    found.keep.label_class.value = 9
    press(viewer, "K", at(viewer, 45, 45))
    assert kept.data[45, 45] == 9
    found.keep.label_class.value = 0
    # R rejects: of the result, and of what is kept.
    press(viewer, "R", at(viewer, 15, 15))
    press(viewer, "R", at(viewer, 15, 45))
    assert (count(labels), count(kept)) == (2, 2)
    # U and Y.
    for _ in range(5):
        press(viewer, "U", at(viewer, 0, 0))
    np.testing.assert_array_equal(labels.data, whole)
    assert not kept.data.any()
    for _ in range(5):
        press(viewer, "Y", at(viewer, 0, 0))
    assert (count(labels), count(kept)) == (2, 2)
    # J joins, H cuts.
    press(viewer, "J", at(viewer, 45, 15))
    assert "the one that belongs to it" in found.status.value
    press(viewer, "J", at(viewer, 45, 75))
    assert count(labels) == 1
    press(viewer, "H", at(viewer, 45, 60))
    press(viewer, "H", at(viewer, 45, 89))
    assert count(labels) == 2
    press(viewer, "K", at(viewer, 0, 0))
    assert "Point at one" in found.status.value
    # What is kept stays out of the labels when they are made anew.
    before = kept.data.copy()
    found.results.threshold.value = 0.5
    np.testing.assert_array_equal(kept.data, before)
    assert not (found.results.result.labels_layer.data[kept.data > 0]).any()


def test_what_is_kept_is_not_touched_by_a_second_run(viewer, found, run):
    press(viewer, "K", at(viewer, 15, 45))
    kept = kept_of(viewer)
    bytes_before = kept.data.tobytes()
    found.results.threshold.value = 0.05  # the random model marks a lot
    run(text="nuclei")
    run(text="nuclei\nrings")
    assert kept.data.tobytes() == bytes_before
    for layer in viewer.layers:
        if isinstance(layer, Labels) and layer != kept:
            assert not layer.data[kept.data > 0].any()


def test_the_threshold_brings_back_no_object_that_was_kept_and_undo_does(viewer, found):
    labels = found.results.result.labels_layer
    press(viewer, "K", at(viewer, 15, 45))
    found.results.threshold.value = 0.6
    assert found.results.result.labels_layer == labels, "keeping is no edit by hand"
    assert count(labels) == 5
    press(viewer, "U", at(viewer, 0, 0))
    assert count(labels) == 6
    assert not kept_of(viewer).data.any()


def test_keep_all_is_the_third_action_after_text_and_enter(viewer, dock, qtbot):
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (60, 90), np.uint8), name="cells")
    QTest.keyClicks(dock.prompt.line.native, "nuclei")  # one
    QTest.keyClick(dock.prompt.line.native, Qt.Key.Key_Return)  # two
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=30_000)
    labels = dock.results.result.labels_layer
    marked = labels.data > 0
    assert marked.any()
    qtbot.mouseClick(dock.keep.keep_all.native, Qt.MouseButton.LeftButton)  # three
    kept = kept_of(viewer)
    np.testing.assert_array_equal(kept.data > 0, marked)
    assert not labels.data.any()
    dock.keep.keeping.undo()
    assert not kept.data.any()
    np.testing.assert_array_equal(labels.data > 0, marked)


def test_a_button_takes_the_next_click_and_no_stroke_is_painted(viewer, found):
    labels = found.results.result.labels_layer
    found.keep.buttons["reject"].changed.emit(True)
    assert "Click the object" in found.status.value

    class Click:
        position, handled = at(viewer, 45, 45), False

    found.keep._on_click(viewer, Click)
    assert Click.handled
    assert count(labels) == 5
    Click.handled = False
    found.keep._on_click(viewer, Click)
    assert not Click.handled, "the brush is the user's again"


def test_runs_are_undone_too(viewer, dock, run):
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8), name="cells")
    run(text="nuclei")
    first = {x.name: x.data.copy() for x in viewer.layers}
    run(text="nuclei\nrings")
    both = [x.name for x in viewer.layers]
    dock.keep.keeping.undo()
    assert [x.name for x in viewer.layers] == list(first)
    for layer in viewer.layers:
        np.testing.assert_array_equal(layer.data, first[layer.name])
    dock.keep.keeping.redo()
    assert sorted(x.name for x in viewer.layers) == sorted(both)
    dock.keep.keeping.undo()
    dock.keep.keeping.undo()
    assert [x.name for x in viewer.layers] == ["cells"]
    dock.keep.keeping.undo()
    assert "nothing more" in dock.status.value


def test_a_run_that_the_history_forgot_is_not_held(viewer, dock, run):
    viewer.add_image(np.zeros((40, 50), np.uint8), name="cells")
    run(text="nuclei")
    keeping = dock.keep.keeping
    (edit,) = keeping.history.edits
    done = weakref.ref(edit.edits[0])
    del edit
    keeping.history.clear()
    gc.collect()
    assert done() is None


def test_labels_of_the_user_take_what_is_kept_or_say_why_not(viewer, found):
    wrong = viewer.add_labels(np.zeros((5, 5), int), name="wrong")
    mine = viewer.add_labels(np.full((60, 90), 3) * (ROWS > 50), name="mine")
    assert [x.name for x in found.keep.into.choices if x is not None] == ["wrong", "mine"]
    found.keep.into.value = wrong
    press(viewer, "K", at(viewer, 15, 45))
    assert "'wrong' have shape (5, 5)" in found.status.value
    found.keep.into.value = mine
    press(viewer, "K", at(viewer, 15, 45))
    assert mine.data[15, 45] == 4
    assert (mine.data[51:] == 3).all()


def test_the_next_doubtful_object_is_shown(viewer, found, qtbot):
    from napari_clipseg.widgets.outlook import camera

    result = found.results.result
    row, column = PLACES[4]
    result.segmentation.probability[0, (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= 64] = 0.45
    found.results.threshold.value = 0.4
    qtbot.waitUntil(lambda: not result.busy, timeout=10_000)
    found.keep.next_doubtful.changed.emit(True)
    np.testing.assert_allclose(camera(viewer).center[-2:], at(viewer, row, column))
    assert result.labels_layer.selected_label == result.labels_layer.data[row, column]
    assert "1 of 6" in found.status.value
    found.keep.next_doubtful.changed.emit(True)
    assert "2 of 6" in found.status.value
    # Doubt as a layer, as the threshold moves.
    found.results.doubt.value = True
    name = f"{result.title} · doubt"
    qtbot.waitUntil(lambda: name in viewer.layers, timeout=10_000)
    doubt = viewer.layers[name]
    assert doubt.data[row, column] == pytest.approx(1 - 0.05 / 0.6, abs=1e-4)
    assert doubt.data[0, 0] == 0
    np.testing.assert_allclose(doubt.extent.world, viewer.layers["cells"].extent.world)
    found.results.threshold.value = 0.45
    qtbot.waitUntil(lambda: doubt.data[row, column] == 1, timeout=10_000)
    found.results.doubt.value = False
    assert name not in viewer.layers


def test_a_box_is_looked_at_more_closely(viewer, found, qtbot):
    from napari_clipseg import Recipe

    found.keep.closer.changed.emit(True)
    boxes = viewer.layers["look closer"]
    assert boxes.mode == "add_rectangle"
    boxes.add_rectangles(np.array([[10, 20], [10, 49], [39, 49], [39, 20]]))
    qtbot.waitUntil(lambda: found.run_button.enabled, timeout=30_000)
    closer = found.results.result.labels_layer
    recipe = Recipe.of(closer)
    assert recipe.detail.tile_size == "fine"
    np.testing.assert_allclose(np.ptp(recipe.region, axis=0), (29, 29))
    assert "of the region" in found.status.value
    assert sum(x.name.startswith("cells · nuclei · labels") for x in viewer.layers) == 2
    # Its objects are kept where they lie on the image.
    closer.data[:] = 0
    closer.data[3:6, 3:8] = 1
    closer.refresh()
    place = tuple(closer.data_to_world((4, 5)))
    press(viewer, "K", place)
    kept = kept_of(viewer)
    assert kept.data[tuple(round(i) for i in kept.world_to_data(place))] > 0
    assert (kept.data > 0).sum() == 15


def test_the_keys_are_given_back_when_the_dock_closes(viewer, qtbot, checkpoint):
    from napari_clipseg.widgets.dock import CLIPSegDock

    viewer.bind_key("K", lambda _viewer: None)
    mine = dict(viewer.keymap)
    dock = CLIPSegDock(viewer)
    viewer.window.add_dock_widget(dock, name="CLIPSeg")
    assert {str(key) for key in viewer.keymap} == {"K", "R", "J", "H", "U", "Y"}
    viewer.window.remove_dock_widget(dock.native)
    dock.native.close()
    dock.native.deleteLater()
    qtbot.waitUntil(lambda: dict(viewer.keymap) == mine, timeout=5_000)
    assert dock.keep._on_click not in viewer.mouse_drag_callbacks
