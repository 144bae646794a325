"""The command ``teach``, run as a user runs it."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_clipseg import LearnedPrompt
from napari_clipseg.cli.main import main
from painted import hurried, paint, scene


@pytest.fixture(autouse=True)
def _hurried(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with hurried():
        yield


@pytest.fixture
def model(checkpoint):
    return str(checkpoint("small"))


def write(path, array):
    if path.endswith(".npy"):
        np.save(path, array)
    elif path.endswith(".zarr"):
        zarr.save_array(path, array)
    elif path.endswith((".tif", ".tiff")):
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(array).save(path)


@pytest.mark.parametrize(
    ("image", "strokes"),
    [
        pytest.param("a.tif", "s.png", id="TIFF and PNG"),
        pytest.param("a.png", "s.tiff", id="PNG and TIFF"),
        pytest.param("a.JPG", "s.npy", id="JPEG and npy"),
        pytest.param("a.npy", "s.zarr", id="npy and Zarr"),
        pytest.param("a.zarr", "s.npy", id="Zarr and npy"),
    ],
)
def test_a_prompt_is_learned_from_files(capsys, model, image, strokes):
    pixels, masks = scene()
    write(image, pixels)
    write(strokes, paint(masks))
    command = ["teach", image, "--strokes", strokes, "--output", "disks.safetensors"]
    assert main([*command, "--model", model, "--classes", "red disks"]) == 0
    out = capsys.readouterr().out
    assert "classes: red disks" in out
    assert "Expected agreement (IoU): 0." in out
    learned = LearnedPrompt.load("disks.safetensors")
    assert learned.names == ("red disks",)
    assert [one["name"] for one in learned.record["images"]] == [image]


def test_several_images_and_a_learned_prompt_to_begin_with(capsys, model):
    for seed in (0, 1, 2):
        pixels, masks = scene(seed)
        write(f"{seed}.png", pixels)
        write(f"{seed}.tif", paint(masks, classes=(0, 1)))
    two = ["0.png", "1.png", "--strokes", "0.tif", "1.tif"]
    assert main(["teach", *two, "--output", "a.safetensors", "--model", model]) == 0
    more = ["2.png", "--strokes", "2.tif", "--prompt", "a.safetensors"]
    assert main(["teach", *more, "--output", "b.safetensors", "--model", model]) == 0
    learned = LearnedPrompt.load("b.safetensors")
    assert [one["name"] for one in learned.record["images"]] == ["0.png", "1.png", "2.png"]
    assert learned.names == ("class 2", "class 3")
    assert "of class 3:" in capsys.readouterr().out


def test_a_picture_of_numbered_colors_is_read_by_its_numbers(model):
    pixels, masks = scene()
    write("a.png", pixels)
    painted = Image.fromarray(paint(masks)).convert("P")
    painted.putpalette([0, 0, 0, 255, 128, 0, 255, 0, 255])
    painted.save("s.png")
    write("s.npy", paint(masks))
    for strokes in ("s.png", "s.npy"):
        command = ["teach", "a.png", "--strokes", strokes, "--output", f"{strokes}.safetensors"]
        assert main([*command, "--model", model]) == 0
    one, other = (LearnedPrompt.load(f"s.{kind}.safetensors") for kind in ("png", "npy"))
    assert one.record["images"] == other.record["images"]


def broken(path):
    with open(path, "wb") as file:
        file.write(b"no picture")


@pytest.mark.parametrize(
    ("images", "strokes", "more", "message"),
    [
        pytest.param(["no.png"], ["s.png"], [], "There is no file no.png", id="no image"),
        pytest.param(["a.png"], ["no.npy"], [], "There is no file no.npy", id="no strokes"),
        pytest.param(["a.png"], ["s.png", "s.png"], [], "1 images and 2 files", id="not in pairs"),
        pytest.param(["broken.lif"], ["s.png"], [], "no reader for .lif takes it", id="kind"),
        pytest.param(["broken.png"], ["s.png"], [], "cannot identify", id="broken PNG"),
        pytest.param(["broken.tif"], ["s.png"], [], "no TIFF file, or broken", id="broken TIFF"),
        pytest.param(["broken.npy"], ["s.png"], [], "broken.npy cannot be used", id="broken npy"),
        pytest.param(["a.png"], ["float.npy"], [], "wanted whole numbers", id="not whole"),
        pytest.param(["a.png"], ["a.png"], [], "that of the image without", id="a picture"),
        pytest.param(["a.png"], ["empty.npy"], [], "Nothing is painted", id="not painted"),
        pytest.param(
            ["a.png"], ["s.png"], ["--classes", "a", "b"], "2 names of classes", id="names"
        ),
        pytest.param(["a.png"], ["s.png"], ["--detail", "huge"], "huge", id="detail"),
        pytest.param(
            ["a.png"], ["s.png"], ["--output", "o.txt"], "ends with .safetensors", id="suffix"
        ),
        pytest.param(
            ["a.png"], ["s.png"], ["--output", "no/o.safetensors"], "no folder", id="folder"
        ),
        pytest.param(
            ["a.png"], ["s.png"], ["--prompt", "no.safetensors"], "no.safetensors", id="prompt"
        ),
        pytest.param(
            ["a.png"], ["s.png"], ["--prompt", "a", "b.safetensors"], "give it alone", id="prompts"
        ),
        pytest.param(["a.png"], ["s.png"], ["--model", "none"], "none", id="model"),
    ],
)
def test_what_cannot_be_used_is_told(capsys, model, images, strokes, more, message):
    pixels, masks = scene()
    write("a.png", pixels)
    write("s.png", paint(masks))
    write("float.npy", paint(masks).astype(float))
    write("empty.npy", np.zeros((96, 96), np.uint8))
    for kind in ("png", "tif", "npy", "lif"):
        broken(f"broken.{kind}")
    command = ["teach", *images, "--strokes", *strokes, "--output", "o.safetensors"]
    assert main([*command, "--model", model, *more]) == 1
    told = capsys.readouterr().err
    assert told.startswith("napari-clipseg: ")
    assert message in told
    assert not os.path.exists("o.safetensors")


def test_ctrl_c_writes_nothing(capsys, model, monkeypatch):
    from napari_clipseg.teaching import teach as module

    def stop(*_, **__):
        raise KeyboardInterrupt

    pixels, masks = scene()
    write("a.png", pixels)
    write("s.png", paint(masks))
    monkeypatch.setattr(module, "teach", stop)
    command = ["teach", "a.png", "--strokes", "s.png", "--output", "o.safetensors"]
    assert main(command) == 130
    assert "Nothing was written" in capsys.readouterr().err
    assert not os.path.exists("o.safetensors")


def test_help_needs_no_torch():
    code = (
        "import sys; from napari_clipseg.cli.main import main\n"
        "try: main(['teach', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'napari', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--strokes STROKES" in done.stdout
