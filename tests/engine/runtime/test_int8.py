from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evaluate.agreement import label_agreement
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.runtime import devices
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
def test_int8_linear_is_near_the_linear_layer(shape, width, out, bias):
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
def test_int8_linear_keeps_small_tokens_beside_large_ones():
    torch.manual_seed(0)
    linear = nn.Linear(32, 8, bias=False)
    x = torch.randn(2, 32) * torch.tensor([[1e-3], [1e3]])
    got, wanted = Int8Linear(linear)(x), linear(x)
    assert (torch.abs(got - wanted) <= 0.05 * wanted.abs().amax(1, keepdim=True)).all()


@torch.inference_mode()
def test_int8_linear_maps_zeros_to_zeros():
    linear = nn.Linear(4, 3)
    nn.init.zeros_(linear.weight)
    for x in (torch.zeros(2, 4), torch.ones(2, 4)):
        torch.testing.assert_close(Int8Linear(linear)(x), linear.bias.expand(2, 3))


@pytest.mark.usefixtures("capable")
def test_load_in_int8_gives_the_labels_of_float32():
    full, int8 = load("demo", device="cpu"), load("demo", device="cpu", precision="int8")
    assert label_agreement(full, int8, scenes=4) >= 0.99
    assert (full.precision, int8.precision) == ("float32", "int8")


@pytest.mark.usefixtures("capable")
def test_load_uses_int8_only_on_request(checkpoint):
    int8 = load(checkpoint("small"), device="cpu", precision="int8")
    assert load(checkpoint("small"), device="cpu", precision="int8") is int8
    assert load(checkpoint("small"), device="cpu") is not int8
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    answers = [
        e.decode(e.encode([image]), e.embed(["rings"]))
        for e in (int8, load(checkpoint("small"), device="cpu"))
    ]
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.1 * np.abs(answers[1]).max()


# name: what PyTorch says of oneDNN and of the CPU, what is said then
INCAPABLE = {
    "no oneDNN": (False, "AVX512", "this build of PyTorch has no oneDNN"),
    "an old CPU": (True, "DEFAULT", "finds DEFAULT in this CPU, wanted one of AVX2, AVX512"),
    "another kind of CPU": (True, "NEON", "finds NEON"),
}


@pytest.mark.parametrize(("onednn", "cpu", "says"), INCAPABLE.values(), ids=INCAPABLE)
def test_load_refuses_int8_where_it_is_slow(onednn, cpu, says, checkpoint, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: cpu)
    with pytest.raises(ValueError, match=rf"{says}.*precision='float32'"):
        load(checkpoint("small-film-last"), device="cpu", precision="int8")


def test_load_refuses_int8_on_a_gpu(checkpoint, monkeypatch):
    monkeypatch.setattr(devices, "pick_device", lambda _: torch.device("cuda"))
    with pytest.raises(ValueError, match=r"for the CPU, and the device is 'cuda'.*in float16"):
        load(checkpoint("small"), precision="int8")
