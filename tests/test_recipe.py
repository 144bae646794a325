"""A recipe: what it takes, its JSON, and that it gives the same result again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from napari.layers import Image, Labels

from cases import COLOUR
from napari_clipseg import recipe_json
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.prompts import Average, Blend
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.images.visual_prompts import Example
from napari_clipseg.plans import plan, preview
from napari_clipseg.recipe import Recipe
from napari_clipseg.segmentation import segment
from seeing import Seeing

RGB = COLOUR["RGB uint8"]
RANDOM = np.random.default_rng(0)
EXAMPLE = RANDOM.integers(0, 256, (30, 20, 3), dtype=np.uint8)
VECTOR = RANDOM.normal(size=16).astype(np.float32)
HASH = f"sha256:{'0123456789abcdef' * 4}"
GREEN = np.stack([np.zeros(256), np.arange(256), np.zeros(256)], axis=1).astype(np.uint8)

# name: fields of a recipe
RECIPES = {
    "a text": {"prompts": "nuclei"},
    "several texts": {"prompts": ["nuclei", "red rings", "Zellkern-Größe, 核"]},
    "an image": {"prompts": EXAMPLE},
    "a gray 16-bit image": {"prompts": EXAMPLE[..., 0].astype(np.uint16) * 257},
    "a vector": {"prompts": VECTOR},
    "an example": {"prompts": Example(EXAMPLE, [[3, 3], [15, 15]])},
    "two examples": {"prompts": Example(EXAMPLE, [np.eye(2) * 9, [[15, 5], [25, 15]]])},
    "mixtures": {
        "prompts": [Average(["nuclei", EXAMPLE, Blend("a", VECTOR, 0.25)]), Blend("b", EXAMPLE)]
    },
    "names": {"prompts": ["nuclei", EXAMPLE], "names": [None, "rings"]},
    "a mapping": {"prompts": {"cells": "nuclei", "rings": EXAMPLE}},
    "negative prompts": {"prompts": "nuclei", "negative_prompts": ["debris", EXAMPLE]},
    "a model": {"prompts": "a", "model": Path("some/folder"), "weights": HASH},
    "tiles": {"prompts": "a", "detail": Detail(np.float32(96), overlap=0.5, overview=0.1)},
    "named tiles": {"prompts": "a", "detail": "fine"},
    "planes": {
        "prompts": "a",
        "planes": {"z": slice(3, None, -2), "t": np.int64(1), "v": range(4, 0, -2)},
    },
    "a region": {"prompts": "a", "region": np.array([[0.5, 1], [20, 30], [7, 3]])},
    "a level": {"prompts": "a", "level": 2},
    "an appearance": {
        "prompts": "a",
        "appearance": Appearance(
            contrast=[(0, 255), (3.5, np.float32(7))], gamma=0.7, invert=True, channels=(2, 0)
        ),
    },
    "a colormap": {"prompts": "a", "appearance": Appearance(colormap=GREEN)},
    "gray": {"prompts": "a", "appearance": Appearance(contrast="dtype", colormap="gray")},
    "thresholds": {"prompts": ["a", "b"], "threshold": np.array([0.25, 0.5])},
    "Otsu": {"prompts": "a", "threshold": "otsu", "low_threshold": 0.1},
    "objects": {
        "prompts": "a",
        "instances": InstanceOptions(split="distance", max_size=90, fill_holes=12.5, link=True),
    },
    "edges": {"prompts": "a", "refine_edges": True},
}


@pytest.fixture
def validator():
    return Draft202012Validator(recipe_json.schema())


# The JSON


@pytest.mark.parametrize("fields", RECIPES.values(), ids=RECIPES)
def test_a_recipe_is_read_as_it_was_saved(fields, tmp_path, validator):
    recipe = Recipe(**fields)
    recipe.save(tmp_path / "recipe.json")
    found = Recipe.load(tmp_path / "recipe.json")
    assert found == recipe
    found.save(tmp_path / "again.json")
    text = (tmp_path / "recipe.json").read_text(encoding="utf-8")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == text
    validator.validate(json.loads(text))
    assert found.prompt_names == recipe.prompt_names
    for one, other in zip(found.all_prompts, recipe.resolve().all_prompts, strict=True):
        assert type(one) is type(other)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("planes", "written"),
    [
        (slice(3, 9), "3:9"),
        (slice(None), ":"),
        (slice(None, None, -1), "::-1"),
        (range(2, 5), "2:5:1"),
        (range(1, 9, 3), "1:8:3"),
        (range(4, -1, -2), "4::-2"),
        (range(-3, 0), "-3::1"),
        (range(-3, -1), "-3:-1:1"),
        (range(5, 0, -1), "5:0:-1"),
        (range(-1, -4, -1), "-1:-4:-1"),
        (-1, -1),
    ],
    ids=str,
)
def test_planes_are_written_as_python_writes_slices(planes, written):
    made = Recipe("a", planes={"z": planes}).to_dict()
    assert made["planes"] == {"z": written}
    again = Recipe.from_dict(made)
    stack = np.zeros((9, 4, 5))
    wanted = plan(stack, planes={"z": planes}, model=Seeing()).extent.planes
    assert plan(stack, again, model=Seeing()).extent.planes == wanted


@given(
    st.lists(st.text().filter(str.strip), min_size=1, max_size=3),
    st.none() | st.floats(0, 1),
    st.dictionaries(st.text(min_size=1), st.integers(), max_size=3),
    st.floats(1e-3, 1e6) | st.sampled_from(["whole", "medium", "fine"]),
)
def test_any_fields_come_back(prompts, threshold, planes, tile_size):
    recipe = Recipe(prompts, threshold=threshold, planes=planes, detail=Detail(tile_size))
    found = Recipe.from_dict(json.loads(recipe_json.to_text(recipe.to_dict())))
    assert found == recipe
    assert found.prompts == recipe.prompts
    assert found.detail == recipe.detail


def test_the_text_is_small_and_has_a_field_a_line():
    text = recipe_json.to_text(Recipe("nuclei", region=[(0, 0), (9, 9)]).to_dict())
    lines = text.splitlines()
    assert '    "nuclei"' in lines
    assert "    [0.0, 0.0]," in lines
    assert '  "threshold": null,' in lines
    assert len(lines) < 50


# name: change of the JSON of a recipe, what the error says
BAD_JSON = {
    "another format": ({"format": "cellpose"}, "is no recipe: it lacks the field 'format'"),
    "no version": ({"version": None}, "version is None; wanted a whole number from 1"),
    "a newer version": ({"version": 99}, "is of version 99; this napari-clipseg reads up to"),
    "an unknown field": ({"treshold": 0.5}, "a recipe has no field 'treshold'; wanted format,"),
    "an unknown field of a field": (
        {"detail": {"tile": 5}},
        "detail has no field 'tile'; wanted tile_size,",
    ),
    "no prompts": ({"prompts": []}, "prompts is []; wanted a list of at least one prompt"),
    "a blank prompt": ({"prompts": ["a", " "]}, 'prompts[1] is " "; wanted a text, or'),
    "a prompt of two kinds": (
        {"prompts": [{"text": "a", "vector": [1]}]},
        "prompts[0] is {",
    ),
    "a name of a negative prompt": (
        {"negative_prompts": [{"text": "a", "name": "b"}]},
        "negative_prompts[0] is {",
    ),
    "an image that is none": (
        {"prompts": [{"image": "AAAA"}]},
        "the image of a prompt is no PNG in base64",
    ),
    "a threshold in percent": ({"threshold": 30}, "threshold is 30; wanted null, 'otsu', a number"),
    "thresholds of others": ({"threshold": [0.1, 0.2]}, "Got 2 thresholds for 1 prompts"),
    "a low threshold above": (
        {"threshold": 0.3, "low_threshold": 0.5},
        "The low threshold is 0.5, above the threshold 0.3",
    ),
    "another detail": ({"detail": {"tile_size": "finest"}}, 'detail.tile_size is "finest"; wanted'),
    "too much overlap": ({"detail": {"overlap": 2}}, "detail.overlap is 2; wanted a number from 0"),
    "planes of words": ({"planes": {"z": "all"}}, 'planes.z is "all"; wanted a number, or'),
    "a region of one corner": ({"region": [[0, 0]]}, "region is [[0, 0]]; wanted null, or"),
    "gamma 0": ({"appearance": {"gamma": 0}}, "appearance.gamma is 0; wanted null, or a number"),
    "a colormap of names": (
        {"appearance": {"colormap": "viridis"}},
        "appearance.colormap is \"viridis\"; wanted null, 'gray', or colors",
    ),
    "another split": ({"instances": {"split": "a"}}, "instances.split is \"a\"; wanted 'none'"),
    "sizes that cross": ({"instances": {"min_size": 9, "max_size": 3}}, "Got max_size=3"),
    "weights of another kind": ({"weights": "abc"}, 'weights is "abc"; wanted null, or'),
    "a channel below 0": (
        {"appearance": {"channels": [-1]}},
        "appearance.channels[0] is -1; wanted",
    ),
    "a corner of words": ({"region": [[1, 2], [3, "4"]]}, 'region[1][1] is "4"; wanted a number'),
    "edges of a number": ({"refine_edges": 1}, "refine_edges is 1; wanted true or false"),
}


@pytest.mark.parametrize(("change", "says"), BAD_JSON.values(), ids=BAD_JSON)
def test_a_field_that_is_wrong_is_named(change, says, tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({**Recipe("a").to_dict(), **change}), encoding="utf-8")
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Recipe.load(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("text", ["", "{", "[]", '"a"', "null"], ids=str)
def test_what_is_no_recipe_is_refused(text, tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"is no JSON file|is no recipe"):
        Recipe.load(path)


def test_a_recipe_of_an_older_version_is_read(monkeypatch):
    def rename(values):
        return {key: x for key, x in values.items() if key != "words"} | {
            "prompts": values["words"]
        }

    def drop(values):
        return {key: x for key, x in values.items() if key != "mood"}

    new = Recipe(["nuclei", "rings"], threshold=0.4)
    old = {**new.to_dict(), "words": ["nuclei", "rings"], "mood": "good"}
    del old["prompts"]
    monkeypatch.setattr(recipe_json, "UPGRADES", (rename, drop))
    schema = recipe_json.schema()
    schema["properties"]["version"] = {"const": 3}
    monkeypatch.setattr(recipe_json, "schema", lambda: schema)
    assert Recipe.from_dict(old).prompts == ("nuclei", "rings")
    assert old["version"] == 1  # what was given is not changed
    second = {key: x for key, x in old.items() if key != "words"} | {"prompts": ["b"], "version": 2}
    assert Recipe.from_dict(second).prompts == ("b",)


def test_words_keep_their_brackets_and_spaces(tmp_path):
    prompts = ["a [ b ]  c", "x [1,   2]", '"quoted" {  }']
    recipe = Recipe(dict(zip(["[ 1,  2 ]", "b", "c"], prompts, strict=True)), model="folder [ 1 ]")
    recipe.save(tmp_path / "recipe.json")
    found = Recipe.load(tmp_path / "recipe.json")
    assert found.prompts == tuple(prompts)
    assert found.prompt_names[0] == "[ 1,  2 ]"
    assert found.model == "folder [ 1 ]"


@pytest.mark.parametrize(
    "fields",
    [
        {"prompts": np.array([1, np.nan], np.float32)},
        {"prompts": "a", "instances": InstanceOptions(max_size=1e309)},
    ],
    ids=["NaN", "infinite"],
)
def test_what_json_cannot_hold_is_refused_with_the_cure(fields, tmp_path):
    with pytest.raises(ValueError, match="NaN or an infinite number, which JSON cannot hold"):
        Recipe(**fields).save(tmp_path / "recipe.json")


def test_every_part_of_the_schema_says_what_it_wants():
    def parts(schema):
        yield schema
        for key in ("properties", "$defs"):
            for one in schema.get(key, {}).values():
                yield from parts(one) if isinstance(one, dict) else ()
        for key in ("items", "additionalProperties"):
            yield from parts(schema[key]) if isinstance(schema.get(key), dict) else ()

    silent = [part for part in parts(recipe_json.schema()) if "description" not in part]
    assert all(set(part) == {"$ref"} for part in silent)


def test_fields_that_are_left_out_have_their_defaults():
    given_ = {"format": recipe_json.FORMAT, "version": 1, "prompts": ["a"]}
    assert Recipe.from_dict(given_) == Recipe("a")


# What it takes


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"prompts": [" dog ", EXAMPLE, "cat"]}, ("dog", "image prompt 2", "cat")),
        ({"prompts": ["dog", EXAMPLE], "names": [None, "spot"]}, ("dog", "spot")),
        ({"prompts": {"pet": "dog", "spot": EXAMPLE}}, ("pet", "spot")),
    ],
    ids=["own", "given", "mapping"],
)
def test_names_of_prompts(fields, names):
    assert Recipe(**fields).prompt_names == names


def test_names_of_negative_prompts():
    recipe = Recipe("dog", negative_prompts=["cat", EXAMPLE])
    assert recipe.negative_names == ("cat", "negative image prompt 2")


def test_changed_prompts_lose_their_names():
    recipe = Recipe({"pet": "dog"}, threshold=0.4)
    assert recipe.replace(prompts=["a", "b"]).prompt_names == ("a", "b")
    assert recipe.replace(threshold=0.5).prompt_names == ("pet",)


BAD_FIELDS = {
    "no prompt": ({"prompts": []}, ValueError, "Got no prompt; give a text"),
    "names twice": ({"prompts": {"a": "b"}, "names": ["c"]}, ValueError, "give the names once"),
    "too few names": ({"prompts": ["a", "b"], "names": ["c"]}, ValueError, "1 names for 2 prompts"),
    "weights": ({"prompts": "a", "weights": "abc"}, ValueError, "The weights are 'abc'; wanted"),
    "a field that is none": ({"prompts": "a", "detial": "fine"}, TypeError, "detial"),
    "names as a text": ({"prompts": "a", "names": "b"}, TypeError, "names is 'b'; wanted a list"),
    "a blank name": ({"prompts": {"": "a"}}, ValueError, "Got '' as a prompt's name"),
    "a number for a name": ({"prompts": {1: "a"}}, ValueError, "Got 1 as a prompt's name"),
    "planes of a number": ({"prompts": "a", "planes": 3}, TypeError, "planes is 3; wanted a map"),
    "a level of a text": (
        {"prompts": "a", "level": "1"},
        TypeError,
        "level is '1'; wanted a whole",
    ),
    "an appearance of a mapping": (
        {"prompts": "a", "appearance": {"gamma": 2}},
        TypeError,
        "appearance is {'gamma': 2}; wanted an Appearance",
    ),
    "objects of a bool": (
        {"prompts": "a", "instances": True},
        TypeError,
        "instances is True; wanted InstanceOptions()",
    ),
    "a mapping of negative prompts": (
        {"prompts": "a", "negative_prompts": {"b": "c"}},
        TypeError,
        "negative_prompts is a mapping",
    ),
    "a level below 0": ({"prompts": "a", "level": -1}, ValueError, "level is -1; wanted a whole"),
    "planes of a list": (
        {"prompts": "a", "planes": {"z": [1, 2]}},
        TypeError,
        "planes['z'] is [1, 2]; wanted a number, a slice or a range",
    ),
    "a range from both ends": (
        {"prompts": "a", "planes": {"z": range(-2, 2)}},
        ValueError,
        "planes['z'] is range(-2, 2); wanted numbers that count from one end",
    ),
    "a region of words": ({"prompts": "a", "region": "x"}, ValueError, "region is 'x'; wanted ("),
    "a region of one corner": ({"prompts": "a", "region": [[0, 0]]}, ValueError, "region is [[0,"),
    "a threshold of True": ({"prompts": "a", "threshold": True}, TypeError, "threshold is True"),
    "low thresholds": (
        {"prompts": "a", "low_threshold": [0.1]},
        TypeError,
        "low_threshold is [0.1]; wanted a number",
    ),
    "edges of a word": (
        {"prompts": "a", "refine_edges": "no"},
        TypeError,
        "refine_edges is 'no'; wanted True or False",
    ),
    "a detail of a list": ({"prompts": "a", "detail": [5]}, ValueError, "The tile size is [5]"),
}


@pytest.mark.parametrize(("fields", "error", "says"), BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_bad_fields_are_refused(fields, error, says):
    with pytest.raises(error) as caught:
        Recipe(**fields)
    assert says in str(caught.value)


def test_another_model_drops_the_weights():
    recipe = Recipe("a", model="demo", weights=HASH)
    assert recipe.replace(model="other").weights is None
    assert recipe.replace(model="other", weights=HASH).weights == HASH
    assert recipe.replace(model=Path("demo"), threshold=0.5).weights == HASH


def test_a_recipe_does_not_change_with_what_it_was_made_of(engine):
    image, region, planes = EXAMPLE.copy(), np.array([[1.0, 2], [9, 9]]), {"z": 0}
    threshold = np.array([0.25])
    recipe = Recipe(image, region=region, planes=planes, threshold=threshold)
    found = segment(RGB, Recipe(image), model=engine).recipe
    wanted, image_before = Recipe(**{**RECIPES["an image"]}).to_dict(), found.to_dict()
    image[:], region[:], threshold[:], planes["z"] = 0, 0, 0, 1
    assert found.to_dict() == image_before
    assert image_before["prompts"] == wanted["prompts"]
    assert recipe.region.tolist() == [[1, 2], [9, 9]]
    assert (recipe.planes, recipe.threshold) == ({"z": 0}, (0.25,))


def test_recipes_that_cannot_be_read_are_not_equal():
    outside = Recipe(Example(EXAMPLE, [[1000, 1000], [1010, 1010]]))
    assert outside == outside
    assert outside != Recipe("a")
    assert Recipe("a") != "a"


def test_an_unknown_field_of_a_call_is_named_with_the_known_ones():
    with pytest.raises(TypeError, match=r"no field 'treshold'; a recipe has prompts, names,"):
        segment(RGB, "dog", treshold=0.5)


def test_a_recipe_cannot_be_changed():
    with pytest.raises(AttributeError):
        Recipe("a").threshold = 0.5


# The same call, the same result


def test_a_recipe_and_its_fields_are_the_same_call(engine):
    fields = {"negative_prompts": "debris", "threshold": 0.4, "detail": Detail(20)}
    one = segment(RGB, ["dog", EXAMPLE], model=engine, **fields)
    other = segment(RGB, Recipe(["dog", EXAMPLE], model=engine.name, **fields), model=engine)
    np.testing.assert_array_equal(one.probability, other.probability)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert one.recipe == other.recipe


def test_fields_win_over_those_of_a_recipe(engine):
    recipe = Recipe("dog", threshold=0.2)
    assert segment(RGB, recipe, model=engine, threshold=0.6).threshold == 0.6
    assert recipe.threshold == 0.2


def test_plan_and_preview_take_the_same_words(engine):
    recipe = Recipe(["dog", "cat"], detail=Detail(8, overlap=0), model=engine.name)
    made = plan(RGB, recipe, model=engine)
    assert made.tile_count == 6
    assert made.shape == (2, 12, 20)
    assert plan(RGB, ["dog", "cat"], detail=Detail(8, overlap=0), model=engine).tiles == made.tiles
    shown = preview(RGB, recipe, model=engine, tile=5)
    np.testing.assert_array_equal(
        shown, preview(RGB, model=engine, detail=Detail(8, overlap=0), tile=5)
    )


def test_the_recipe_of_a_result_gives_it_again(checkpoint):
    image = np.random.default_rng(1).integers(0, 4000, (3, 40, 50)).astype(np.uint16)
    folder = str(checkpoint("small"))
    first = segment(
        image, {"a": Average(["dog", EXAMPLE]), "b": "cat"}, model=folder, planes={"z": 1}
    )
    recipe = Recipe.from_dict(json.loads(recipe_json.to_text(first.recipe.to_dict())))
    assert recipe.weights.startswith("sha256:")
    assert recipe.threshold == first.threshold
    second = segment(image, recipe)
    np.testing.assert_array_equal(first.probability, second.probability)
    np.testing.assert_array_equal(first.labels, second.labels)
    # Its contrast is that of the first image, whatever the other planes hold.
    assert recipe.appearance.contrast != "auto"


def test_other_weights_of_the_same_name_are_refused(checkpoint):
    recipe = Recipe("dog", model=str(checkpoint("small")), weights=HASH)
    with pytest.raises(CheckpointError, match=r"other weights of .*: sha256:0123.*those here are"):
        segment(RGB, recipe)
    assert segment(RGB, recipe.replace(weights=None)).recipe.weights != HASH


# Of a layer


@pytest.mark.parametrize(
    "fields",
    [
        {"prompts": ["dog", EXAMPLE], "threshold": 0.45},
        {"prompts": "dog", "instances": InstanceOptions(split="distance"), "threshold": "otsu"},
        {"prompts": "dog", "negative_prompts": "cat", "low_threshold": 0.1, "refine_edges": True},
        {"prompts": "dog", "planes": {"z": slice(0, 4, 2)}, "region": [(3, 4), (30, 40)]},
        {"prompts": "dog", "detail": "fine"},
    ],
    ids=["texts and images", "objects", "edges", "planes and a region", "tiles"],
)
def test_the_recipe_of_a_saved_layer_gives_equal_labels(fields, checkpoint, tmp_path):
    data = np.random.default_rng(2).integers(0, 900, (4, 60, 130)).astype(np.uint16)
    layer = Image(data, contrast_limits=(100, 700), gamma=0.8, scale=(2, 0.5, 0.5))
    result = segment(layer, Recipe(model=checkpoint("small"), **fields))
    labels, options, _ = result.to_layers(layer)[-1]
    made = Labels(labels, **options)
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(made.metadata), encoding="utf-8")
    np.save(tmp_path / "saved.npy", made.data)

    saved = Labels(
        np.load(tmp_path / "saved.npy"), metadata=json.loads(path.read_text(encoding="utf-8"))
    )
    again = segment(layer, Recipe.of(saved))
    np.testing.assert_array_equal(again.to_layers(layer)[-1][0], saved.data)
    assert again.labels.any()
    # Contrast and gamma are in the recipe: the array with the size of its pixels is enough.
    plain = as_source(data, spacing=(0.5, 0.5))
    np.testing.assert_array_equal(segment(plain, Recipe.of(saved)).labels, again.labels)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (Image(np.zeros((4, 4)), name="photo"), "'photo' has no recipe; wanted a layer that"),
        ({}, "'dict' has no recipe"),
        (None, "'NoneType' has no recipe"),
        (Labels(np.zeros((4, 4), int), name="x", metadata={"napari_clipseg": {}}), "'x' has no"),
    ],
    ids=["an image", "an empty mapping", "nothing", "an empty record"],
)
def test_a_layer_without_a_recipe_is_refused(layer, says):
    with pytest.raises(ValueError, match=says):
        Recipe.of(layer)


@pytest.mark.parametrize("path", ["map.zarr", Path("recipe.json")], ids=str)
def test_a_path_is_refused_with_the_cure(path):
    with pytest.raises(TypeError, match=r"The recipe of a file is napari_clipseg\.recipe_of"):
        Recipe.of(path)


@pytest.mark.parametrize("image", [RGB, RGB[..., 0]], ids=["rgb", "gray"])
def test_the_recipe_of_an_image_without_channels_names_none(image, engine):
    assert segment(image, "dog", model=engine).recipe.appearance.channels is None


def test_the_recipe_of_an_ome_zarr(engine, checkpoint, tmp_path):
    import zarr

    result = segment(RGB, "dog", model=checkpoint("small"), output=tmp_path / "map.zarr")
    found = Recipe.of(zarr.open_group(tmp_path / "map.zarr", mode="r"))
    assert found == result.recipe
    np.testing.assert_array_equal(segment(RGB, found).labels, np.asarray(result.labels))
