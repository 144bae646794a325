from __future__ import annotations

import json
import re
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_clipseg.engine.checkpoints import weights
from napari_clipseg.engine.checkpoints.weights import load_weights
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor

NAME = "decoder.film_mul.weight"


@pytest.fixture
def model(folder):
    torch.manual_seed(1)
    return CLIPSegForImageSegmentation(CLIPSegConfig.from_pretrained(folder))


def rewrite(folder, change):
    """Write the weights again, changed."""
    path = folder / "model.safetensors"
    state = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(state)
    save_file(state, path)
    return state


def assert_state(model, state, **kwargs):
    got = model.state_dict()
    assert got.keys() == state.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(got[name], tensor, atol=0, rtol=0, msg=name, **kwargs)


def test_load_weights_gives_a_model_the_tensors_of_the_file(model, folder):
    load_weights(model, folder)
    assert_state(model, load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_load_weights_converts_other_precisions_to_float32(dtype, model, folder):
    state = rewrite(folder, lambda s: s.update({k: v.to(dtype) for k, v in s.items()}))
    load_weights(model, folder)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert_state(model, {name: tensor.float() for name, tensor in state.items()})


def test_load_weights_ignores_buffers_of_older_files(model, folder):
    wanted = load_file(folder / "model.safetensors")
    names = [f"clip.{tower}_model.embeddings.position_ids" for tower in ("text", "vision")]
    rewrite(folder, lambda s: s.update({name: torch.arange(77)[None] for name in names}))
    load_weights(model, folder)
    assert_state(model, {name: tensor.clone() for name, tensor in wanted.items()})


def cut(length):
    return lambda content: content[:length]


def with_header(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda _: struct.pack("<Q", len(text)) + text


CUT_OFF = "It may have been cut off while it was copied; get it again."
BROKEN = {
    "empty": (cut(0), "(0 bytes)"),
    "cut in the header's length": (cut(5), CUT_OFF),
    "cut in the header": (cut(500), CUT_OFF),
    "cut in the middle": (lambda b: b[: len(b) // 2], CUT_OFF),
    "one byte short": (cut(-1), CUT_OFF),
    "one byte too long": (lambda b: b + b"\0", "is not a complete safetensors file"),
    "header is no JSON": (with_header(b"{" * 40), "is not a complete safetensors file"),
    "header is a list": (with_header([1]), "is not a complete safetensors file"),
    "offsets beyond the end": (
        with_header({NAME: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
        "is not a complete safetensors file",
    ),
    "no tensors": (with_header({}), "tensors missing"),
    "a web page": (lambda _: b"\n<!DOCTYPE html><html>404</html>", "It is a web page"),
    "a git-lfs pointer": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 603000000\n",
        "run `git lfs pull`",
    ),
}


@pytest.mark.parametrize(("change", "says"), BROKEN.values(), ids=BROKEN)
def test_load_weights_names_a_broken_file_and_the_cure(change, says, model, folder):
    path = folder / "model.safetensors"
    path.write_bytes(change(path.read_bytes()))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=re.escape(says)) as caught:
        load_weights(model, folder)
    assert str(path) in str(caught.value)
    assert_state(model, before)


MISMATCHED = {
    "one missing": (lambda s: s.pop(NAME), rf"1 tensors missing \({NAME}\)"),
    "one too many": (
        lambda s: s.update(extra=torch.zeros(1)),
        r"1 tensors not of this model \(extra\)",
    ),
    "a name misspelt": (
        lambda s: s.update(film=s.pop(NAME)),
        r"1 tensors missing .*; 1 tensors not of this model \(film\)",
    ),
    "another shape": (
        lambda s: s.update({NAME: s[NAME][:, :-1].contiguous()}),
        rf"1 tensors of another shape \({NAME} is \(16, 23\), wanted \(16, 24\)\)",
    ),
    "turned": (
        lambda s: s.update({NAME: s[NAME].T.contiguous()}),
        r"is \(24, 16\), wanted \(16, 24\)",
    ),
    **{
        f"a tensor of {dtype}": (
            lambda s, dtype=dtype: s.update({NAME: s[NAME].to(dtype)}),
            rf"1 tensors of another type than float32, .* \({NAME} is {dtype}\)".replace(
                "torch.", ""
            ),
        )
        for dtype in (
            torch.int8,
            torch.uint8,
            torch.int64,
            torch.bool,
            torch.complex64,
            torch.float8_e4m3fn,
            torch.float8_e5m2,
        )
    },
    "all int8": (
        lambda s: s.update({k: v.to(torch.int8) for k, v in s.items()}),
        r"\d+ tensors of another type than float32, float16, bfloat16 or float64",
    ),
    "many missing": (lambda s: [s.pop(k) for k in list(s) if "vision" in k], r"and \d+ more\)"),
}


@pytest.mark.parametrize(("change", "says"), MISMATCHED.values(), ids=MISMATCHED)
def test_load_weights_names_tensors_that_do_not_fit_and_the_cure(change, says, model, folder):
    rewrite(folder, change)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=says) as caught:
        load_weights(model, folder)
    assert "Get both files from the same checkpoint" in str(caught.value)
    assert_state(model, before)


def test_from_pretrained_refuses_weights_of_another_size(folder, checkpoint):
    other = checkpoint("small-refined") / "model.safetensors"
    (folder / "model.safetensors").write_bytes(other.read_bytes())
    with pytest.raises(CheckpointError, match=r"transposed_convolution\.0\.bias, .* and 3 more"):
        CLIPSegForImageSegmentation.from_pretrained(folder)


@pytest.mark.parametrize("there", ["nothing", "a folder"])
def test_from_pretrained_without_weights_says_the_cure(there, folder):
    (folder / "model.safetensors").unlink()
    if there == "a folder":
        (folder / "model.safetensors").mkdir()
    with pytest.raises(
        CheckpointError, match=r"has no model\.safetensors, nor a pytorch_model\.bin\. Choose"
    ) as caught:
        CLIPSegForImageSegmentation.from_pretrained(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_decode_refuses_weights_that_are_not_finite(value, folder):
    rewrite(folder, lambda s: s["decoder.reduces.0.bias"].fill_(value))
    model = CLIPSegForImageSegmentation.from_pretrained(folder)
    engine = Engine(model, CLIPSegProcessor.from_pretrained(folder), "mine")
    features = engine.encode([np.zeros((9, 9, 3), np.uint8)])
    with pytest.raises(CheckpointError, match=r"'mine' .* weights are damaged\. Get"):
        engine.decode(features, engine.embed(["nuclei"]))


def test_save_pretrained_lets_all_users_of_the_folder_read_the_files(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    modes = {path.stat().st_mode for path in (tmp_path / "saved").iterdir()}
    assert len(modes) == 1


def test_save_pretrained_leaves_the_older_file_after_an_error(model, folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()

    def fails(_, path, **__):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", fails)
    names = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OSError, match="No space"):
        model.save_pretrained(folder)
    assert sorted(path.name for path in folder.iterdir()) == names
    assert (folder / "model.safetensors").read_bytes() == before
