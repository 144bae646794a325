"""Teaching in the dock, in a real window: strokes, live answers, undo, hints, files, faults."""

import shutil
import threading

import numpy as np
import pytest
from napari.layers import Image, Points
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtWidgets import QApplication, QRadioButton

from napari_clipseg import LearnedPrompt, Recipe, segment
from napari_clipseg.results import label_colors
from napari_clipseg.teaching.teacher import Teacher
from napari_clipseg.widgets import teaching as module
from napari_clipseg.widgets.outlook import camera
from napari_clipseg.widgets.strokes import find_strokes, is_strokes
from painted import hurried, iou, paint, scene


@pytest.fixture(autouse=True)
def _hurried():
    with hurried():
        yield


@pytest.fixture
def settle(dock, qtbot):
    """Wait until nothing is asked for; undo is noticed after a rest."""

    def settle(rest=True):
        if rest:
            qtbot.waitUntil(lambda: not dock.teaching._rest.isActive(), timeout=5_000)
        qtbot.waitUntil(lambda: not dock.teaching.busy, timeout=60_000)

    return settle


@pytest.fixture
def begun(viewer, dock, settle):
    """An image with teaching begun on it: the image layer, the strokes, and the truth."""

    def begin(channels=3, **options):
        image, masks = scene(channels=channels)
        layer = viewer.add_image(image, name="disks", **options)
        dock.prompt.teach.value = True
        settle()
        return layer, find_strokes(viewer, layer), masks

    return begin


def put(layer, strokes):
    """Paint all at once, as one stroke of the brush."""
    with layer.block_history():
        layer.data_setitem(np.nonzero(strokes), strokes[np.nonzero(strokes)])


def held_at(number, monkeypatch):
    """Hold a lesson, counted from 1, until it may go on; tell of each what was asked."""
    reached, go_on, taught = threading.Event(), threading.Event(), []
    teach = Teacher.teach

    def held(self, strokes, *, at_once, **options):
        taught.append((int((strokes > 0).sum()), at_once))
        if len(taught) == number:
            reached.set()
            assert go_on.wait(30)
        return teach(self, strokes, at_once=at_once, **options)

    monkeypatch.setattr(Teacher, "teach", held)
    return reached, go_on, taught


def results(viewer, role):
    return [
        layer
        for layer in viewer.layers
        if layer.metadata.get("napari_clipseg", {}).get("role") == role
    ]


def test_choosing_teach_makes_strokes_exactly_on_the_image(viewer, dock, begun):
    layer, strokes, _ = begun(scale=(2, 3), translate=(5, 7), units=("um", "um"))
    assert viewer.layers.selection.active == strokes
    assert strokes.mode == "paint"
    assert strokes.selected_label == 2
    assert strokes.brush_size >= 3
    assert strokes.data.shape == (96, 96)
    assert not strokes.data.any()
    corner = strokes.data_to_world((95, 0))
    np.testing.assert_allclose(corner, layer.data_to_world((95, 0)))
    assert strokes.units == layer.units
    assert "Paint a few short strokes" in dock.status.value
    of_results = DirectLabelColormap(color_dict=label_colors(2))
    for value in (2, 3):
        np.testing.assert_allclose(strokes.get_color(value), of_results.map(value - 1))


def test_strokes_are_answered_and_become_a_result_with_its_recipe(
    viewer, dock, begun, settle, monkeypatch
):
    threads = []
    for name in ("prepare", "first_answer", "teach", "answer"):
        done = getattr(Teacher, name)

        def note(self, *args, done=done, **options):
            threads.append(threading.current_thread())
            return done(self, *args, **options)

        monkeypatch.setattr(Teacher, name, note)
    layer, strokes, masks = begun()
    painted = paint(masks)
    put(strokes, painted)
    settle()
    (labels,) = results(viewer, "labels")
    (probability,) = results(viewer, "probability")
    assert iou(labels.data > 0, masks[0]) > 0.7
    assert viewer.layers.selection.active == strokes
    assert viewer.layers[-1] == strokes
    np.testing.assert_array_equal(strokes.data, painted)
    recipe = Recipe.of(labels)
    np.testing.assert_array_equal(segment(layer, recipe).labels, labels.data)
    dock.results.threshold.value = 0.9
    np.testing.assert_array_equal(labels.data, probability.data > 0.9)
    assert "Expected agreement (IoU): 0." in dock.status.value
    assert len(threads) > 3
    assert threading.main_thread() not in threads


def test_the_first_answer_comes_before_the_lesson_and_gives_way_to_it(
    viewer, dock, begun, qtbot, settle, monkeypatch
):
    go_on = threading.Event()
    teach = Teacher.teach
    monkeypatch.setattr(Teacher, "teach", lambda *a, **k: go_on.wait(30) and teach(*a, **k))
    _, strokes, masks = begun()
    put(strokes, paint(masks))
    qtbot.waitUntil(lambda: any(x.visible for x in results(viewer, "first answer")), timeout=30_000)
    (first,) = results(viewer, "first answer")
    assert iou(np.asarray(first.data) > 0, masks[0]) > 0.5
    assert dock.cancel_button.enabled
    go_on.set()
    settle()
    assert not first.visible
    assert results(viewer, "labels")[0].visible
    assert not dock.cancel_button.enabled


def test_undo_and_redo_are_answered(viewer, dock, begun, settle, qtbot):
    _, strokes, masks = begun()
    painted = paint(masks)
    put(strokes, painted)
    settle()
    before = results(viewer, "labels")[0].data.copy()
    more = np.zeros_like(painted)
    more[60:70, 60:70] = 2
    put(strokes, more)
    settle()
    assert not np.array_equal(results(viewer, "labels")[0].data, before)
    strokes.undo()
    settle()
    np.testing.assert_array_equal(results(viewer, "labels")[0].data, before)
    np.testing.assert_array_equal(strokes.data, painted)


def test_teach_left_and_chosen_again_goes_on_with_the_same_strokes(viewer, dock, begun, settle):
    _, strokes, masks = begun()
    dock.prompt.teach.value = False
    put(strokes, paint(masks))
    settle()
    assert results(viewer, "labels") == []
    dock.prompt.teach.value = True
    settle()
    assert [layer for layer in viewer.layers if is_strokes(layer)] == [strokes]
    assert len(results(viewer, "labels")) == 1


def test_looking_elsewhere_is_no_new_question(viewer, dock, begun, settle, monkeypatch):
    _, strokes, masks = begun()
    put(strokes, paint(masks))
    settle()
    monkeypatch.setattr(Teacher, "teach", lambda *_, **__: pytest.fail("it was taught again"))
    strokes.refresh()
    strokes.visible = False
    strokes.visible = True
    settle()
    assert len(results(viewer, "labels")) == 1


def test_the_newest_stroke_wins(viewer, dock, begun, qtbot, settle, monkeypatch):
    reached, go_on, taught = held_at(1, monkeypatch)
    _, strokes, masks = begun()
    painted = paint(masks)
    put(strokes, painted)
    qtbot.waitUntil(reached.is_set, timeout=30_000)
    more = np.zeros_like(painted)
    more[80:84, 2:12] = 1
    put(strokes, more)
    shown = []
    dock.teaching._host = module.Host(
        **{**vars(dock.teaching._host), "show": lambda *a: shown.append(a) or None}
    )
    go_on.set()
    settle()
    few, all_of_them = int((painted > 0).sum()), int((strokes.data > 0).sum())
    assert taught == [(few, True), (all_of_them, True), (all_of_them, False)]
    assert len(shown) == 2


def test_a_stroke_while_the_first_is_tested(viewer, dock, begun, qtbot, settle, monkeypatch):
    reached, go_on, taught = held_at(2, monkeypatch)
    _, strokes, masks = begun()
    painted = paint(masks)
    put(strokes, painted)
    qtbot.waitUntil(reached.is_set, timeout=30_000)
    (labels,) = results(viewer, "labels")  # the answer is there while it is tested
    assert iou(labels.data > 0, masks[0]) > 0.7
    assert "not measured yet" in dock.status.value
    assert dock.cancel_button.enabled
    more = np.zeros_like(painted)
    more[80:84, 2:12] = 1
    put(strokes, more)
    qtbot.waitUntil(lambda: len(taught) == 3, timeout=30_000)
    go_on.set()
    settle()
    few, all_of_them = int((painted > 0).sum()), int((strokes.data > 0).sum())
    assert taught == [(few, True), (few, False), (all_of_them, True), (all_of_them, False)]
    assert "Expected agreement (IoU): 0." in dock.status.value
    assert "filters alone" in dock.status.value


def test_words_to_begin_with(viewer, dock, begun, settle, monkeypatch):
    _, strokes, masks = begun()
    begins = []
    init = Teacher.__init__

    def note(self, *args, prompt, **options):
        begins.append(prompt)
        init(self, *args, prompt=prompt, **options)

    monkeypatch.setattr(Teacher, "__init__", note)
    words = dock.teaching.box.words
    words.value = "red disks"
    words.native.editingFinished.emit()
    put(strokes, paint(masks))
    settle()
    assert set(begins) == {"red disks"}
    assert iou(results(viewer, "labels")[0].data > 0, masks[0]) > 0.7
    dock.image.value = viewer.add_image(scene(1)[0], name="other")
    dock.paint()  # goes on from what was learned
    settle()
    assert words.value == ""
    assert not words.enabled
    dock.image.value = viewer.layers["disks"]
    dock.paint()
    settle()
    assert words.value == "red disks"
    assert words.enabled


def test_cancel_drops_what_is_learned(viewer, dock, begun, qtbot, settle, monkeypatch):
    reached, go_on = threading.Event(), threading.Event()
    teach = Teacher.teach

    def held(self, strokes, **options):
        reached.set()
        assert go_on.wait(30)
        return teach(self, strokes, **options)

    monkeypatch.setattr(Teacher, "teach", held)
    _, strokes, masks = begun()
    put(strokes, paint(masks))
    qtbot.waitUntil(reached.is_set, timeout=30_000)
    dock.cancel()
    assert not dock.teaching.busy
    go_on.set()
    settle()
    assert results(viewer, "labels") == []
    assert not any(layer.visible for layer in results(viewer, "first answer"))
    assert "Stopped" in dock.status.value
    dock.run()  # asks again
    settle()
    assert len(results(viewer, "labels")) == 1


def test_the_brush_is_chosen_here_and_in_napari(viewer, dock, begun):
    _, strokes, _ = begun()
    dock.teaching.box.brush.value = 1
    assert strokes.selected_label == 1
    buttons = dock.teaching.box.brush.native.findChildren(QRadioButton)
    viewer.add_image(np.zeros((4, 4)), contrast_limits=(0, 1))
    assert dock.teaching.box.brush.native.findChildren(QRadioButton) == buttons
    assert not any(button.icon().isNull() for button in buttons)
    assert strokes.selected_label == 1
    strokes.selected_label = 2
    assert dock.teaching.box.brush.value == 2
    dock.teaching.box.more.changed.emit(True)
    assert strokes.selected_label == 3
    assert [name for name, _ in dock.teaching.box._brushes()] == [
        "like this",
        "class 3",
        "not like this",
    ]


def test_two_classes_with_names(viewer, dock, begun, settle):
    _, strokes, masks = begun()
    put(strokes, paint(masks, classes=(0, 1)))
    settle()
    dock.teaching.box.choose_brush(3)
    dock.teaching.box.name.value = "blue disks"
    dock.teaching.box.name.native.editingFinished.emit()
    settle()
    (labels,) = results(viewer, "labels")  # of the old name none is left
    assert labels.metadata["napari_clipseg"]["prompts"] == ["like this", "blue disks"]
    assert iou(labels.data == 1, masks[0]) > 0.6
    assert iou(labels.data == 2, masks[1]) > 0.6


def test_what_is_still_to_be_painted_is_told_quietly(viewer, dock, begun, settle, told):
    _, strokes, _ = begun()
    for value, message in ((2, "Now choose 'not like this'"), (1, "Now choose 'like this'")):
        strokes.paint((20, 20), value)
        settle()
        assert message in dock.status.value
        strokes.undo()
        settle()
        assert "Paint a few short strokes" in dock.status.value
    assert told() == ""
    assert results(viewer, "labels") == []


def test_one_pixel_each(viewer, dock, begun, settle):
    _, strokes, _ = begun()
    one = np.zeros((96, 96), np.uint8)
    one[5, 5], one[60, 60] = 1, 2
    put(strokes, one)
    settle()
    assert "too few strokes to tell" in dock.status.value
    assert len(results(viewer, "labels")) == 1


def test_a_stack_is_painted_on_several_planes(viewer, dock, settle):
    images, masks = zip(*(scene(seed) for seed in (0, 1, 2)), strict=True)
    stack = np.stack(images)[..., 0]
    layer = viewer.add_image(stack, name="stack", scale=(4, 1, 1))
    viewer.dims.set_current_step(0, 1)
    dock.prompt.teach.value = True
    settle()
    strokes = find_strokes(viewer, layer)
    assert strokes.data.shape == stack.shape
    painted = np.zeros(stack.shape, np.uint8)
    painted[0], painted[1] = paint(masks[0]), paint(masks[1])
    put(strokes, painted)
    settle()
    (labels,) = results(viewer, "labels")
    assert labels.data.shape == (1, 96, 96)
    assert iou(labels.data[0] > 0, masks[1][0]) > 0.4
    assert labels.data_to_world((0, 0, 0)) == layer.data_to_world((1, 0, 0))
    viewer.dims.set_current_step(0, 2)
    dock.teaching.go_where_next()
    assert viewer.dims.current_step[0] in (0, 1)  # only there was something learned


def test_axes_in_another_order(viewer, dock, settle):
    image, masks = scene(channels=1)
    layer = viewer.add_image(image.T[:80], axis_labels=("x", "y"), name="turned")
    dock.prompt.teach.value = True
    settle()
    strokes = find_strokes(viewer, layer)
    assert strokes.data.shape == (80, 96)
    put(strokes, paint(masks).T[:80])
    settle()
    (labels,) = results(viewer, "labels")
    assert iou(labels.data > 0, masks[0].T[:80]) > 0.6


def test_a_multiscale_image_is_painted_on_at_its_finest_level(viewer, dock, settle):
    image, masks = scene()
    layer = viewer.add_image([image, image[::2, ::2]], name="levels", multiscale=True)
    dock.prompt.teach.value = True
    settle()
    strokes = find_strokes(viewer, layer)
    assert strokes.data.shape == image.shape[:2]
    put(strokes, paint(masks))
    settle()
    assert len(results(viewer, "labels")) == 1
    np.testing.assert_allclose(
        results(viewer, "labels")[0].extent.world, strokes.extent.world, atol=1.1
    )


def test_nan_under_strokes(viewer, dock, begun, settle):
    image, masks = scene(channels=1)
    image = image.astype(float)
    image[:20] = np.nan
    layer = viewer.add_image(image, name="gaps", contrast_limits=(0, 255))
    dock.image.value = layer
    dock.prompt.teach.value = True
    settle()
    strokes = find_strokes(viewer, layer)
    nan = np.zeros(image.shape, np.uint8)
    nan[2, :9], nan[10, :9] = 1, 2
    put(strokes, nan)
    settle()
    assert "NaN or infinite" in dock.status.value
    put(strokes, paint(masks))
    settle()
    assert len(results(viewer, "labels")) == 1


def test_where_next_and_doubt(viewer, dock, begun, settle):
    _, strokes, masks = begun()
    assert not dock.teaching.box.where.enabled
    put(strokes, paint(masks))
    settle()
    camera(viewer).center = (1000, 1000)
    dock.teaching.go_where_next()
    (mark,) = [layer for layer in viewer.layers if isinstance(layer, Points)]
    np.testing.assert_allclose(camera(viewer).center[-2:], mark.data[0])
    assert 0 <= min(camera(viewer).center[-2:]) <= max(camera(viewer).center[-2:]) < 96
    assert strokes.data[tuple(mark.data[0].astype(int))] == 0
    assert viewer.layers.selection.active == strokes
    dock.teaching.box.doubt.value = True
    (doubt,) = results(viewer, "doubt")
    assert isinstance(doubt, Image)
    assert 0 <= doubt.data.min() <= doubt.data.max() <= 1
    settle()
    strokes.paint((90, 90), 1)
    settle()
    assert not [layer for layer in viewer.layers if isinstance(layer, Points)]
    assert results(viewer, "doubt") == [doubt]
    dock.teaching.box.doubt.value = False
    assert results(viewer, "doubt") == []


def taught(dock, begun, settle):
    layer, strokes, masks = begun()
    put(strokes, paint(masks))
    settle()
    return layer, masks


def dialog(monkeypatch, path):
    for name in ("getSaveFileName", "getOpenFileName"):
        monkeypatch.setattr(module.QFileDialog, name, lambda *_, **__: (str(path), ""))


def test_save_and_load(viewer, dock, begun, settle, tmp_path, monkeypatch):
    taught(dock, begun, settle)
    before = results(viewer, "labels")[0].data.copy()
    dialog(monkeypatch, tmp_path / "disks")
    dock.teaching.box.save.changed.emit(True)
    path = tmp_path / "disks.safetensors"
    assert LearnedPrompt.load(path).names == ("like this",)
    assert str(path) in dock.status.value
    viewer.layers.clear()
    layer = viewer.add_image(scene()[0], name="again")
    dock.image.value = layer
    dialog(monkeypatch, path)
    dock.teaching.box.load.changed.emit(True)
    assert "Loaded disks.safetensors" in dock.status.value
    dock.run()
    settle()
    dock_runs(dock, settle)
    np.testing.assert_array_equal(results(viewer, "labels")[0].data, before)


def dock_runs(dock, settle):
    while not dock.run_button.enabled:
        QApplication.processEvents()
    settle()


def test_a_loaded_prompt_is_taught_further(
    viewer, dock, begun, settle, tmp_path, monkeypatch, qtbot
):
    taught(dock, begun, settle)
    path = tmp_path / "disks.safetensors"
    dock.teaching.learned.save(path)
    viewer.layers.clear()
    layer = viewer.add_image(scene(3)[0], name="other")
    dock.teaching.load(path)
    dock.image.value = layer
    dock.paint()
    settle()
    strokes = find_strokes(viewer, layer)
    strokes.paint((90, 90), 1)  # one side is enough to go on
    settle()
    images = dock.teaching.learned.record["images"]
    assert [one["name"] for one in images] == ["disks", "other"]
    assert len(results(viewer, "labels")) == 1


def test_it_goes_on_from_one_image_to_the_next(viewer, dock, begun, settle):
    taught(dock, begun, settle)
    layer = viewer.add_image(scene(3)[0], name="other")
    dock.image.value = layer
    dock.paint()
    settle()
    assert dock.teaching.box.start.current_choice == "learned on disks"
    find_strokes(viewer, layer).paint((90, 90), 1)
    settle()
    assert len(dock.teaching.learned.record["images"]) == 2
    dock.teaching.box.start.value = "nothing"  # from the new strokes alone
    settle()
    assert "Now choose 'like this'" in dock.status.value


def test_what_was_learned_is_applied_to_the_other_images(viewer, dock, begun, settle, qtbot):
    layer, _ = taught(dock, begun, settle)
    others = [viewer.add_image(scene(seed)[0], name=f"other {seed}") for seed in (1, 2)]
    dock.image.value = layer
    dock.apply.others.changed.emit(True)
    qtbot.waitUntil(lambda: len(results(viewer, "labels")) == 3, timeout=60_000)
    found = {
        labels.metadata["napari_clipseg"]["source"]: labels for labels in results(viewer, "labels")
    }
    assert set(found) == {"disks", *(other.name for other in others)}
    for seed in (1, 2):
        assert iou(found[f"other {seed}"].data > 0, scene(seed)[1][0]) > 0.5


def test_no_image(dock, settle, told):
    dock.prompt.teach.value = True
    assert "Open an image" in dock.status.value
    dock.paint()
    assert "There is no image layer to teach on" in told()


def test_nothing_taught_yet(viewer, dock, begun, settle, told):
    begun()
    dock.run()
    assert "Nothing was taught yet" in told()


def test_the_image_is_removed_while_it_learns(viewer, dock, begun, settle, qtbot):
    layer, strokes, masks = begun()
    put(strokes, paint(masks))
    qtbot.wait(200)
    viewer.layers.remove(layer)
    assert "'disks' was removed" in dock.status.value
    settle()
    assert strokes in viewer.layers
    strokes.paint((3, 3), 1)  # nobody answers, and nothing fails
    settle()
    assert results(viewer, "labels") == []


def test_its_pixels_are_replaced_while_it_learns(
    viewer, dock, begun, settle, qtbot, monkeypatch, told
):
    reached, go_on = threading.Event(), threading.Event()
    teach = Teacher.teach

    def held(self, strokes, **options):
        reached.set()
        assert go_on.wait(30)
        return teach(self, strokes, **options)

    monkeypatch.setattr(Teacher, "teach", held)
    layer, strokes, masks = begun()
    put(strokes, paint(masks))
    qtbot.waitUntil(reached.is_set, timeout=30_000)
    layer.data = np.zeros((40, 50, 3), np.uint8)
    go_on.set()
    settle()
    assert "were replaced" in told()
    strokes.paint((3, 3), 1)
    settle()
    assert "Press Paint for strokes that fit" in dock.status.value
    dock.paint()
    settle()
    assert find_strokes(viewer, layer).data.shape == (40, 50)


def test_the_strokes_are_removed(viewer, dock, begun, settle, qtbot):
    _, strokes, masks = begun()
    put(strokes, paint(masks))
    qtbot.wait(200)  # napari draws strokes late, and not after their layer is gone
    viewer.layers.remove(strokes)
    settle()
    assert "The strokes were removed" in dock.status.value
    assert results(viewer, "labels") == []


def test_another_model_answers_the_same_strokes(viewer, dock, begun, settle, checkpoint, tmp_path):
    taught(dock, begun, settle)
    other = shutil.copytree(checkpoint("small"), tmp_path / "copy")
    dock.offer_model(str(other))
    settle()
    assert Recipe.of(results(viewer, "labels")[0]).model == str(other)
    path = tmp_path / "disks.safetensors"
    dock.teaching.learned.save(path)
    dock.teaching.load(path)
    dock.offer_model("demo")
    settle()
    assert "was taught with the model" in dock.status.value


def test_files_that_cannot_be_read(viewer, dock, told, tmp_path, monkeypatch):
    dock.prompt.teach.value = True
    for name, content in (("missing", None), ("empty", b""), ("other", b"no such file at all")):
        path = tmp_path / f"{name}.safetensors"
        if content is not None:
            path.write_bytes(content)
        dialog(monkeypatch, path)
        dock.teaching.box.load.changed.emit(True)
        assert f"{name}.safetensors" in told()
        assert dock.teaching.learned is None


def test_a_folder_that_cannot_be_written(viewer, dock, begun, settle, told, tmp_path, monkeypatch):
    taught(dock, begun, settle)
    dialog(monkeypatch, tmp_path / "none" / "disks.safetensors")
    dock.teaching.box.save.changed.emit(True)
    assert "disks.safetensors" in told()


def test_too_large_an_image(viewer, dock, told, monkeypatch):
    from napari_clipseg.widgets import strokes

    monkeypatch.setattr(strokes, "MOST_PIXELS", 100)
    viewer.add_image(np.zeros((20, 20), np.uint8), name="large", contrast_limits=(0, 255))
    dock.prompt.teach.value = True
    assert "at most 100 can be painted on" in told()
    assert len(viewer.layers) == 1


def test_the_window_is_closed_while_it_learns(viewer, dock, begun, qtbot, monkeypatch, told):
    reached, go_on = threading.Event(), threading.Event()
    teach = Teacher.teach

    def held(self, strokes, **options):
        reached.set()
        assert go_on.wait(30)
        return teach(self, strokes, **options)

    monkeypatch.setattr(Teacher, "teach", held)
    _, strokes, masks = begun()
    put(strokes, paint(masks))
    qtbot.waitUntil(reached.is_set, timeout=30_000)
    lesson = next(one for one in threading.enumerate() if one.name == "napari-clipseg")
    viewer.close()
    go_on.set()
    lesson.join(30)
    assert not lesson.is_alive()
    assert told() == ""
