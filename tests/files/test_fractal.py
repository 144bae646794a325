"""The task of Fractal, called as its server calls it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import zarr

from evaluate.mixed import write_ome_zarr
from napari_clipseg import Recipe, segment
from napari_clipseg.files.fractal import main, segment_image
from napari_clipseg.sample_data import load_sample

PACKAGE = files("napari_clipseg")
MANIFEST = json.loads(PACKAGE.joinpath("__FRACTAL_MANIFEST__.json").read_text(encoding="utf-8"))
(TASK,) = MANIFEST["task_list"]
RECIPE = Recipe("nuclei", threshold=0.3)


@pytest.fixture(autouse=True)
def image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_ome_zarr(Path("a.zarr"), load_sample("shapes").image[:60, :80, 1])
    RECIPE.save("recipe.json")
    arguments = {"zarr_url": str(tmp_path / "a.zarr"), "recipe": str(tmp_path / "recipe.json")}
    Path("in.json").write_text(json.dumps(arguments))
    return arguments


def test_labels_are_added_to_the_image():
    script = PACKAGE.joinpath(TASK["executable_parallel"])
    command = [sys.executable, str(script), "--args-json", "in.json", "--out-json", "out.json"]
    subprocess.run(command, check=True)
    assert json.loads(Path("out.json").read_text()) == {}
    group = zarr.open_group("a.zarr", mode="r")
    assert group["labels"].attrs["ome"]["labels"] == ["clipseg"]
    np.testing.assert_array_equal(group["labels/clipseg/0"][:], segment(group, RECIPE).labels)


def test_a_run_that_comes_again_changes_nothing(image):
    main(["--args-json", "in.json", "--out-json", "out.json"])
    segment_image(**image)
    RECIPE.replace(threshold=0.9).save("recipe.json")
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        segment_image(**image)
    segment_image(**image, overwrite=True)
    assert [one.name for one in Path("a.zarr/labels").iterdir() if one.is_dir()] == ["clipseg"]


def test_the_manifest_says_what_the_task_takes():
    schema, kinds = TASK["args_schema_parallel"], {"str": "string", "bool": "boolean"}
    taken = inspect.signature(segment_image).parameters.values()
    assert list(schema["properties"]) == [one.name for one in taken]
    assert schema["required"] == [one.name for one in taken if one.default is one.empty]
    for one in taken:
        field = schema["properties"][one.name]
        assert field["type"] == kinds[one.annotation]
        assert field.get("default", one.empty) == one.default
