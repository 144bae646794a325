"""The panel in a real window: what is drawn, chosen and shown, and how it lies."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Shapes
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QLabel

import napari_clipseg
from napari_clipseg import Recipe
from napari_clipseg.engine.checkpoints.locate import KNOWN
from napari_clipseg.images.visual_prompts import visual_prompt
from napari_clipseg.widgets import hints
from napari_clipseg.widgets.accessible import focusable
from napari_clipseg.widgets.outlook import camera
from napari_clipseg.widgets.prompt_list import MAP, NAME

RANDOM = np.random.default_rng(0)
BOX = np.array([[10, 20], [10, 30], [17, 30], [17, 20]], dtype=float)


@pytest.fixture
def image():
    return RANDOM.integers(0, 255, (40, 60), dtype=np.uint8)


def cut(plane, rows, columns):
    """What the model sees of a part of a gray plane."""
    mask = np.zeros(plane.shape, bool)
    mask[rows, columns] = True
    return visual_prompt(np.repeat(plane[..., None], 3, axis=2), mask)


def on_plane(corners, *plane):
    return np.column_stack([*(np.full(len(corners), float(i)) for i in plane), corners])


# 1: the plane of an example


def test_an_example_is_read_from_the_plane_on_which_it_was_drawn(viewer, dock, run, image):
    stack = np.stack([image, 255 - image, image // 2])
    layer = viewer.add_image(stack, name="cells", contrast_limits=(0, 255), scale=(3, 1, 1))
    dock.prompt.draw_example()
    boxes = viewer.layers.selection.active
    boxes.add(on_plane(BOX, 0), shape_type="rectangle")
    viewer.dims.set_point(0, 3)
    run()
    of_first = cut(stack[0], slice(10, 18), slice(20, 31))
    np.testing.assert_array_equal(Recipe.of(viewer.layers[-1]).prompts[0], of_first)
    # Two selected ones, each on its own plane; by the user's own layer of another scale.
    own = viewer.add_shapes(
        [on_plane(BOX, 0), on_plane(BOX, 2)], scale=(3, 1, 1), shape_type="rectangle"
    )
    own.selected_data = {0, 1}
    run(reference=layer, region=own)
    seen = Recipe.of(viewer.layers[-1]).prompts[0].prompts
    np.testing.assert_array_equal(seen[0], of_first)
    np.testing.assert_array_equal(seen[1], cut(stack[2], slice(10, 18), slice(20, 31)))
    # A flat layer knows no plane: that one counts that is shown.
    flat = viewer.add_shapes([BOX], shape_type="rectangle")
    run(reference=layer, region=flat)
    seen = Recipe.of(viewer.layers[-1]).prompts[0]
    np.testing.assert_array_equal(seen, cut(stack[1], slice(10, 18), slice(20, 31)))


# 2: drawing


def test_the_button_makes_a_layer_of_outlines_and_the_newest_box_counts(
    viewer, dock, run, qtbot, image
):
    viewer.add_image(image, name="cells", contrast_limits=(0, 255))
    qtbot.mouseClick(dock.prompt.draw.native, Qt.MouseButton.LeftButton)
    boxes = viewer.layers.selection.active
    assert isinstance(boxes.__wrapped__, Shapes)
    assert boxes.mode == "add_rectangle"
    assert boxes.current_face_color == "#00000000"
    assert [row.name for row in dock.prompt.rows] == ["like the example in cells"]
    assert boxes not in [choice for choice in dock.run_options.region.choices if choice]
    boxes.add(BOX, shape_type="rectangle")
    boxes.add(BOX + np.array([15, 0]), shape_type="rectangle")
    boxes.selected_data = set()
    run()
    newest = cut(image, slice(25, 33), slice(20, 31))
    np.testing.assert_array_equal(Recipe.of(viewer.layers[-1]).prompts[0], newest)
    qtbot.waitUntil(lambda: "data:image/png" in dock.prompt.list.topLevelItem(0).toolTip(NAME))
    # A click starts an example of something else; without one, the layer is taken again.
    dock.prompt.draw_example()
    other = viewer.layers.selection.active
    dock.prompt.draw_example()
    assert viewer.layers.selection.active == other != boxes
    assert len(dock.prompt.rows) == 2
    viewer.layers.remove(other)
    assert len(dock.prompt.rows) == 1


def test_texts_and_examples_are_one_run(viewer, dock, run, image):
    viewer.add_image(image, name="cells", contrast_limits=(0, 255))
    dock.prompt.set_lines("nuclei\n- rings")
    dock.prompt.draw_example()
    viewer.layers.selection.active.add(BOX, shape_type="rectangle")
    run()
    recipe = Recipe.of(viewer.layers[-1])
    assert recipe.prompt_names == ("nuclei", "like the example in cells")
    assert recipe.negative_prompts == ("rings",)
    assert recipe.prompts[0] == "nuclei"
    np.testing.assert_array_equal(recipe.prompts[1], cut(image, slice(10, 18), slice(20, 31)))


def test_an_example_of_one_image_finds_things_in_another(viewer, dock, run, image):
    viewer.add_image(image, name="first", contrast_limits=(0, 255))
    dock.prompt.draw_example()
    viewer.layers.selection.active.add(BOX, shape_type="rectangle")
    viewer.add_image(255 - image, name="second", contrast_limits=(0, 255))
    run()
    assert viewer.layers[-1].metadata["napari_clipseg"]["source"] == "second"
    seen = Recipe.of(viewer.layers[-1]).prompts[0]
    np.testing.assert_array_equal(seen, cut(image, slice(10, 18), slice(20, 31)))


def test_points_are_examples_of_their_size(viewer, dock, run, image):
    layer = viewer.add_image(image, name="cells", contrast_limits=(0, 255), scale=(2, 2))
    points = viewer.add_points([[12, 25], [30, 40]], size=9, name="these", scale=(2, 2))
    points.selected_data = {0}
    run(reference=layer, region=points)
    recipe = Recipe.of(viewer.layers[-1])
    rows, columns = np.ogrid[:40, :60]
    disk = (rows - 12) ** 2 + (columns - 25) ** 2 <= 4.5**2
    wanted = visual_prompt(np.repeat(image[..., None], 3, axis=2), disk)
    assert recipe.prompt_names == ("like these in cells",)
    assert np.abs(recipe.prompts[0].astype(int) - wanted).mean() < 3  # of a circle of 64 corners
    points.selected_data = set()
    points.data = np.empty((0, 2))
    run(reference=layer, region=points)
    assert "'these' has no point" in dock.status.value


@pytest.mark.parametrize("axes", [("y", "x"), ("x", "y")])
def test_what_the_model_sees_lies_on_the_image(viewer, dock, qtbot, axes):
    data = RANDOM.integers(0, 255, (230, 300), dtype=np.uint8)
    layer = viewer.add_image(
        data,
        name="cells",
        contrast_limits=(0, 255),
        scale=(2, 2),
        translate=(7, 9),
        axis_labels=axes,
    )
    dock.run_options.detail.value = "fine"
    camera(viewer).center = layer.data_to_world((40, 60))
    dock.model_view.button.changed.emit(True)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=30_000)
    seen = viewer.layers[-1]
    assert seen.name == "cells · as the model sees it"
    assert dock.image.value == layer
    # Fine tiles are shown pixel for pixel.
    there = np.round(layer.world_to_data(seen.data_to_world((0, 0)))).astype(int)
    rows, columns = (slice(at, at + size) for at, size in zip(there, seen.data.shape, strict=False))
    np.testing.assert_array_equal(seen.data[..., 0], data[rows, columns])


# 3: the image


def test_the_image_follows_the_selected_layer_unless_it_is_pinned(viewer, dock, image):
    first, second = (viewer.add_image(image, name=name) for name in ("first", "second"))
    assert dock.image.value == second
    viewer.layers.selection.active = first
    assert dock.image.value == first
    viewer.layers.selection.active = viewer.add_labels(image.astype(int))
    assert dock.image.value == first  # what is no image is none to segment
    dock.pin.value = True
    viewer.layers.selection.active = second
    third = viewer.add_image(image, name="third")
    assert dock.image.value == first
    dock.pin.value = False
    assert dock.image.value == third


# 4: empty answers


def test_an_empty_answer_says_how_near_it_was(viewer, dock, run, image):
    viewer.add_image(image, name="cells", contrast_limits=(0, 255))
    dock.results.threshold.value = 1.0
    run(text="nuclei")
    highest = dock.results.result.segmentation.probability.max()
    assert f"nuclei: nothing above 1.00; the highest probability is {highest:.2f}." == (
        dock.status.value
    )
    assert not dock.get_model.visible  # it is not the bundled checkpoint that was asked
    dock.results.threshold.value = 0.0
    assert "nothing above" not in dock.status.value


def test_words_that_the_bundled_checkpoint_does_not_know_lead_to_one_that_does(
    viewer, dock, run, image, monkeypatch
):
    asked = []
    dock.ask_to_download = lambda entry, parent: asked.append(entry.name)
    viewer.add_image(np.zeros((40, 60), np.uint8), name="cells", contrast_limits=(0, 255))
    dock.model.value = "demo"
    run(text="nuclei")
    assert not dock.get_model.visible
    run(text="nuclei\ntabby cat")
    assert "does not know 'tabby', 'cat'" in dock.status.value
    assert dock.get_model.visible
    dock.get_model.changed.emit(True)
    assert asked == [KNOWN[0]]
    assert dock.model.value == KNOWN[0]


def test_the_known_words_are_those_of_the_card():
    card = Path(napari_clipseg.__file__).parent / "checkpoints" / "demo" / "README.md"
    text = card.read_text(encoding="utf-8").split("## The words it knows")[1].split("##")[0]
    table = dict(re.findall(r"^\| (\w+) \| ([\w(), ]+) \|$", text, flags=re.MULTILINE))
    table.pop("kind")
    wanted = {}
    for kind, others in table.items():
        words = [re.sub(r"\(.*\)", "", word) for word in others.split(", ")]
        plurals = [re.sub(r"[()]", "", word) for word in others.split(", ") if "(" in word]
        wanted[kind] = {*words, *plurals}
    assert {kind: set(others.split()) for kind, others in hints.KINDS.items()} == wanted
    prose = set(re.findall(r"\w+", text))
    assert {*hints.SIZES.split(), *hints.COLOR_WORDS.split()} <= prose


# 5, 6: how it lies


def test_the_first_look_fits_350_by_700_pixels_and_the_rest_scrolls(viewer, dock, image):
    viewer.add_image(np.stack([image] * 3), name="cells")
    dock.native.resize(350, 700)
    QApplication.processEvents()
    area = dock.native.findChildren(type(dock.native.layout().itemAt(0).widget()))[0]
    assert dock.native.minimumSizeHint().width() <= 300
    dock.prompt.set_lines("\n".join(f"prompt {i}" for i in range(30)))
    dock.status.value = "\n".join(f"prompt {i}: 0.1% of the image" for i in range(30))
    QApplication.processEvents()
    assert dock.native.minimumSizeHint().height() < 400
    assert area.widget().minimumSizeHint().width() <= 350


def test_what_folds_out_is_hidden_at_first(dock):
    assert not dock.run_options.region.visible
    assert not dock.apply.others.visible
    QTest.mouseClick(dock.more_options.button, Qt.MouseButton.LeftButton)
    assert dock.run_options.region.visible
    QTest.mouseClick(dock.more_images.button, Qt.MouseButton.LeftButton)
    assert dock.apply.others.visible
    assert dock.series.isVisible()


def test_the_wheel_changes_only_what_has_the_focus(dock, qtbot):
    box = dock.model.native
    assert isinstance(box, QComboBox)

    def turn():
        there = QPointF(box.rect().center())
        event = QWheelEvent(
            there,
            QPointF(box.mapToGlobal(box.rect().center())),
            QPoint(0, -120),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(box, event)

    box.setCurrentIndex(0)
    before = dock.model.value
    box.clearFocus()
    turn()
    assert dock.model.value == before
    dock.native.window().activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus)
    turn()
    assert dock.model.value != before


def test_the_map_of_a_prompt_is_shown_and_hidden_in_its_row(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei\nrings")
    rows = dock.prompt.list
    assert rows.color_of(rows.rows[1]) == "green"
    assert rows.topLevelItem(1).checkState(MAP) == Qt.CheckState.Unchecked
    for state in (Qt.CheckState.Checked, Qt.CheckState.Unchecked):
        rows.topLevelItem(1).setCheckState(MAP, state)
        assert viewer.layers["cells · rings"].visible == (state == Qt.CheckState.Checked)


# 8: names, keys, and samples


def test_everything_has_a_name_and_a_tooltip_and_tab_goes_down(viewer, dock, image):
    viewer.add_image(np.stack([image] * 3), name="cells")
    dock.prompt.teach.value = True
    for fold in dock.folds.values():
        fold.open = True
    dock.prompt.teach.value = False
    QApplication.processEvents()
    fields = [field for field in focusable(dock.native) if field.isVisible()]
    assert len(fields) > 15
    for field in fields:
        text = getattr(field, "text", str)()
        assert field.accessibleName() or text, type(field)
        around, tips = field, []
        while around is not None and around is not dock.native:
            tips.append(around.toolTip())
            around = around.parentWidget()
        assert any(tips), (type(field), field.accessibleName(), text)
    for one, other in pairwise(fields):
        after = one.nextInFocusChain()
        while after is not other and (not after.isVisible() or after not in fields):
            after = after.nextInFocusChain()
            assert after is not one
        assert after is other
    buddies = {label.text(): label.buddy() for label in dock.native.findChildren(QLabel)}
    for text in ("Layer", "Planes", "Model", "Threshold", "Within"):
        assert buddies[text] is not None, text


def test_escape_cancels(dock, qtbot, monkeypatch):
    stopped = []
    monkeypatch.setattr(type(dock), "cancel", lambda self: stopped.append(1))
    dock._escape.activated.disconnect()
    dock._escape.activated.connect(dock.cancel)
    dock.native.window().activateWindow()
    line = dock.prompt.line.native
    line.setFocus()
    qtbot.waitUntil(line.hasFocus)
    QTest.keyClick(line, Qt.Key.Key_Escape)
    assert stopped


@pytest.mark.parametrize(
    ("key", "prompt"),
    [("shapes", "red rings"), ("coins", "coins"), ("deep_field", "spots")],
)
def test_a_sample_opens_the_dock_with_a_prompt_and_the_cursor_in_it(
    viewer, npe2pm, qtbot, key, prompt
):
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-clipseg")
    with npe2pm.tmp_plugin(manifest=manifest):
        (layer,) = viewer.open_sample("napari-clipseg", key)
        (dock,) = viewer.window.dock_widgets.values()
        assert dock.image.value == layer
        assert dock.prompt.line.value == prompt
        dock.native.window().activateWindow()
        qtbot.waitUntil(dock.prompt.line.native.hasFocus)
        QTest.keyClick(dock.prompt.line.native, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=30_000)
        assert [one.name for one in viewer.layers[1:]][-1] == f"{layer.name} · {prompt} · labels"
        assert viewer.layers[-1].data.any()
