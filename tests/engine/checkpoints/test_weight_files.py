"""The files that weights may lie in: whole or in parts, safetensors or pickled."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_clipseg.engine.checkpoints.weight_files import read_weights, weights_digest
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
def test_read_weights_joins_parts(name, folder, state):
    write_in_parts(folder, state, name)
    assert_read(folder, state, f"{name}.index.json")
    loaded = CLIPSegForImageSegmentation.from_pretrained(folder).state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def test_read_weights_prefers_what_the_reference_prefers(folder, state):
    other = {key: tensor + 1 for key, tensor in state.items()}
    torch.save(other, folder / PICKLED)
    assert_read(folder, state, SAFE)
    write_in_parts(folder, state, SAFE)
    assert_read(folder, state, f"{SAFE}.index.json")
    (folder / f"{SAFE}.index.json").unlink()
    assert_read(folder, other, PICKLED)


def test_read_weights_reads_files_of_the_oldest_pytorch(folder, state):
    torch.save(state, folder / PICKLED, _use_new_zipfile_serialization=False)
    (folder / SAFE).unlink()
    assert_read(folder, state, PICKLED)


@pytest.mark.parametrize("name", WRITE)
def test_read_weights_names_a_missing_part(name, folder, state):
    files = write_in_parts(folder, state, name)
    (folder / files[1]).unlink()
    with pytest.raises(CheckpointError, match=rf"has no {files[1]}, which {name}\.index\.json nam"):
        read_weights(folder)


@pytest.mark.parametrize("name", WRITE)
def test_read_weights_names_a_truncated_part(name, folder, state):
    files = write_in_parts(folder, state, name)
    path = folder / files[2]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(
        CheckpointError, match=rf"{files[2]} \([\d,]+ bytes\) is not a complete .* again"
    ):
        read_weights(folder)


def test_from_pretrained_refuses_a_part_of_another_checkpoint(folder, state):
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
def test_read_weights_refuses_a_wrong_index(index, folder):
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
def test_read_weights_says_what_is_in_the_place_of_a_pickled_file(content, says, folder):
    (folder / SAFE).unlink()
    (folder / PICKLED).write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as caught:
        read_weights(folder)
    assert "weights_only" not in str(caught.value)  # no advice to run what is in it


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", WRITE)
def test_weights_digest_of_one_file_is_its_sha256(name, folder, state):
    (folder / SAFE).unlink()
    WRITE[name](state, folder / name)
    assert weights_digest(folder) == f"sha256:{sha256(folder / name)}"


@pytest.mark.parametrize("name", WRITE)
def test_weights_digest_of_parts_is_that_of_their_names_and_hashes(name, folder, state):
    files = write_in_parts(folder, state, name)
    lines = "".join(f"{file} {sha256(folder / file)}\n" for file in files)
    assert weights_digest(folder) == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def test_weights_digest_is_that_of_the_file_that_is_read(folder, state):
    before = weights_digest(folder)
    torch.save(state, folder / PICKLED)
    assert weights_digest(folder) == before


@pytest.mark.parametrize(("blob", "recorded"), [("a" * 64, True), ("b" * 40, False)])
def test_weights_digest_takes_the_name_of_a_blob(blob, recorded, folder):
    (folder / SAFE).rename(folder / blob)
    try:
        (folder / SAFE).symlink_to(blob)
    except OSError:
        pytest.skip("symbolic links cannot be made here")
    assert weights_digest(folder) == f"sha256:{blob if recorded else sha256(folder / blob)}"


def test_weights_digest_without_weights_says_the_cure(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors, nor a pytorch"):
        weights_digest(tmp_path)
