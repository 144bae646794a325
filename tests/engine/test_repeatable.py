"""A map is the same bit for bit, whatever it was asked for beside: on a CPU, as `load` gives it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawing import examples
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.runtime.batching import Placed

RANDOM = np.random.default_rng(0)
TILES = [RANDOM.integers(0, 256, (90, 120, 3), dtype=np.uint8) for _ in range(4)]
EXAMPLES = [RANDOM.integers(0, 256, (30, 30, 3), dtype=np.uint8) for _ in range(2)]
PROMPTS = [
    "red rings",
    "disks",
    "a photo of many blue disks on the left",
    *EXAMPLES,
    "nuclei",
    "a long text about the one thing that is in no image at all, said in many words",
]


@pytest.fixture(scope="module", params=["demo", "small", "small-refined", "demo in int8"])
def engine(request, checkpoint):
    name, _, precision = request.param.partition(" in ")
    model = name if name == "demo" else checkpoint(name)
    return load(model, device="cpu", precision=precision or None)


@pytest.fixture(scope="module")
def alone(engine):
    """Return the map of a tile and a prompt, asked for alone, by their numbers."""
    features, vectors, maps = {}, {}, {}

    def alone(tile, prompt):
        engine.clear_cache()
        if tile not in features:
            features[tile] = engine.encode([TILES[tile]])
        if prompt not in vectors:
            vectors[prompt] = engine.embed([PROMPTS[prompt]])
        if (tile, prompt) not in maps:
            (maps[tile, prompt],) = engine.decode(features[tile], vectors[prompt])[0]
        return maps[tile, prompt]

    return alone


@pytest.mark.parametrize("count", [2, 3, 4, 5, 9])
def test_decode_gives_the_same_prompt_the_same_map(count, engine, alone):
    maps = engine.decode(engine.encode(TILES[:1]), engine.embed([PROMPTS[0]] * count))
    assert maps.shape[:2] == (1, count)
    for each in maps[0]:
        np.testing.assert_array_equal(each, alone(0, 0), strict=True)


@examples(8)
@given(
    tiles=st.lists(st.integers(0, len(TILES) - 1), min_size=1, max_size=4),
    prompts=st.lists(st.integers(0, len(PROMPTS) - 1), min_size=1, max_size=8),
)
def test_decode_does_not_depend_on_what_else_is_asked_for(tiles, prompts, engine, alone):
    wanted = [[alone(tile, prompt) for prompt in prompts] for tile in tiles]
    engine.clear_cache()
    features = engine.encode([TILES[tile] for tile in tiles])
    maps = engine.decode(features, engine.embed([PROMPTS[prompt] for prompt in prompts]))
    np.testing.assert_array_equal(maps, wanted)


@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_embed_does_not_depend_on_what_else_is_asked_for(number, engine):
    together = engine.embed(PROMPTS)[number]
    engine.clear_cache()
    np.testing.assert_array_equal(engine.embed([PROMPTS[number]])[0], together, strict=True)


def test_decode_runs_once_for_each_distinct_vector(engine, monkeypatch):
    rows = []
    real = Placed.logits
    monkeypatch.setattr(
        Placed, "logits", lambda self, x, v, grid: (rows.append(len(v)), real(self, x, v, grid))[1]
    )
    vectors = engine.embed(["red rings", "disks", "red rings", "disks", "red rings"])
    maps = engine.decode(engine.encode(TILES[:3]), vectors)
    assert sum(rows) == 3 * 2
    assert maps.shape[:2] == (3, 5)
    np.testing.assert_array_equal(maps[:, 0], maps[:, 4])
    assert (maps[:, 0] != maps[:, 1]).any()


def test_decode_tells_similar_vectors_apart(engine):
    vectors = engine.embed(["red rings"]).repeat(3, axis=0)
    vectors[1] *= 1.001
    maps = engine.decode(engine.encode(TILES[:1]), vectors)[0]
    np.testing.assert_array_equal(maps[0], maps[2])
    assert (maps[0] != maps[1]).any()
