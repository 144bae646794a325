from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evaluate.agreement import label_agreement
from napari_clipseg.engine import engine as engine_module
from napari_clipseg.engine.engine import load
from napari_clipseg.engine.runtime.int8 import Int8Linear, require_int8


@pytest.fixture
def capable():
    try:
        require_int8()
    except ValueError as error:
        pytest.skip(str(error))


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.integers(2, 70),
    st.integers(1, 40),
    st.booleans(),
)
@torch.inference_mode()
def test_it_is_near_the_linear_layer(shape, width, out, bias):
    torch.manual_seed(0)
    linear = nn.Linear(width, out, bias=bias)
    x = torch.randn(*shape, width)
    got, wanted = Int8Linear(linear)(x), linear(x)
    assert got.shape == wanted.shape
    # Half a step off in each weight and each value, at the most.
    steps = x.abs().amax(-1, keepdim=True) / 127
    scales = linear.weight.abs().amax(1) / 127
    sums = x.abs().sum(-1, keepdim=True) * scales + steps * linear.weight.abs().sum(1)
    bound = (sums + width * steps * scales / 2) / 2 + 1e-5
    assert (torch.abs(got - wanted) <= bound).all()


@torch.inference_mode()
def test_small_tokens_are_not_drowned_by_large_ones():
    torch.manual_seed(0)
    linear = nn.Linear(32, 8, bias=False)
    x = torch.randn(2, 32) * torch.tensor([[1e-3], [1e3]])
    got, wanted = Int8Linear(linear)(x), linear(x)
    assert (torch.abs(got - wanted) <= 0.05 * wanted.abs().amax(1, keepdim=True)).all()


@torch.inference_mode()
def test_zeros_stay_zeros():
    linear = nn.Linear(4, 3)
    nn.init.zeros_(linear.weight)
    for x in (torch.zeros(2, 4), torch.ones(2, 4)):
        torch.testing.assert_close(Int8Linear(linear)(x), linear.bias.expand(2, 3))


@pytest.mark.usefixtures("capable")
def test_labels_stay_on_the_bundled_checkpoint():
    full, fast = load("demo", device="cpu"), load("demo", device="cpu", fast=True)
    assert label_agreement(full, fast, scenes=30) >= 0.99
    assert (full.precision, fast.precision) == ("float32", "int8")


@pytest.mark.usefixtures("capable")
def test_it_is_off_unless_it_is_asked_for(checkpoint):
    fast = load(checkpoint("small"), device="cpu", fast=True)
    assert load(checkpoint("small"), device="cpu", fast=True) is fast
    assert load(checkpoint("small"), device="cpu") is not fast
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    answers = [
        e.decode(e.encode([picture]), e.embed(["rings"]))
        for e in (fast, load(checkpoint("small"), device="cpu"))
    ]
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.1 * np.abs(answers[1]).max()


# name: what PyTorch says of oneDNN and of the CPU, what is said then
INCAPABLE = {
    "no oneDNN": (False, "AVX512", "this build of PyTorch has no oneDNN"),
    "an old CPU": (True, "DEFAULT", "finds DEFAULT in this CPU, wanted one of AVX2, AVX512"),
    "another kind of CPU": (True, "NEON", "finds NEON"),
}


@pytest.mark.parametrize(("onednn", "cpu", "says"), INCAPABLE.values(), ids=INCAPABLE)
def test_where_int8_is_slow_it_is_refused(onednn, cpu, says, checkpoint, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: cpu)
    with pytest.raises(ValueError, match=rf"{says}.*without fast=True"):
        load(checkpoint("small-film-last"), device="cpu", fast=True)


def test_it_is_not_for_a_gpu(checkpoint, monkeypatch):
    monkeypatch.setattr(engine_module, "pick_device", lambda name: torch.device("cuda"))
    with pytest.raises(ValueError, match=r"for the CPU, and the device is 'cuda'.*half precision"):
        load(checkpoint("small"), fast=True)
