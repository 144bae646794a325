"""Checkpoints with any damage: they are loaded and run, or refused with the cure."""

from __future__ import annotations

import itertools
import json
import os
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from drawing import changed, damaged, damages, examples, json_values, refusal
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.loading import load

IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
LARGE = 300  # pixels: what is allowed beyond takes long
CLOCK = itertools.count(10**18, 10**9)
JSON = ("config.json", "preprocessor_config.json", "tokenizer_config.json")


class Folder:
    """A small checkpoint with every file that is read; for a moment, some are others.

    One argument of the drawn tests: hypothesis would print the contents of the files.
    """

    def __init__(self, folder, weights="model.safetensors"):
        self._folder = folder
        self.contents = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.names = sorted(self.contents)
        self.weights = weights

    def json(self, name):
        return json.loads(self.contents[name])

    def use(self, **files):
        """Load it with some files changed, and run it; return what was wrong, if anything."""
        for name, content in (self.contents | files).items():
            (self._folder / name).write_bytes(content)
            # Two files of one size, written within a tick of the clock, are told apart.
            os.utime(self._folder / name, ns=(next(CLOCK),) * 2)
        engine, said = refusal(lambda: load(self._folder, device="cpu"), CheckpointError)
        if said or max(engine.size) > LARGE:
            return said or ""
        # The text may be too long for what the folder describes.
        vectors, said = refusal(lambda: engine.embed(["red rings"]), ValueError)
        if said:
            assert "at most" in said or "Get" in said
            return said
        logits, said = refusal(
            lambda: engine.decode(engine.encode([IMAGE]), vectors), CheckpointError
        )
        if said:
            return said
        assert np.isfinite(logits).all()
        assert logits.shape[:2] == (1, 1)
        return ""


@pytest.fixture(scope="module")
def whole(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged") / "checkpoint"
    shutil.copytree(checkpoint("small"), folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    return Folder(folder)


@pytest.fixture(scope="module")
def pickled(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pickled") / "checkpoint"
    shutil.copytree(checkpoint("small"), folder)
    safe = folder / "model.safetensors"
    torch.save(load_file(safe), folder / "pytorch_model.bin")
    safe.unlink()
    return Folder(folder, "pytorch_model.bin")


def test_the_whole_folders_are_used(whole, pickled):
    assert whole.use() == pickled.use() == ""


@examples(40)
@given(data=st.data())
def test_settings_with_any_value_anywhere(data, whole):
    name = data.draw(st.sampled_from(JSON))
    values = data.draw(changed(whole.json(name)))
    whole.use(**{name: json.dumps(values).encode()})


@examples(30)
@given(data=st.data())
def test_settings_of_small_numbers(data, whole):
    name = data.draw(st.sampled_from(JSON))
    values = data.draw(changed(whole.json(name), st.integers(-2, 130) | st.floats(0, 2)))
    whole.use(**{name: json.dumps(values).encode()})


@examples(30)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["whole", "pickled"])
def test_any_damage_of_bytes(kind, data, whole, pickled):
    folder = whole if kind == "whole" else pickled
    name = data.draw(st.sampled_from([folder.weights, *folder.names]))
    # The faults alone are drawn, and printed; not the files, which are large.
    damage = data.draw(damages(len(folder.contents[name])))
    folder.use(**{name: damaged(folder.contents[name], damage)})


@examples(20)
@given(vocabulary=json_values(), merges=st.text(max_size=200) | st.binary(max_size=200))
def test_any_vocabulary(vocabulary, merges, whole):
    merges = merges if isinstance(merges, bytes) else merges.encode("utf-8", "surrogatepass")
    said = whole.use(**{"vocab.json": json.dumps(vocabulary).encode(), "merges.txt": merges})
    assert said, "none of these are CLIP's"
