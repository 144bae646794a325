"""What a user, or the machine, does while the dock runs: nothing is lost, and it goes on."""

from __future__ import annotations

import errno
import gc
import threading
import weakref

import dask.array
import numpy as np
import pytest
from napari.layers import Labels
from napari.utils.notifications import ErrorNotification, notification_manager

from napari_clipseg import Recipe, results, segmentation
from napari_clipseg import run as run_module
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.io.source import Reader
from napari_clipseg.images.tiling import mosaic
from napari_clipseg.recipe import METADATA

pytestmark = pytest.mark.window(False)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 60), dtype=np.uint8)


class Held:
    """Hold each run within its encoding until the test lets it go on."""

    def __init__(self, monkeypatch):
        self.reached, self._go_on = threading.Event(), threading.Event()
        encode = Engine.encode

        def wait_then_encode(engine, images, **options):
            self.reached.set()
            assert self._go_on.wait(30)
            return encode(engine, images, **options)

        monkeypatch.setattr(Engine, "encode", wait_then_encode)

    def start(self, dock, qtbot, text="nuclei"):
        self.reached.clear()
        self._go_on.clear()
        if text is not None:
            dock.prompt.set_lines(text)
        dock.run()
        qtbot.waitUntil(self.reached.is_set, timeout=30_000)

    def finish(self, dock, qtbot):
        self._go_on.set()
        qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=30_000)

    def let_go(self):
        self._go_on.set()


@pytest.fixture
def held(monkeypatch):
    held = Held(monkeypatch)
    yield held
    held.let_go()


def record(layer):
    return layer.metadata[METADATA]


def test_what_is_chosen_while_it_runs_is_for_the_next_run(
    viewer, dock, qtbot, told, image, held, checkpoint
):
    stack = viewer.add_image(np.stack([image, 255 - image]), name="cells", scale=(1, 2, 3))
    other = viewer.add_image(np.zeros((9, 9)), name="other", contrast_limits=(0, 1))
    outline = viewer.add_shapes([[[0, 0], [0, 40], [30, 40]]], shape_type="polygon")
    model = dock.model.value
    dock.image.value = stack
    dock.run_options.region.value = outline
    viewer.dims.set_point(0, 0)
    held.start(dock, qtbot)
    # Layers renamed, moved, removed and added; the plane, the model and all options changed.
    stack.name = "renamed"
    viewer.layers.move(0, 2)
    viewer.layers.remove(outline)
    viewer.layers.remove(other)
    viewer.add_image(np.ones((5, 5)), name="new", contrast_limits=(0, 1))
    viewer.layers.selection.active = viewer.layers[-1]
    viewer.dims.set_point(0, 1)
    dock.offer_model(str(checkpoint("small-refined")))
    dock.prompt.set_lines("something else")
    dock.run_options.detail.value = "fine"
    dock.run_options.planes.value = "all of them"
    dock.run_options.refine_edges.value = False
    stack.scale = (1, 4, 6)
    held.finish(dock, qtbot)
    maps, labels = viewer.layers[-2:]
    recipe = Recipe.of(labels)
    assert (recipe.prompts, recipe.model, recipe.detail.tile_size) == (("nuclei",), model, "whole")
    assert list(recipe.planes.values()) == [0]
    assert recipe.refine_edges
    assert len(recipe.region) == 3
    assert maps.data.shape[-2:] == (16, 14)
    assert record(labels)["source"] == "renamed"
    assert tuple(labels.scale[-2:]) == (4, 6), "it lies on the layer as it is now"
    assert told() == ""
    held.start(dock, qtbot, text=None)
    held.finish(dock, qtbot)
    assert Recipe.of(viewer.layers[-1]).prompts == ("something else",)


def test_earlier_results_are_removed_edited_and_renamed_while_it_runs(
    viewer, dock, qtbot, told, image, held
):
    viewer.add_image(image, name="cells")
    held.start(dock, qtbot)
    held.finish(dock, qtbot)
    maps, labels = viewer.layers[1:]
    held.start(dock, qtbot)
    viewer.layers.remove(maps)
    labels.name = "mine"
    labels.paint((5, 5), 7)
    strokes = labels.data.copy()
    held.finish(dock, qtbot)
    np.testing.assert_array_equal(labels.data, strokes)
    assert "'mine' was edited by hand" in told()
    assert sum(isinstance(layer, Labels) for layer in viewer.layers) == 2
    assert [layer.name for layer in viewer.layers] == [
        "cells",
        "mine",
        "cells · nuclei",
        "cells · nuclei · labels",
    ]


def test_every_layer_is_removed_while_it_runs(viewer, dock, qtbot, told, image, held, run):
    viewer.add_image(image, name="cells")
    held.start(dock, qtbot)
    viewer.layers.clear()
    held.finish(dock, qtbot)
    assert "'cells' was removed" in told()
    assert len(viewer.layers) == 0
    viewer.add_image(image, name="again")
    run(text="nuclei")
    assert len(viewer.layers) == 3


def test_pixels_are_written_into_the_image_while_it_runs(viewer, dock, qtbot, image, held):
    mine = image.copy()
    viewer.add_image(mine, name="cells")
    held.start(dock, qtbot)
    mine[:] = 0
    held.finish(dock, qtbot)
    assert (mine == 0).all()
    assert np.isfinite(viewer.layers[1].data).all()


@pytest.mark.window(True)
def test_two_docks_run_at_once(viewer, dock, qtbot, image, held):
    from napari_clipseg.widgets.dock import CLIPSegDock

    viewer.add_image(image, name="cells")
    other = CLIPSegDock(viewer)
    viewer.window.add_dock_widget(other, name="other")
    other.offer_model(dock.model.value)
    held.start(dock, qtbot)
    other.prompt.set_lines("red rings")
    other.run()
    assert not other.run_button.enabled
    held.finish(dock, qtbot)
    held.finish(other, qtbot)
    made = {layer.name for layer in viewer.layers}
    assert {"cells · nuclei · labels", "cells · red rings · labels"} <= made


@pytest.mark.window(True)
def test_the_dock_is_closed_while_it_runs(viewer, dock, qtbot, told, image, held):
    viewer.add_image(image, name="cells")
    held.start(dock, qtbot)
    worker, gone = dock._worker, weakref.ref(dock._run)
    with qtbot.waitSignal(worker.finished, timeout=30_000):
        viewer.window.remove_dock_widget(dock.native)
        dock.native.close()
        dock.native.deleteLater()
        qtbot.waitUntil(lambda: worker.abort_requested, timeout=30_000)
        held.let_go()
    qtbot.wait(50)
    assert told() == ""
    assert [layer.name for layer in viewer.layers] == ["cells"]
    dock._run = None
    gc.collect()
    assert gone() is None


# Where something can fail in the thread of a run, or right after it.
STEPS = {
    "loading": (segmentation, "load"),
    "the prompts": (Engine, "embed"),
    "the contrast": (segmentation, "resolve"),
    "room for the map": (segmentation, "create_map"),
    "reading a tile": (Reader, "read"),
    "rendering": (mosaic.Mosaic, "render"),
    "encoding": (Engine, "encode"),
    "decoding": (Engine, "decode"),
    "blending": (mosaic.Mosaic, "add"),
    "edges": (run_module, "refine_strips"),
    "labels": (results, "semantic_labels"),
    "objects": (results, "object_table"),
}
ERRORS = [
    ValueError("a value"),
    RuntimeError("CUDA error: unspecified"),
    MemoryError("no memory"),
    OSError(errno.ENOSPC, "No space left on device"),
    KeyError("a key"),
    ZeroDivisionError("a division"),
]


def test_an_error_in_each_step_is_told_and_the_dock_goes_on(
    viewer, dock, run, told, image, monkeypatch
):
    viewer.add_image(image, name="cells")
    missing = [name for name, (where, what) in STEPS.items() if not hasattr(where, what)]
    assert missing == []
    for number, (name, (where, what)) in enumerate(STEPS.items()):
        error = ERRORS[number % len(ERRORS)]

        def fail(*_, error=error, **__):
            raise error

        before = len(viewer.layers)
        with monkeypatch.context() as patch:
            patch.setattr(where, what, fail)
            run(text=f"nuclei {number}")
        assert str(error.args[-1]) in told(), name
        assert str(error.args[-1]) in dock.status.value, name
        assert len(viewer.layers) == before, name
        assert dock._run is dock._worker is None, name
        assert not dock.progress.visible
    run(text="nuclei")
    assert len(viewer.layers) == 3


def test_an_image_that_cannot_be_read_any_more_is_told(viewer, dock, run, told, image):
    gone = threading.Event()

    def read(block):
        if gone.is_set():
            raise OSError(errno.EIO, "the network drive is gone")
        return block

    lazy = dask.array.from_array(image, chunks=20).map_blocks(read, dtype=image.dtype)
    viewer.add_image(lazy, contrast_limits=(0, 255), name="cells")
    gone.set()
    run(text="nuclei")
    assert "the network drive is gone" in told()
    # It is no fault of ours, whose traceback would help.
    assert not isinstance(notification_manager.records[-1], ErrorNotification)
    assert len(viewer.layers) == 1
    gone.clear()
    run(text="nuclei")
    assert len(viewer.layers) == 3
