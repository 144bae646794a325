"""The JSON of recipes with anything anywhere: read, or refused by the name of its place."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawing import changed, damaged, damages, examples, json_values, refusal
from napari_clipseg import recipe_json
from napari_clipseg.engine.prompts import Average, Blend
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.recipe import Recipe

EXAMPLE = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
RECIPE = Recipe(
    ["nuclei", EXAMPLE, Average(["a", np.arange(3.0)]), Blend("b", EXAMPLE, 0.25)],
    names=[None, "rings", None, None],
    negative_prompts=["debris"],
    weights=f"sha256:{'0' * 64}",
    detail=Detail(96.0, overlap=0.25),
    planes={"z": slice(3, 9), "t": 1},
    region=[[0, 0], [9, 0], [9, 9]],
    level=1,
    appearance=Appearance(contrast=[(0, 255), (3, 9)], gamma=0.5, channels=[1, 0]),
    threshold=[0.5, 0.4, 0.3, 0.2, 0.1],
    instances=InstanceOptions(split="distance", max_size=9),
).to_dict()
WRITTEN = json.dumps(RECIPE).encode()


def check(values):
    recipe, said = refusal(lambda: Recipe.from_dict(values, "mine.json"), ValueError)
    if said:
        assert said.startswith("mine.json")
        return None
    text = recipe_json.to_text(recipe.to_dict())
    assert Recipe.from_dict(json.loads(text)) == recipe
    return recipe


def test_the_recipe_itself_is_read():
    assert check(RECIPE).to_dict() == RECIPE


@pytest.mark.parametrize("value", [1e39, -1e300, 10**400], ids=["float32", "float64", "whole"])
def test_a_vector_that_is_too_large_is_refused(value):
    values = {**RECIPE, "prompts": [{"vector": [0.5, value]}], "threshold": 0.5}
    with pytest.raises(ValueError, match=r"mine\.json: the vector of a prompt has a value that is"):
        Recipe.from_dict(values, "mine.json")


@examples(200)
@given(values=changed(RECIPE))
def test_any_value_anywhere(values):
    check(values)


@examples(60)
@given(values=changed(RECIPE, st.integers(-2, 9) | st.floats(0, 1) | st.sampled_from(["a", " "])))
def test_any_small_value_anywhere(values):
    check(values)


@examples(60)
@given(values=json_values())
def test_any_json_beside_the_format(values):
    if isinstance(values, dict):
        values = {"format": recipe_json.FORMAT, "version": 1, **values}
    assert check(values) is None


@examples(60)
@given(damage=damages(len(WRITTEN)))
def test_any_damage_of_bytes(damage, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(damaged(WRITTEN, damage))
    recipe, said = refusal(lambda: Recipe.load(path), ValueError)
    assert isinstance(recipe, Recipe) or said.startswith(str(path))
