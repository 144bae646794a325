"""The files that weights may lie in: whole or in parts, safetensors or pickled."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_clipseg.engine.checkpoints.weight_files import read_weights
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
WRITE = {SAFE: save_file, PICKLED: torch.save}


@pytest.fixture
def state(folder):
    return {name: tensor.clone() for name, tensor in load_file(folder / SAFE).items()}


def write_in_parts(folder, state, name):
    """Leave the weights in three parts and their index, as ``transformers`` names them."""
    (folder / SAFE).unlink()
    stem, suffix = name.split(".")
    files = [f"{stem}-{i:05}-of-00003.{suffix}" for i in (1, 2, 3)]
    where = {key: files[i % 3] for i, key in enumerate(sorted(state))}
    for file in files:
        WRITE[name]({k: x for k, x in state.items() if where[k] == file}, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / f"{name}.index.json").write_text(json.dumps(index))
    return files


def assert_read(folder, state, name):
    path, found = read_weights(folder)
    assert path == folder / name
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("name", WRITE)
def test_parts_are_read_as_one(name, folder, state):
    write_in_parts(folder, state, name)
    assert_read(folder, state, f"{name}.index.json")
    loaded = CLIPSegForImageSegmentation.from_pretrained(folder).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def test_the_order_is_the_references(folder, state):
    other = {key: tensor + 1 for key, tensor in state.items()}
    torch.save(other, folder / PICKLED)
    assert_read(folder, state, SAFE)
    write_in_parts(folder, state, SAFE)
    assert_read(folder, state, f"{SAFE}.index.json")
    (folder / f"{SAFE}.index.json").unlink()
    assert_read(folder, other, PICKLED)


def test_files_of_the_oldest_pytorch(folder, state):
    torch.save(state, folder / PICKLED, _use_new_zipfile_serialization=False)
    (folder / SAFE).unlink()
    assert_read(folder, state, PICKLED)


@pytest.mark.parametrize("name", WRITE)
def test_a_part_that_is_not_there_is_named(name, folder, state):
    files = write_in_parts(folder, state, name)
    (folder / files[1]).unlink()
    with pytest.raises(CheckpointError, match=rf"has no {files[1]}, which {name}\.index\.json nam"):
        read_weights(folder)


@pytest.mark.parametrize("name", WRITE)
def test_a_part_that_is_cut_off_is_named(name, folder, state):
    files = write_in_parts(folder, state, name)
    path = folder / files[2]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(
        CheckpointError, match=rf"{files[2]} \([\d,]+ bytes\) is not a complete .* again"
    ):
        read_weights(folder)


def test_a_part_of_another_checkpoint_does_not_fit(folder, state):
    files = write_in_parts(folder, state, SAFE)
    save_file({"other": torch.zeros(3)}, folder / files[0])
    with pytest.raises(CheckpointError, match=r"index\.json does not fit .*missing.*\(other\)"):
        CLIPSegForImageSegmentation.from_pretrained(folder)


INDICES = {
    "no map": {"metadata": {}},
    "map is a list": {"weight_map": ["model.safetensors"]},
    "a name is a number": {"weight_map": {"a": 1}},
    "no name": {"weight_map": {"a": ""}},
    "a file elsewhere": {"weight_map": {"a": "../model.safetensors"}},
    "the folder above": {"weight_map": {"a": ".."}},
    "an absolute path": {"weight_map": {"a": "/model.safetensors"}},
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_an_index_that_cannot_be_used_is_told(index, folder):
    (folder / SAFE).rename(folder.parent / SAFE)
    (folder / f"{SAFE}.index.json").write_text(json.dumps(index))
    with pytest.raises(
        CheckpointError, match=r"index\.json does not say which file beside it .*Get"
    ):
        read_weights(folder)


STAND_INS = {
    "a web page": (b"\n<!DOCTYPE html>", r"holds no weights\. It is a web page"),
    "a git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        r"holds no weights\. It only points .* `git lfs pull`",
    ),
}


@pytest.mark.parametrize(("content", "says"), STAND_INS.values(), ids=STAND_INS)
def test_what_came_in_the_place_of_a_pickled_file_is_told(content, says, folder):
    (folder / SAFE).unlink()
    (folder / PICKLED).write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as caught:
        read_weights(folder)
    assert "weights_only" not in str(caught.value)  # no advice to run what is in it
