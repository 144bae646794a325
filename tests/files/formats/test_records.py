from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from exported import CASES
from napari_clipseg import InstanceOptions, Recipe, segment, write
from napari_clipseg.files.formats import FORMATS, beside, recipe_of
from napari_clipseg.files.formats.records import read_record
from napari_clipseg.recipe_json import hash_of
from napari_clipseg.sample_data import load_sample

RESULT = CASES["several prompts"]
IMAGE = np.zeros((9, 11), np.uint8)


def write_all(folder):
    return {
        name: write(RESULT, folder / f"{name}{one.suffix}", format=name, image=IMAGE)[0]
        for name, one in FORMATS.items()
    }


def test_the_hash_of_the_recipe_is_in_each_output(tmp_path):
    for path in write_all(tmp_path).values():
        record = read_record(path)
        assert record["recipe_hash"] == hash_of(record["recipe"]) == RESULT.recipe.hash


def test_no_output_names_the_folder_that_it_is_in(tmp_path):
    for name, path in write_all(tmp_path).items():
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        assert files
        for one in files:
            assert str(tmp_path).encode() not in one.read_bytes(), name


def test_a_recipe_with_an_image_and_a_negative_prompt_survives(tmp_path):
    example = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    result = segment(np.zeros((9, 11), np.uint8), {"ü": example}, negative_prompts="debris")
    wanted = result.recipe.to_dict()
    for name, one in FORMATS.items():
        path = tmp_path / f"{name}{one.suffix}"
        write(result, path, format=name, image=IMAGE)
        assert read_record(path)["recipe"] == wanted
    np.testing.assert_array_equal(recipe_of(path).prompts[0], result.recipe.prompts[0])


def test_the_recipe_of_any_output_gives_the_result_again(tmp_path):
    image = load_sample("micrograph").image[:90, :120]
    options = {"instances": InstanceOptions(min_size=5), "threshold": "otsu"}
    result = segment(image, ["nuclei", "debris"], detail=60, **options)
    assert result.labels.any()
    for name, one in FORMATS.items():
        path = tmp_path / f"{name}{one.suffix}"
        write(result, path, format=name, image=image)
        again = segment(image, recipe_of(path))
        assert again.probability.tobytes() == result.probability.tobytes(), name
        assert again.labels.tobytes() == result.labels.tobytes(), name


def test_a_map_that_a_run_wrote_has_its_recipe(tmp_path):
    result = segment(IMAGE, "nuclei", output=tmp_path / "map.zarr")
    assert recipe_of(tmp_path / "map.zarr") == result.recipe


def test_a_saved_recipe_is_one(tmp_path):
    RESULT.recipe.save(tmp_path / "recipe.json")
    assert recipe_of(tmp_path / "recipe.json") == RESULT.recipe


def test_the_file_beside_is_one(tmp_path):
    path, recipe = write(RESULT, tmp_path / "cells.csv")
    assert recipe == beside(path)
    assert recipe_of(recipe) == RESULT.recipe
    assert Recipe.of(json.loads(recipe.read_text())) == RESULT.recipe


def foreign(folder, name):
    path = folder / name
    if path.suffix == ".tif":
        tifffile.imwrite(path, IMAGE)
    elif path.suffix == ".png":
        Image.fromarray(IMAGE).save(path)
    elif path.suffix == ".zarr":
        path.mkdir()
    elif path.suffix == ".parquet":
        import pandas

        pandas.DataFrame({"a": [1]}).to_parquet(path)
    else:
        path.write_text(
            {".json": "{}", ".geojson": '{"type": "FeatureCollection"}'}.get(path.suffix, "words")
        )
    return path


@pytest.mark.parametrize(
    "name", ["a.tif", "a.png", "a.zarr", "a.parquet", "a.json", "a.geojson", "a.txt", "empty"]
)
def test_a_file_of_others_has_no_recipe(name, tmp_path):
    path = foreign(tmp_path, name)
    with pytest.raises(ValueError, match=f"^{name} has no recipe; wanted a file or folder that "):
        recipe_of(path)


def test_an_empty_file_has_no_recipe(tmp_path):
    (tmp_path / "empty.tif").touch()
    with pytest.raises(ValueError, match=r"^empty\.tif has no recipe"):
        recipe_of(tmp_path / "empty.tif")


BROKEN = {
    "a.labels.ome.tif": "cannot be read as TIFF",
    "a.geojson": "cannot be read as JSON",
    "a.coco.json": "cannot be read as JSON",
}


@pytest.mark.parametrize(("name", "says"), BROKEN.items())
def test_a_file_that_was_cut_off(name, says, tmp_path):
    path = tmp_path / name
    write(RESULT, path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"^{name} {says}: .* It is damaged\.$"):
        recipe_of(path)


def test_no_file():
    with pytest.raises(FileNotFoundError, match=r"There is no file or folder .*nothing\.tif\.$"):
        recipe_of("nothing.tif")


@pytest.mark.parametrize("name", ["cells.csv", "cells.roi.zip"])
def test_the_file_beside_is_gone(name, tmp_path):
    path, recipe = write(RESULT, tmp_path / name)
    recipe.unlink()
    with pytest.raises(
        FileNotFoundError,
        match=f"^The recipe of {name} is in {name}.json, and there is no such file beside it. ",
    ):
        recipe_of(path)


def test_a_recipe_that_was_changed_is_refused(tmp_path):
    (path,) = write(RESULT, tmp_path / "cells.geojson")
    path.write_text(path.read_text().replace('"threshold":0.5', '"threshold":0.4'))
    with pytest.raises(ValueError, match=r"cells\.geojson is not the one that was written"):
        recipe_of(path)


def test_a_record_without_recipe(tmp_path):
    path = tmp_path / "cells.geojson"
    path.write_text('{"napari_clipseg": {"version": "1"}}')
    with pytest.raises(ValueError, match=r"^The record in cells\.geojson holds no recipe"):
        recipe_of(path)


def test_the_hash_depends_on_nothing_but_the_values():
    values = RESULT.recipe.to_dict()
    assert hash_of(dict(reversed(values.items()))) == RESULT.recipe.hash
    assert RESULT.recipe.hash.startswith("sha256:")
    assert Recipe.from_dict(json.loads(json.dumps(values))).hash == RESULT.recipe.hash
    assert RESULT.recipe.replace(threshold=0.6).hash != RESULT.recipe.hash


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [
        ("zarr", "a.labels.ome.zarr", "zarr"),
        ("zarr", "a.probability.ome.zarr", "zarr"),
        ("pyarrow", "a.parquet", "parquet"),
    ],
)
def test_a_missing_package_is_named_with_its_cure(package, name, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    said = f"needs the package {package}. Get it: python -m pip install 'napari-clipseg[{extra}]'"
    with pytest.raises(ModuleNotFoundError) as error:
        write(RESULT, tmp_path / name)
    assert said in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_formats_that_need_a_package_say_so():
    assert {name: one.extra for name, one in FORMATS.items() if one.extra} == {
        "labels-zarr": "zarr",
        "labels-zarr-0.4": "zarr",
        "probability-zarr": "zarr",
        "probability-zarr-0.4": "zarr",
        "parquet": "pyarrow",
    }


# -- writing


def test_the_name_says_the_format(tmp_path):
    for name, one in FORMATS.items():
        if not name.endswith("0.4"):
            path = tmp_path / f"Cells.1{one.suffix.upper()}"
            assert write(RESULT, path, image=IMAGE)[0] == path
    assert len([one for one in tmp_path.iterdir() if one.suffix != ".json"]) >= 9


WRONG = {
    "a name of no format": ("a.tif", {}, ValueError, "No format has names like 'a.tif'; wanted"),
    "no such format": ("a.csv", {"format": "xls"}, ValueError, "There is no format 'xls'; wanted"),
    "no folder": ("no/a.csv", {}, FileNotFoundError, "There is no folder .*no for a.csv. Make it"),
    "an overlay on nothing": ("a.overlay.png", {}, ValueError, "none was given. Give image="),
    "another image": (
        "a.csv",
        {"image": IMAGE[:5]},
        ValueError,
        "The map of 9 x 11 pixels does not lie on the image of 5 x 11. Give the image of this",
    ),
    "an image of other axes": (
        "a.csv",
        {"image": np.zeros((2, 9, 11))},
        ValueError,
        "Got 2 names 'yx' for the axes",
    ),
}


@pytest.mark.parametrize(("name", "options", "kind", "says"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_written(name, options, kind, says, tmp_path):
    with pytest.raises(kind, match=says):
        write(RESULT, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["cells.csv", "cells.csv.json"])
def test_nothing_is_overwritten(there, tmp_path):
    (tmp_path / there).write_text("mine")
    with pytest.raises(FileExistsError, match=f"{there} exists and is not overwritten"):
        write(RESULT, tmp_path / "cells.csv")
    assert [one.name for one in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_format_writes_to_exactly_its_path(tmp_path):
    for name, one in FORMATS.items():
        path = tmp_path / f".part-{name}"
        one.write(RESULT, path, source=Path("images/cells.tif"), image=IMAGE)
        assert [other.name for other in tmp_path.glob(f"*{name}")] == [path.name]
        with pytest.raises(FileExistsError):
            one.write(RESULT, path, image=IMAGE)
