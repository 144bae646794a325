"""What the dock asks for, applied to the other open images and to a folder, in a real window."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_clipseg import recipe_of, segment
from napari_clipseg.engine.engine import Engine
from napari_clipseg.recipe import METADATA

pytestmark = pytest.mark.window(False)


@pytest.fixture
def images(tmp_path):
    """A folder of three images and one that is broken; and the images."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    made = {}
    for number in (1, 2, 10):
        made[f"{number}.png"] = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(made[f"{number}.png"]).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder, made


def done(dock, qtbot):
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=60_000)


def test_a_folder(dock, qtbot, images, tmp_path):
    folder, made = images
    output = tmp_path / "found"
    dock.ask_for_folders = lambda parent: (folder, output)
    dock.prompt.set_lines("nuclei")
    dock.results.threshold.value = 0.5
    dock.apply.folder.changed.emit(True)
    assert dock.cancel_button.enabled
    done(dock, qtbot)
    for name, image in made.items():
        stem = name.removesuffix(".png")
        recipe = recipe_of(output / f"{stem}.csv")
        assert (recipe.prompts, recipe.threshold) == (("nuclei",), 0.5)
        wanted = segment(image, recipe)
        found = tifffile.imread(output / f"{stem}.labels.ome.tif")
        np.testing.assert_array_equal(np.squeeze(found), wanted.labels)
        assert (output / f"{stem}.csv").exists()
    assert "3 of 4 images done, 1 failed" in dock.status.value
    assert "broken.png" in (output / "failed.csv").read_text()
    assert str(output / "failed.csv") in dock.status.value
    assert not dock.progress.visible


def test_a_folder_is_stopped_and_goes_on(dock, qtbot, images, tmp_path, monkeypatch):
    folder, _ = images
    output = tmp_path / "found"
    dock.ask_for_folders = lambda parent: (folder, output)
    dock.prompt.set_lines("nuclei")
    reached, go_on, encoded = threading.Event(), threading.Event(), []
    encode = Engine.encode

    def held(engine, shown, **options):
        encoded.append(len(shown))
        if len(encoded) == 2:
            reached.set()
            assert go_on.wait(30)
        return encode(engine, shown, **options)

    monkeypatch.setattr(Engine, "encode", held)
    dock.apply.folder.changed.emit(True)
    qtbot.waitUntil(reached.is_set, timeout=30_000)
    dock.cancel()
    go_on.set()
    done(dock, qtbot)
    assert "choose the same folders to go on" in dock.status.value
    names = [path.name for path in output.iterdir() if path.is_file()]
    assert sorted(names) == ["1.csv", "1.csv.json", "1.labels.ome.tif"]
    dock.apply.folder.changed.emit(True)
    done(dock, qtbot)
    assert "3 of 4 images done (1 before), 1 failed" in dock.status.value


@pytest.mark.parametrize(
    ("text", "folders", "words"),
    [("", None, "prompt"), ("nuclei", None, ""), ("nuclei", "empty", "0 of 0 images")],
    ids=["no prompt", "no folder", "no image"],
)
def test_nothing_to_do(dock, qtbot, tmp_path, text, folders, words):
    asked = []
    dock.ask_for_folders = lambda parent: (
        asked.append(1) or (None if folders is None else (tmp_path, tmp_path / "found"))
    )
    dock.prompt.set_lines(text)
    dock.apply.folder.changed.emit(True)
    done(dock, qtbot)
    assert words in dock.status.value
    assert bool(asked) == bool(text)


def test_the_other_open_images(viewer, dock, qtbot):
    rng = np.random.default_rng(0)
    layers = [
        viewer.add_image(rng.integers(0, 255, (30, 40), dtype=np.uint8), name=f"image {n}")
        for n in range(3)
    ]
    dock.image.value = layers[0]
    dock.prompt.set_lines("nuclei")
    dock.apply.others.changed.emit(True)
    wanted = {str(layer.unique_id) for layer in layers[1:]}

    def segmented():
        records = [layer.metadata.get(METADATA, {}) for layer in viewer.layers]
        return {one["source_id"] for one in records if one.get("role") == "labels"}

    qtbot.waitUntil(lambda: segmented() == wanted, timeout=60_000)
