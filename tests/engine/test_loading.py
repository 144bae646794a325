from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_clipseg.engine.checkpoints import weight_files
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.loading import LOADED_ENGINES, load
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
HERE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
ABSENT = [name for name, here in HERE.items() if not here]


def answer(engine):
    return engine.decode(engine.encode([IMAGE]), engine.embed(["red rings"]))


def test_load_gives_the_same_engine_again(checkpoint, monkeypatch):
    folder = checkpoint("small")
    monkeypatch.chdir(folder.parent)
    first = load(folder, device="cpu")
    assert load(str(folder), device=torch.device("cpu")) is first
    assert load(f"./{folder.name}", device="cpu") is first
    assert load(checkpoint("small-refined"), device="cpu") is not first


def test_load_gives_the_engine_its_name(folder):
    assert load(str(folder)).name == str(folder)
    assert load("demo").name == "demo"


def test_load_from_several_threads_gives_one_engine(folder):
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(load, [folder] * 4))
    assert len(set(map(id, engines))) == 1


def test_load_tries_again_after_an_error(folder):
    path = folder / "config.json"
    content = path.read_bytes()
    path.write_bytes(b"{")
    with pytest.raises(CheckpointError):
        load(folder)
    path.write_bytes(content)
    assert load(folder).config.reduce_dim == 16


@pytest.mark.parametrize("device", ["gpu", "", "meta", "cpu0", *ABSENT])
def test_load_refuses_devices_that_are_not_there(device, checkpoint):
    with pytest.raises(ValueError, match=rf"no device '{device}' here; there is \[.*'cpu'\]"):
        load(checkpoint("small"), device=device)


def test_load_takes_the_best_device(checkpoint):
    best = "cuda" if torch.cuda.is_available() else "cpu"
    best = "mps" if best == "cpu" and torch.backends.mps.is_available() else best
    assert load(checkpoint("small")).device.type == best


def test_load_reads_a_folder_again_that_was_saved_into(folder):
    before = load(folder, device="cpu")
    first = answer(before)
    model = CLIPSegForImageSegmentation.from_pretrained(folder)
    model.save_pretrained(folder)
    again = load(folder, device="cpu")
    assert again is not before
    np.testing.assert_array_equal(answer(again), first)
    with torch.no_grad():
        model.decoder.film_add.bias.add_(1)
    model.save_pretrained(folder)
    after = load(folder, device="cpu")
    assert np.abs(answer(after) - first).max() > 1e-3
    assert after.weights != before.weights
    np.testing.assert_array_equal(answer(before), first)  # it can still be used
    assert load(folder, device="cpu") is after


@pytest.mark.parametrize(
    "file", ["config.json", "vocab.json", "merges.txt", "preprocessor_config.json"]
)
def test_load_reads_a_folder_again_whose_file_was_replaced(file, folder):
    before = load(folder, device="cpu")
    path = folder / file
    (folder / "new").write_bytes(path.read_bytes())
    (folder / "new").replace(path)
    assert load(folder, device="cpu") is not before


def test_load_takes_the_snapshot_that_a_hub_name_has_now(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--somebody--model"
    (place / "refs").mkdir(parents=True)
    engines = []
    for commit, size in (("a" * 40, "small"), ("b" * 40, "small-refined")):
        shutil.copytree(checkpoint(size), place / "snapshots" / commit)
        (place / "refs" / "main").write_text(commit)
        engines.append(load("somebody/model", device="cpu"))
    assert [e.config.use_complex_transposed_convolution for e in engines] == [False, True]


def test_load_caches_a_few_engines_and_drops_the_least_recently_used(checkpoint, tmp_path):
    folders = [
        Path(shutil.copytree(checkpoint("small"), tmp_path / str(i)))
        for i in range(LOADED_ENGINES + 1)
    ]
    engines = [load(folder, device="cpu") for folder in folders[:-1]]
    assert load(folders[0], device="cpu") is engines[0]
    load(folders[-1], device="cpu")
    assert load(folders[0], device="cpu") is engines[0]
    assert load(folders[1], device="cpu") is not engines[1]
    assert answer(engines[1]).shape == (1, 1, 96, 96)  # dropped, not unloaded


def test_load_reads_a_checkpoint_again_that_was_unloaded(folder):
    engine = load(folder, device="cpu")
    before = engine.embed(["rings"])
    engine.unload()
    again = load(folder, device="cpu")
    assert again is not engine
    np.testing.assert_array_equal(again.embed(["rings"]), before)


def test_load_knows_one_precision_by_two_names_on_a_cpu(checkpoint):
    engine = load(checkpoint("small"), device="cpu")
    assert load(checkpoint("small"), device="cpu:0", precision="float32") is engine


def test_load_does_not_hash_the_weights_before_it_is_asked(folder, monkeypatch):
    hashed = []
    monkeypatch.setattr(weight_files, "sha256", lambda path: hashed.append(path.name) or "0" * 64)
    engine = load(folder, device="cpu")
    assert hashed == []
    assert engine.weights == engine.weights == f"sha256:{'0' * 64}"
    assert hashed == ["model.safetensors"]


LIGHT = """
import sys
from napari_clipseg.engine.loading import load
engine = load({folder!r}, device="cpu")
heavy = {{"torch._dynamo", "sympy", "scipy", "skimage", "huggingface_hub", "transformers"}}
print(sorted(heavy & sys.modules.keys()))
"""


def test_load_imports_no_more_than_it_needs(checkpoint):
    script = LIGHT.format(folder=str(checkpoint("small")))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_load_reads_the_threshold_of_the_checkpoint(folder):
    shutil.copy(folder / "config.json", folder / "was.json")
    values = json.loads((folder / "was.json").read_text()) | {"default_threshold": 0.75}
    (folder / "config.json").write_text(json.dumps(values))
    assert load(folder).config.default_threshold == 0.75


def test_load_lets_go_of_the_engine_of_files_that_were_replaced(folder):
    old = weakref.ref(load(folder, device="cpu"))
    network = CLIPSegForImageSegmentation.from_pretrained(folder)
    with torch.no_grad():
        network.decoder.film_add.bias += 1
    network.save_pretrained(folder)
    load(folder, device="cpu")
    gc.collect()
    assert old() is None
