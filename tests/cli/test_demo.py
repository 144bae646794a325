from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_clipseg.cli import demo as cli
from napari_clipseg.cli.demo import draw, has_screen, iou, measure
from napari_clipseg.cli.main import main
from napari_clipseg.files.formats.colors import COLORS
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Segmentation
from napari_clipseg.sample_data import SAMPLES, Sample, load_sample

TRUTH = np.zeros((20, 30), np.uint8)
TRUTH[2:6, 3:9] = 1  # 24 pixels
TRUTH[10:15, 20:30] = 2  # 50 pixels
GRAY = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
PROMPTS = ("nuclei", "red rings")


def result_of(labels, prompts=PROMPTS):
    probability = np.stack([labels == k for k in range(1, len(prompts) + 1)]).astype(np.float32)
    extent = Extent(height=labels.shape[0], width=labels.shape[1])
    return Segmentation(probability, 0.5, Recipe(prompts, threshold=0.5), extent)


def sample_of(image=GRAY, truth=TRUTH):
    return Sample("mine", image, truth, PROMPTS)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        pytest.param([1, 1, 0], [1, 1, 0], 1, id="the same"),
        pytest.param([1, 1, 0], [0, 1, 1], 1 / 3, id="one of three"),
        pytest.param([1, 1, 1], [0, 1, 0], 1 / 3, id="one within the other"),
        pytest.param([1, 0, 0], [0, 1, 1], 0, id="apart"),
        pytest.param([0, 0, 0], [1, 0, 0], 0, id="nothing found"),
        pytest.param([0, 0, 0], [0, 0, 0], 1, id="nothing to find"),
    ],
)
def test_intersection_over_union(first, second, wanted):
    assert iou(np.array(first, bool), np.array(second, bool)) == pytest.approx(wanted)


def test_each_prompt_is_measured_against_its_own_truth():
    labels = TRUTH.copy()
    labels[10:15, 20:25] = 0  # half of the rings are not found
    labels[0, :6] = 1  # and nuclei where there are none
    nuclei, rings = measure(sample_of(), result_of(labels))
    assert (nuclei.prompt, rings.prompt) == PROMPTS
    assert nuclei.iou == pytest.approx(24 / 30)
    assert rings.iou == pytest.approx(0.5)
    assert (nuclei.found, nuclei.true) == (30 / 600, 24 / 600)
    assert (rings.found, rings.true) == (25 / 600, 50 / 600)


@pytest.mark.parametrize("image", [GRAY, np.dstack([GRAY] * 3)], ids=["gray", "RGB"])
def test_the_picture_shows_image_maps_and_labels(image, tmp_path):
    path = tmp_path / "sheet.png"
    before = image.copy()
    draw(sample_of(image), result_of(TRUTH), path)
    np.testing.assert_array_equal(image, before)
    with Image.open(path) as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    colour = np.dstack([GRAY] * 3)
    labelled = colour // 2 + np.array(COLORS)[np.maximum(TRUTH, 1) - 1] // 2
    panels = [
        colour,
        *(np.dstack([255 * (k == TRUTH)] * 3) for k in (1, 2)),
        np.where(TRUTH[..., None] > 0, labelled, colour),
    ]
    places = [find(sheet, panel) for panel in panels]
    assert [len(found) for found in places] == [1, 1, 1, 1]
    assert places == sorted(places)


def find(sheet, panel):
    """Where a panel lies on a sheet."""
    height, width = panel.shape[:2]
    return [
        (y, x)
        for y in range(sheet.shape[0] - height + 1)
        for x in range(sheet.shape[1] - width + 1)
        # Half of an odd value may be rounded either way.
        if np.abs(sheet[y, x : x + width] - panel[0]).max() <= 1
        and np.abs(sheet[y : y + height, x : x + width] - panel).max() <= 1
    ]


# The command


@pytest.fixture
def demo(folder, tmp_path):
    """Run the demo with random weights; return the exit status."""

    def run(*options, model=folder):
        return main(["demo", "--model", str(model), "--output", str(tmp_path / "out"), *options])

    return run


@pytest.mark.parametrize("name", SAMPLES)
def test_the_demo_measures_and_draws_a_sample(name, demo, folder, tmp_path, capsys):
    assert demo("--sample", name, "--no-window") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"sample {name!r}, model {str(folder)!r}, threshold 0.30" in out
    sample = load_sample(name)
    ious = []
    for prompt in sample.prompts:
        row = re.search(rf"^{prompt} +(\d\.\d{{3}}) +\d+\.\d\d% +\d+\.\d\d%$", out, re.MULTILINE)
        assert row, f"no line for {prompt!r} in:\n{out}"
        ious.append(float(row[1]))
    mean = re.search(r"^mean +(\d\.\d{3})$", out, re.MULTILINE)
    assert float(mean[1]) == pytest.approx(sum(ious) / len(ious), abs=1e-3)
    path = Path(re.search(r"^image: (.+)$", out, re.MULTILINE)[1])
    assert path == (tmp_path / "out" / f"{name}.png").resolve()
    with Image.open(path) as image:
        panels = 2 + len(sample.prompts)  # the image, a map for each prompt, the labels
        assert image.width * image.height >= panels * sample.truth.size


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def broken_config(folder):
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        pytest.param(shutil.rmtree, "There is no checkpoint", id="no folder"),
        pytest.param(no_weights, "has no model.safetensors", id="no weights"),
        pytest.param(broken_config, "cannot be read as JSON", id="a broken config"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_line_and_no_traceback(
    break_it, says, demo, folder, capsys
):
    break_it(folder)
    assert demo("--no-window") == 1
    out, err = capsys.readouterr()
    assert err.startswith("napari-clipseg: ")
    assert says in err
    assert len(err.splitlines()) == 1
    assert out == ""


def test_a_folder_that_cannot_be_written_is_one_line(demo, tmp_path, capsys):
    (tmp_path / "out").write_text("a file is in the way")
    assert demo("--no-window") == 1
    assert "napari-clipseg: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("platform", "variables", "screen"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ""}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"DISPLAY": ":99", "CI": "true"}, True),
        ("darwin", {}, True),
        ("darwin", {"CI": "true"}, False),
        ("win32", {}, True),
        ("win32", {"CI": "1"}, False),
        ("win32", {"CI": ""}, True),
    ],
    ids=str,
)
def test_whether_there_is_a_screen(platform, variables, screen, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert has_screen() is screen


@pytest.mark.parametrize(
    ("screen", "options", "status", "opened"),
    [
        pytest.param(True, [], 0, True, id="a screen"),
        pytest.param(False, [], 0, False, id="no screen"),
        pytest.param(True, ["--no-window"], 0, False, id="a screen, not to be used"),
        pytest.param(True, [], 1, True, id="napari fails"),
    ],
)
def test_napari_opens_where_there_is_a_screen(
    screen, options, status, opened, demo, folder, monkeypatch, capsys
):
    commands = []

    def run(command, **_):
        commands.append(command)
        return SimpleNamespace(returncode=status)

    monkeypatch.setattr(cli, "has_screen", lambda: screen)
    monkeypatch.setattr(cli.subprocess, "run", run)
    assert demo(*options) == 0
    window = [sys.executable, "-m", "napari_clipseg.widgets.window", SAMPLES[0], str(folder)]
    assert commands == ([window] if opened else [])
    assert ("pip install 'napari[all]'" in capsys.readouterr().err) is (status != 0)
