"""Which result is which: none replaces another, the threshold is of the selected one; colors."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_clipseg import Recipe
from napari_clipseg.widgets import labelling
from napari_clipseg.widgets.colors import prompt_colors
from napari_clipseg.widgets.dock import CLIPSegDock

pytestmark = pytest.mark.window(False)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (60, 90), dtype=np.uint8)


def labels_of(viewer):
    return [
        x for x in viewer.layers if x.metadata.get("napari_clipseg", {}).get("role") == "labels"
    ]


def box(viewer, layer, corners):
    return viewer.add_shapes([[layer.data_to_world(c) for c in corners]], shape_type="polygon")


def test_another_recipe_is_another_result(viewer, dock, run, image, checkpoint):
    layer = viewer.add_image(image, name="cells")
    run(text="nuclei")
    first = labels_of(viewer)[0]
    data = first.data.copy()
    region = box(viewer, layer, [(10, 10), (10, 50), (40, 50), (40, 10)])
    dock.run_options.region.value = region
    run()
    assert "of the region" in dock.status.value
    region.data = [np.array([(5, 5), (5, 30), (30, 30), (30, 5)])]
    run()
    dock.run_options.region.value = None
    dock.run_options.detail.value = "fine"
    run()
    dock.offer_model(str(checkpoint("small-refined")))
    dock.run_options.detail.value = "whole"
    run()
    names = [x.name for x in labels_of(viewer)]
    assert len(names) == len(set(names)) == 5
    assert names[:2] == ["cells · nuclei · labels", "cells · nuclei · labels (a region)"]
    assert names[3:] == [
        "cells · nuclei · labels (fine)",
        f"cells · nuclei · labels ({checkpoint('small-refined').name})",
    ]
    np.testing.assert_array_equal(first.data, data)
    run()  # the same again
    assert len(labels_of(viewer)) == 5


def test_the_threshold_is_that_of_the_selected_result(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    run(text="rings\nspots")
    one, other = labels_of(viewer)
    kept = other.data.copy()
    viewer.layers.selection.active = one
    assert dock.results.which.value == "cells · nuclei"
    dock.results.threshold.value = 0.61
    np.testing.assert_array_equal(one.data, viewer.layers["cells · nuclei"].data > 0.61)
    np.testing.assert_array_equal(other.data, kept)
    # A map selects its result, and another layer changes nothing.
    viewer.layers.selection.active = viewer.layers["cells · spots"]
    assert dock.results.which.value == "cells · rings, spots"
    assert dock.results.threshold.value == pytest.approx(0.3)
    viewer.layers.selection.active = viewer.layers["cells"]
    assert dock.results.which.value == "cells · rings, spots"
    # One threshold a prompt.
    dock.results.each.value = True
    assert [x.label for x in dock.results.sliders] == ["rings", "spots"]
    dock.results.sliders[0].value = 1.0
    assert not (other.data == 1).any()
    assert (other.data == 2).any()
    assert Recipe.of(other).threshold == (1.0, 0.3)
    viewer.layers.selection.active = one
    assert not dock.results.each.visible
    viewer.layers.selection.active = other
    assert [x.value for x in dock.results.sliders] == [1.0, 0.3]


@pytest.mark.window(True)
def test_a_dock_that_is_opened_again_finds_its_results(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei\n- rings")
    labels = labels_of(viewer)[0]
    again = CLIPSegDock(viewer)
    viewer.window.add_dock_widget(again, name="again")
    assert again.results.which.value == "cells · nuclei"
    again.results.threshold.value = 0.1
    (maps,) = [x for x in viewer.layers if x.name == "cells · nuclei"]
    # The map of the negative prompt is there, too.
    assert (labels.data <= (maps.data > 0.1)).all()
    assert (labels.data < (maps.data > 0.1)).any()
    # The first dock goes on with the same layer.
    dock.results.threshold.value = 0.5
    assert len(labels_of(viewer)) == 1
    # The labels were deleted: the threshold makes new ones.
    viewer.layers.remove(labels)
    again.results.threshold.value = 0.4
    assert len(labels_of(viewer)) == 1
    assert again.results.result.labels_layer.data.any()


def test_each_prompt_has_a_color_of_its_own_in_all_runs(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    run(text="rings\nnuclei")
    run(text="spots")
    colors = {"nuclei": "magenta", "rings": "green", "spots": "cyan"}
    for name, color in colors.items():
        assert viewer.layers[f"cells · {name}"].colormap.name == color
    shown = viewer.layers["cells · rings, nuclei · labels"].colormap.color_dict
    np.testing.assert_allclose(shown[1], (0, 0.5, 0, 1), atol=0.01)
    np.testing.assert_allclose(shown[2], (1, 0, 1, 1), atol=0.01)
    assert prompt_colors(viewer, ["a", "nuclei", "b", "c", "d"]) == {
        "a": "yellow",
        "nuclei": "magenta",
        "b": "red",
        "c": "blue",
        "d": "magenta",  # all are taken
    }
    # Maps are hidden until they are asked for.
    assert [x.visible for x in viewer.layers if x.name == "cells · spots"] == [False]
    dock.results.maps.value = True
    assert viewer.layers["cells · spots"].visible
    assert not viewer.layers["cells · nuclei"].visible, "the other results' stay hidden"


@pytest.mark.window(True)
def test_labels_are_drawn_in_their_new_colors(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    run(text="nuclei")
    dock.results.threshold.value = 0.0
    labels = labels_of(viewer)[0]
    viewer.layers["cells"].visible = False

    def color():
        shot = viewer.screenshot(canvas_only=True, flash=False)[..., :3].reshape(-1, 3)
        return set(map(tuple, shot[shot.max(axis=1) > 60].tolist()))

    by_prompt = color()
    dock.results.objects.value = True
    labels.data[:] = np.arange(60)[:, None] // 6 + 1
    labels.refresh()
    assert len(color()) > 5 * len(by_prompt)
    dock.results.objects.value = False
    viewer.layers.remove(labels)


def test_large_results_are_labelled_in_a_thread_the_newest_value_wins(
    viewer, dock, run, qtbot, monkeypatch
):
    stack = np.random.default_rng(0).integers(0, 255, (4, 60, 90), dtype=np.uint8)
    viewer.add_image(stack, name="cells", contrast_limits=(0, 255))
    dock.run_options.planes.value = "all of them"
    monkeypatch.setattr(labelling, "SMALL", 0)
    monkeypatch.setattr(labelling, "SMALL_OBJECTS", 0)
    run(text="nuclei")
    result = dock.results.result
    qtbot.waitUntil(lambda: not result.busy, timeout=10_000)
    viewer.dims.set_point(0, 2)
    planes = []
    result._labelling._told.connect(lambda _, made: planes.append(made.plane))
    middle = float(np.median(result.segmentation.probability))
    for threshold in (0.9, 0.1, 0.8, middle):
        dock.results.threshold.value = threshold
    qtbot.waitUntil(lambda: not result.busy, timeout=10_000)
    threshold = dock.results.threshold.value
    np.testing.assert_array_equal(
        result.labels_layer.data, viewer.layers["cells · nuclei"].data > threshold
    )
    assert (2,) in planes, "the plane that is shown came first"
    assert len(result.labels_layer.features) == 1
    dock.results.objects.value = True
    qtbot.waitUntil(lambda: not result.busy, timeout=30_000)
    assert "of 4 planes" in dock.status.value
    assert f"{result.labels_layer.data.max()} objects" in dock.status.value
    assert len(result.labels_layer.features) == result.labels_layer.data.max()
    # Strokes are noticed although the work is done elsewhere.
    result.labels_layer.paint((0, 5, 5), 3)
    strokes, mine = result.labels_layer.data.copy(), result.labels_layer
    dock.results.threshold.value = 0.2
    qtbot.waitUntil(lambda: not result.busy, timeout=30_000)
    np.testing.assert_array_equal(mine.data, strokes)
    assert result.labels_layer is not mine
    assert sum(isinstance(x, Labels) for x in viewer.layers) == 2


def test_least_size_is_in_pixels_whatever_the_unit(viewer, dock, run, image):
    viewer.add_image(image, name="cells", scale=(0.01, 0.01))
    dock.results.objects.value = True
    run(text="nuclei")
    maps = dock.results.result.segmentation.probability
    maps[:] = 0
    maps[0, 5:15, 5:15] = maps[0, 30:33, 30:33] = maps[0, 50:55, 50:60] = 0.9
    dock.results.threshold.value = 0.5
    labels = dock.results.result.labels_layer
    assert labels.data.max() == 2  # nine pixels are a crumb beside the others
    dock.results.least_size.value = 9
    assert labels.data.max() == 3
    dock.results.least_size.value = 60
    assert labels.data.max() == 1
