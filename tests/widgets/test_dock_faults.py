"""What can go wrong while the dock is used: each is told, nothing is lost, and it goes on."""

import json
import shutil
import threading
import warnings

import numpy as np
import pytest

from napari_clipseg import Recipe
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import DeviceWarning

pytestmark = pytest.mark.window(False)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 60), dtype=np.uint8)


@pytest.fixture
def held(monkeypatch):
    """Hold each run within its encoding until the test lets it go on."""
    reached, go_on = threading.Event(), threading.Event()
    encode = Engine.encode

    def wait_then_encode(self, images, **options):
        reached.set()
        assert go_on.wait(30)
        return encode(self, images, **options)

    monkeypatch.setattr(Engine, "encode", wait_then_encode)
    yield reached, go_on
    go_on.set()


def start(dock, qtbot, held, text="nuclei"):
    dock.prompt.set_lines(text)
    dock.run()
    qtbot.waitUntil(held[0].is_set, timeout=30_000)


def finish(dock, qtbot, held):
    held[1].set()
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=30_000)


def test_no_image(dock, viewer, run, told):
    run(text="nuclei")
    assert "Open an image first" in told()
    assert dock.status.value in told()


@pytest.mark.parametrize("text", ["", "  \n \n"], ids=["empty", "blank"])
def test_no_prompt(viewer, run, told, image, text):
    viewer.add_image(image)
    run(text=text)
    assert "Write what to look for" in told()


def test_too_long_a_prompt(viewer, dock, run, told, image):
    viewer.add_image(image)
    run(text="nuclei " * 80)
    assert "at most 77" in told()
    assert len(viewer.layers) == 1


def test_an_image_of_nan(viewer, run, told):
    viewer.add_image(np.full((8, 8), np.nan), contrast_limits=(0, 1))
    run(text="nuclei")
    assert "no finite pixel" in told()
    assert len(viewer.layers) == 1


def test_one_pixel_is_an_image(viewer, run, told):
    viewer.add_image(np.ones((1, 1)), contrast_limits=(0, 1))
    run(text="nuclei")
    assert told() == ""
    assert viewer.layers[-1].data.shape == (1, 1)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        pytest.param({"data": None}, "no shape that encloses an area", id="no shape"),
        pytest.param(
            {"data": [[0, 0], [9, 9]], "shape_type": "line"},
            "no shape that encloses an area",
            id="a line",
        ),
        pytest.param({"data": [[3, 3], [3, 3], [3, 3], [3, 3]]}, "encloses no area", id="no area"),
        pytest.param(
            {"data": [[100, 100], [100, 120], [120, 120], [120, 100]]},
            "covers no pixel",
            id="outside",
        ),
    ],
)
def test_a_reference_without_area(viewer, run, told, image, shapes, message):
    layer = viewer.add_image(image)
    region = viewer.add_shapes(**{"shape_type": "rectangle", **shapes})
    run(reference=layer, region=region)
    assert message in told()
    assert len(viewer.layers) == 2


def lacks_weights(folder):
    (folder / "model.safetensors").unlink()


def truncates_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def mismatches_weights(folder):
    config = json.loads((folder / "config.json").read_text())
    config["reduce_dim"] = 8
    (folder / "config.json").write_text(json.dumps(config))


def breaks_config(folder):
    (folder / "config.json").write_text("{")


def lacks_vocabulary(folder):
    (folder / "vocab.json").unlink()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lacks_weights, "has no model.safetensors"),
        (truncates_weights, "not a complete safetensors file"),
        (mismatches_weights, "does not fit the config.json"),
        (breaks_config, "cannot be read as JSON"),
        (lacks_vocabulary, "has no vocab.json"),
    ],
)
def test_a_broken_checkpoint(viewer, dock, run, told, image, checkpoint, tmp_path, fault, message):
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint("small"), folder)
    fault(folder)
    viewer.add_image(image)
    dock.offer_model(str(folder))
    run(text="nuclei")
    assert message in told()
    assert len(viewer.layers) == 1
    dock.offer_model(str(checkpoint("small")))
    run(text="nuclei")
    assert len(viewer.layers) == 3  # the dock goes on


def test_a_fault_of_the_engine_comes_with_its_traceback(
    viewer, dock, run, told, image, monkeypatch
):
    def fail(*_, **__):
        raise RuntimeError("out of memory, say")

    viewer.add_image(image)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "encode", fail)
        run(text="nuclei")
    assert "out of memory, say" in told()
    run(text="nuclei")
    assert len(viewer.layers) == 3


def test_the_image_is_removed_while_it_runs(viewer, dock, qtbot, told, image, held):
    layer = viewer.add_image(image, name="cells")
    start(dock, qtbot, held)
    viewer.layers.remove(layer)
    finish(dock, qtbot, held)
    assert "'cells' was removed" in told()
    assert len(viewer.layers) == 0


def test_its_pixels_are_replaced_while_it_runs(viewer, dock, qtbot, told, image, held):
    layer = viewer.add_image(image, name="cells")
    start(dock, qtbot, held)
    layer.data = np.zeros((9, 9), dtype=np.uint8)
    finish(dock, qtbot, held)
    assert "were replaced" in told()
    assert len(viewer.layers) == 1


def test_another_layer_is_chosen_and_the_first_renamed_while_it_runs(
    viewer, dock, qtbot, image, held
):
    layer = viewer.add_image(image, name="cells", scale=(2, 2))
    start(dock, qtbot, held)
    dock.image.value = viewer.add_image(np.zeros((5, 5)), name="others", contrast_limits=(0, 1))
    layer.name = "renamed"
    finish(dock, qtbot, held)
    assert viewer.layers[-1].data.shape == image.shape
    assert tuple(viewer.layers[-1].scale) == (2, 2)


def test_run_pressed_twice_runs_once(viewer, dock, qtbot, image, held):
    viewer.add_image(image)
    start(dock, qtbot, held)
    dock.prompt.set_lines("something else")
    dock.run()
    finish(dock, qtbot, held)
    assert [Recipe.of(layer).prompts for layer in viewer.layers[1:]] == [("nuclei",)] * 2


def test_cancel_stops_before_the_next_step_and_adds_nothing(viewer, dock, qtbot, image, held):
    viewer.add_image(image)
    start(dock, qtbot, held)
    assert dock.cancel_button.enabled
    dock.cancel()
    finish(dock, qtbot, held)
    assert len(viewer.layers) == 1
    assert "Cancelled" in dock.status.value
    assert not dock.cancel_button.enabled
    assert not dock.progress.visible


@pytest.mark.window(True)
def test_the_viewer_is_closed_while_it_runs(viewer, dock, qtbot, told, image, held):
    viewer.add_image(image)
    start(dock, qtbot, held)
    worker = dock._worker
    with qtbot.waitSignal(worker.finished, timeout=30_000):
        viewer.close()
        held[1].set()
    assert told() == ""


def test_a_device_that_was_too_small_is_told(viewer, dock, run, told, image, monkeypatch):
    encode = Engine.encode

    def encode_with_a_warning(self, images, **options):
        warnings.warn("The memory of the GPU is full", DeviceWarning, stacklevel=1)
        warnings.warn("of no interest to a scientist", UserWarning, stacklevel=1)
        return encode(self, images, **options)

    monkeypatch.setattr(Engine, "encode", encode_with_a_warning)
    viewer.add_image(image)
    run(text="nuclei")
    assert "The memory of the GPU is full" in told()
    assert "of no interest" not in told()
    assert len(viewer.layers) == 3
