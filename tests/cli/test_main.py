from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from napari_clipseg import __version__
from napari_clipseg.cli import main as cli
from napari_clipseg.cli.main import has_screen, main
from napari_clipseg.sample_data import SAMPLES, load_sample


@pytest.fixture
def demo(folder, tmp_path):
    """Run the demo with random weights; return the exit status."""

    def run(*options, model=folder):
        return main(["demo", "--model", str(model), "--output", str(tmp_path / "out"), *options])

    return run


def test_help_says_what_there_is(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "demo" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"napari-clipseg {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["demo", "--sample", "nothing"], ["demo", "--nothing"]], ids=str
)
def test_wrong_usage_is_said_so(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: napari-clipseg" in capsys.readouterr().err


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
    path = Path(re.search(r"^picture: (.+)$", out, re.MULTILINE)[1])
    assert path == (tmp_path / "out" / f"{name}.png").resolve()
    with Image.open(path) as picture:
        panels = 2 + len(sample.prompts)  # the image, a map for each prompt, the labels
        assert picture.width * picture.height >= panels * sample.truth.size


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


def test_it_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "napari_clipseg", "demo", "--model", "./nothing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("napari-clipseg: There is no checkpoint './nothing'")


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
