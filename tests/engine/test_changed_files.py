"""Files of weights that are truncated or overwritten in place while an engine uses them."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_clipseg.engine.checkpoints import locate as locate_module
from napari_clipseg.engine.checkpoints import weight_files
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.loading import load

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
WEIGHTS = "model.safetensors"


def overwrite(path):
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))


@pytest.fixture(params=["safetensors", "pickled"])
def weights(request, folder):
    path = folder / WEIGHTS
    if request.param == "safetensors":
        return path
    state = {name: tensor.clone() for name, tensor in load_file(path).items()}
    path.unlink()
    torch.save(state, folder / "pytorch_model.bin")
    return folder / "pytorch_model.bin"


def test_engine_of_a_small_file_does_not_need_it_any_more(weights, folder):
    """In a process of its own, which would be killed if a truncated file were mapped."""
    code = f"""
import os, numpy as np
from napari_clipseg.engine.loading import load
engine = load({str(folder)!r}, device="cpu")
os.truncate({str(weights)!r}, 100)
image = np.zeros((60, 40, 3), np.uint8)
print(engine.decode(engine.encode([image]), engine.embed(["rings"])).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout.strip() == "(1, 1, 96, 96)"


def test_engine_of_a_small_file_gives_the_same_after_it_was_overwritten(weights, folder):
    engine = load(folder, device="cpu")
    first = engine.decode(engine.encode([IMAGE]), engine.embed(["rings"]))
    overwrite(weights)
    engine.clear_cache()
    again = engine.decode(engine.encode([IMAGE]), engine.embed(["rings"]))
    np.testing.assert_array_equal(first, again)


def lengthen(path):
    with path.open("ab") as file:
        file.write(b"\0")


CHANGES = {
    "overwritten": overwrite,
    "truncated": lambda path: os.truncate(path, 100),
    "longer": lengthen,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_engine_of_a_large_file_notices_a_change_in_place(change, folder, monkeypatch):
    for module in (locate_module, weight_files):
        monkeypatch.setattr(module, "READ_WHOLE", 0)
    engine = load(folder, device="cpu")
    vectors, features = engine.embed(["rings"]), engine.encode([IMAGE])
    change(folder / WEIGHTS)
    says = rf"{WEIGHTS} in .* was changed in place after .*Load the model again"
    for run in (
        lambda: engine.encode([IMAGE]),
        lambda: engine.embed(["rings"]),
        lambda: engine.decode(features, vectors),
    ):
        with pytest.raises(CheckpointError, match=says):
            run()


def test_engine_of_a_large_file_goes_on_when_it_is_replaced(folder, monkeypatch):
    for module in (locate_module, weight_files):
        monkeypatch.setattr(module, "READ_WHOLE", 0)
    engine = load(folder, device="cpu")
    first = engine.decode(engine.encode([IMAGE]), engine.embed(["rings"]))
    other = folder / "other"
    other.write_bytes(bytes((folder / WEIGHTS).stat().st_size))
    os.replace(other, folder / WEIGHTS)
    engine.clear_cache()
    again = engine.decode(engine.encode([IMAGE]), engine.embed(["rings"]))
    np.testing.assert_array_equal(first, again)
    (folder / WEIGHTS).unlink()
    engine.encode([IMAGE], cache=False)
