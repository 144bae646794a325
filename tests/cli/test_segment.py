"""The command ``segment``, run as a user runs it."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_clipseg import Appearance, Detail, Example, InstanceOptions, Recipe, plan, segment
from napari_clipseg.cli import segment as module
from napari_clipseg.cli.main import main
from napari_clipseg.cli.recipe_options import OPTIONS
from napari_clipseg.files.formats import recipe_of
from napari_clipseg.sample_data import load_sample

SAMPLE = load_sample("shapes").image[30:120, :80]


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in/sub").mkdir(parents=True)
    Image.fromarray(SAMPLE).save("in/a.png")
    tifffile.imwrite("in/sub/b.tif", SAMPLE[:50], photometric="rgb")
    Path("in/notes.txt").touch()


def run(*arguments, inputs=("in",), output="out"):
    try:
        return main(["segment", *inputs, "--output", output, *map(str, arguments)])
    except SystemExit as ended:  # argparse
        return ended.code


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


# -- what it does


def test_labels_are_those_of_segment_in_python(capsys):
    assert run("--prompt", "red rings", "--prompt", "nuclei", "--not", "lines", "--recursive") == 0
    wanted = segment(SAMPLE, ["red rings", "nuclei"], negative_prompts="lines")
    np.testing.assert_array_equal(tifffile.imread("out/a.labels.ome.tif"), wanted.labels)
    assert Path("out/sub/b.csv").exists()
    told = capsys.readouterr()
    assert "1 files left out: .txt\n2 of 2 images done in " in told.out
    assert "2 of 2 images" in told.err


def test_like_makes_an_output_again():
    options = ("--threshold", "0.3", "--objects", "--min-size", "5", "--contrast", "10,200")
    assert run("--prompt", "red rings", *options) == 0
    for name in ("a.labels.ome.tif", "a.csv", "a.csv.json"):
        assert run("--like", f"out/{name}", output=f"again {name}") == 0
        labels = tifffile.imread(f"again {name}/a.labels.ome.tif")
        np.testing.assert_array_equal(labels, tifffile.imread("out/a.labels.ome.tif"))
        assert Path(f"again {name}/a.csv").read_bytes() == Path("out/a.csv").read_bytes()


def test_json_lines(capsys):
    Path("in/bad.tif").touch()
    assert run("--prompt", "rings", "--json") == 1
    plan, *files, summary = lines(capsys.readouterr().out)
    assert plan == {"event": "plan", "images": 2, "already": 0}
    assert [(Path(one["path"]).name, one["status"]) for one in files] == [
        ("a.png", "done"),
        ("bad.tif", "failed"),
    ]
    assert files[1]["cure"] == "Copy it again from where it comes from."
    assert (summary["done"], summary["failed"], summary["ended"]) == (1, 1, "complete")
    assert summary["failed_csv"] == str(Path("out/failed.csv").absolute())


def test_quiet_tells_errors_only(capsys):
    assert run("--prompt", "rings", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    Path("in/bad.tif").touch()
    assert run("--prompt", "rings", "--quiet") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "bad.tif cannot be used: it is empty (0 bytes). Copy it again" in told.err


def test_a_dry_run_writes_nothing(capsys):
    Path("in/bad.tif").touch()
    command = ("--prompt", "rings", "--detail", "48", "--recursive", "--dry-run")
    assert run(*command) == 0
    told = capsys.readouterr().out
    tiles = sum(plan(image, detail=48).tile_count for image in (SAMPLE, SAMPLE[:50]))
    assert f"2 images to do, 0 done before, 1 will fail; {tiles} tiles, about" in told
    assert "will fail: " in told
    assert "Nothing was written." in told
    assert run(*command, "--json") == 0
    *_, told = lines(capsys.readouterr().out)
    assert (told["images"], told["problems"], told["tiles"]) == (2, 1, tiles)
    assert told["bytes"] == 4 * (90 + 50) * 80
    assert not Path("out").exists()


# -- exit statuses


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param([], module.WRONG_USE, "There is no prompt. Say what", id="no prompt"),
        pytest.param(["--prompt", " "], module.WRONG_USE, "Got a blank prompt", id="blank"),
        pytest.param(["--recipe", "no.json"], module.WRONG_USE, "no.json", id="no such recipe"),
        pytest.param(["--like", "in/a.png"], module.WRONG_USE, "a.png", id="like no output"),
        pytest.param(
            ["--prompt", "a", "--formats", "jpg"], module.WRONG_USE, "no format 'jpg'", id="format"
        ),
        pytest.param(
            ["--prompt", "a", "--model", "./no"], module.WRONG_USE, "no checkpoint", id="model"
        ),
        pytest.param(
            ["--prompt", "a", "--threshold", "2"], module.WRONG_USE, "from 0 to 1", id="threshold"
        ),
        pytest.param(
            ["--prompt", "a", "--gamma", "x"], module.WRONG_USE, "argument --gamma", id="no number"
        ),
        pytest.param(
            ["--reference", "in/a.png:1,2,3"], module.WRONG_USE, "x0,y0,x1,y1", id="rectangle"
        ),
        pytest.param(["--reference", "no.png"], module.WRONG_USE, "no file no.png", id="reference"),
        pytest.param(["--prompt", "a.safetensors"], module.WRONG_USE, "a.safeten", id="learned"),
        pytest.param(["--prompt", "a", "--workers", "0"], module.WRONG_USE, "from 1", id="workers"),
        pytest.param(
            ["--recipe", "a", "--like", "b"], module.WRONG_USE, "not allowed with", id="two recipes"
        ),
    ],
)
def test_wrong_use(arguments, status, message, capsys):
    assert run(*arguments) == status
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_statuses_of_what_is_found(capsys):
    assert run("--prompt", "a", inputs=["none"]) == module.WRONG_USE
    assert "There is no file or folder none." in capsys.readouterr().err
    Path("empty").mkdir()
    assert run("--prompt", "a", inputs=["empty"]) == module.NO_IMAGE
    assert "There is no image in empty. For folders in folders" in capsys.readouterr().err


def test_a_full_disk_has_a_status(monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_clipseg.files.one.sync", full)
    assert run("--prompt", "rings") == module.DISK_FULL
    told = capsys.readouterr()
    assert "There is no room left in" in told.err
    assert "then go on with\n  napari-clipseg" in told.err
    assert "0 of 1 images done, 1 to do" in told.out


def test_ctrl_c_ends_after_the_tile_and_says_how_to_go_on(monkeypatch, capsys):
    from napari_clipseg.cli.reports import Reports

    show, handler = Reports.show, signal.getsignal(signal.SIGINT)

    def press(self, step):
        if step.message.endswith("tile 3 of 9"):
            signal.raise_signal(signal.SIGINT)
        show(self, step)

    monkeypatch.setattr(Reports, "show", press)
    assert run("--prompt", "rings", "--detail", "40") == 130
    assert signal.getsignal(signal.SIGINT) is handler
    told = capsys.readouterr()
    assert "Stopping after this tile. Ctrl-C again stops at once." in told.err
    assert "Stopped. What is done stays, and no half file was left. Go on with" in told.err
    assert [path for path in Path("out").iterdir() if path.is_file()] == []


# -- options


def recipe_of_run(*arguments, base=None):
    """Return the recipe that options ask for."""
    import argparse

    from napari_clipseg.cli.recipe_options import add_options, recipe_from

    parser = argparse.ArgumentParser()
    add_options(parser)
    return recipe_from(parser.parse_args(list(map(str, arguments))), base)


def test_each_field_of_a_recipe_has_an_option():
    fields = {one.name for one in dataclasses.fields(Recipe)}
    fields -= {"prompts", "names", "negative_prompts"}  # --prompt, --name, --not and others
    fields -= {"detail", "appearance"}
    for name, kind in (
        ("detail", Detail),
        ("appearance", Appearance),
        ("instances", InstanceOptions),
    ):
        fields |= {f"{name}.{one.name}" for one in dataclasses.fields(kind)}
    assert {one.field for one in OPTIONS} == fields


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        pytest.param(["--detail", "fine"], {"detail": "fine"}, id="detail"),
        pytest.param(
            ["--detail", "30.5", "--physical", "--overlap", "0.5"],
            {"detail": Detail(30.5, physical=True, overlap=0.5)},
            id="tiles",
        ),
        pytest.param(
            ["--planes", "z=3:9", "--planes", "t=0", "--planes", "v=::2"],
            {"planes": {"z": slice(3, 9), "t": 0, "v": slice(None, None, 2)}},
            id="planes",
        ),
        pytest.param(["--region", "1,2,30,40"], {"region": [[2, 1], [40, 30]]}, id="region"),
        pytest.param(["--level", "1"], {"level": 1}, id="level"),
        pytest.param(
            ["--contrast", "1,9,2,8", "--channels", "2,0", "--invert", "--gamma", "0.5"],
            {
                "appearance": Appearance(
                    contrast=[(1, 9), (2, 8)], channels=[2, 0], invert=True, gamma=0.5
                )
            },
            id="appearance",
        ),
        pytest.param(
            ["--colormap", "#000000,#00ff00", "--percentiles", "1,99"],
            {
                "appearance": Appearance(
                    percentiles=(1, 99), colormap=np.array([(0, 0, 0), (0, 255, 0)], np.uint8)
                )
            },
            id="colors",
        ),
        pytest.param(["--threshold", "otsu"], {"threshold": "otsu"}, id="Otsu"),
        pytest.param(["--threshold", "0.4"], {"threshold": 0.4}, id="threshold"),
        pytest.param(["--low-threshold", "0.2"], {"low_threshold": 0.2}, id="hysteresis"),
        pytest.param(["--objects"], {"instances": InstanceOptions()}, id="objects"),
        pytest.param(
            ["--split", "distance", "--min-size", "3", "--fill-holes", "all", "--drop-border"],
            {
                "instances": InstanceOptions(
                    "distance", min_size=3, fill_holes=True, drop_border=True
                )
            },
            id="options of objects",
        ),
        pytest.param(["--refine-edges"], {"refine_edges": True}, id="edges"),
        pytest.param(
            ["--weights", "sha256:" + 64 * "0"], {"weights": "sha256:" + 64 * "0"}, id="w"
        ),
        pytest.param(["--name", "rings"], {"names": ["rings"]}, id="name"),
        pytest.param(["--not", "b", "--not", "c"], {"negative_prompts": ["b", "c"]}, id="not"),
    ],
)
def test_options_are_fields(arguments, fields):
    assert recipe_of_run("--prompt", "a", *arguments) == Recipe("a", **fields)


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["--threshold", "none"], {"threshold": None}, id="none"),
        pytest.param(["--no-objects"], {"instances": None}, id="no objects"),
        pytest.param(
            ["--min-size", "9"], {"instances": InstanceOptions("distance", min_size=9)}, id="within"
        ),
        pytest.param(["--prompt", "b"], {"prompts": ["b"]}, id="prompt"),
    ],
)
def test_options_change_a_recipe(arguments, changes):
    base = Recipe({"n": "a"}, threshold=0.4, instances=InstanceOptions("distance"))
    assert recipe_of_run(*arguments, base=base) == base.replace(**changes)


def test_references_are_examples_in_their_order():
    recipe = recipe_of_run(
        "--reference", "in/a.png:10,20,60,70", "--prompt", "a", "--not-reference", "in/a.png"
    )
    assert recipe == Recipe(
        [Example(SAMPLE, [[20, 10], [70, 60]]), "a"], negative_prompts=[Example(SAMPLE)]
    )


def test_a_saved_recipe_is_recorded_in_the_outputs():
    Recipe("red rings", threshold=0.3).save("rings.json")
    assert run("--recipe", "rings.json", "--formats", "labels-tiff") == 0
    assert recipe_of("out/a.labels.ome.tif").threshold == 0.3


def test_help_needs_no_torch():
    code = (
        "import sys; from napari_clipseg.cli.main import main\n"
        "try: main(['segment', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'napari', 'skimage', 'scipy', 'tqdm', 'distributed'}\n"
        "assert not heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--reference IMAGE[:x0,y0,x1,y1]" in done.stdout
