"""The command ``recipe``, run as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_clipseg import Recipe, segment_files
from napari_clipseg.cli.main import main


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Recipe({"rings": "red rings"}, negative_prompts="lines", region=[[0, 0], [9, 9]]).save("a.json")


def test_show(capsys):
    assert main(["recipe", "show", "a.json"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"a.json: {Recipe.load('a.json').hash}\n")
    for line in ("prompts           rings", "negative_prompts  lines", "model             demo"):
        assert f"  {line}\n" in told


def test_an_output_has_a_recipe(capsys):
    np.save("i.npy", np.zeros((30, 40), np.uint8))
    segment_files("i.npy", "nuclei", "out")
    for name in ("i.csv", "i.csv.json", "i.labels.ome.tif"):
        assert main(["recipe", "check", f"out/{name}"]) == 0
        assert capsys.readouterr().out == f"out/{name}: can be used here\n"
    assert main(["recipe", "upgrade", "out/i.csv", "--output", "n.json"]) == 0
    assert Recipe.load("n.json").prompts == ("nuclei",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"weights": "sha256:" + 64 * "0"}, "other weights of 'demo'", id="weights"),
        pytest.param({"model": "./none"}, "There is no checkpoint './none'", id="model"),
        pytest.param({"threshold": 2}, "threshold is 2; wanted", id="field"),
        pytest.param({"version": 99}, "is of version 99", id="version"),
        pytest.param({"format": "x"}, "", id="no recipe"),
    ],
)
def test_what_cannot_be_used(changes, message, capsys):
    values = json.loads(Path("a.json").read_text()) | changes
    Path("b.json").write_text(json.dumps(values))
    assert main(["recipe", "check", "b.json", "a.json"]) == 1
    told = capsys.readouterr()
    assert told.out == "a.json: can be used here\n"  # the others are checked, too
    assert told.err.startswith("napari-clipseg: b.json: ")
    assert message in told.err


def test_upgrade(capsys):
    values = json.loads(Path("a.json").read_text())
    del values["threshold"]
    Path("a.json").write_text(json.dumps(values))
    assert main(["recipe", "upgrade", "a.json"]) == 0
    assert capsys.readouterr().out == f"a.json: version {values['version']}\n"
    assert json.loads(Path("a.json").read_text())["threshold"] is None
    assert [path.name for path in Path().iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["show", "a.json", "--output", "b"], "--output is for the upgrade", id="show"),
        pytest.param(["show", "none.json"], "none.json", id="no file"),
    ],
)
def test_wrong_use(arguments, message, capsys):
    assert main(["recipe", *arguments]) == 1
    assert message in capsys.readouterr().err
