from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from napari_clipseg.engine.loading import load
from napari_clipseg.engine.modeling.layers import ACTIVATIONS, CLIPSegMLP
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime import kernels
from napari_clipseg.engine.runtime.kernels import (
    IN_PLACE,
    InPlaceMLP,
    OneDnnLinear,
    use_fast_kernels,
)

X = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=3)


@given(SHAPES, st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_onednn_linear_gives_the_values_of_pytorch(shape, width, out, bias):
    torch.manual_seed(0)
    ours, x = OneDnnLinear(width, out, bias=bias), torch.randn(*shape, width)
    wanted = F.linear(x, ours.weight, ours.bias)
    torch.testing.assert_close(ours(x), wanted)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), wanted)
        # In float64, beside float64: rounding in float32 is far above float64's tolerance.
        ours, x = ours.double(), x.double()
        torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias))


@torch.inference_mode()
def test_onednn_linear_takes_what_is_not_contiguous():
    ours, x = OneDnnLinear(5, 3), torch.randn(5, 4, 2).permute(2, 1, 0)
    torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias))


def test_onednn_linear_is_pytorchs_own_without_onednn(monkeypatch):
    monkeypatch.setattr(kernels, "HAS_ONEDNN", False)
    ours, x = OneDnnLinear(5, 3), torch.randn(4, 5)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias), atol=0, rtol=0)


@pytest.mark.parametrize("activation", IN_PLACE, ids=lambda f: f.__name__)
def test_in_place_activations_give_the_values_of_the_others(activation):
    x = 3 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    wanted = activation(x)
    torch.testing.assert_close(IN_PLACE[activation](x), wanted)
    torch.testing.assert_close(x, wanted)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_in_place_mlp_gives_the_same_with_gradients_and_without(activation):
    torch.manual_seed(0)
    plain, x = CLIPSegMLP(8, 12, activation), X.clone()
    fast = copy.deepcopy(plain)
    use_fast_kernels(fast)
    assert type(fast) is InPlaceMLP
    with_gradients = fast(x)
    with torch.inference_mode():
        without = fast(x)
    torch.testing.assert_close(with_gradients, plain(X))
    torch.testing.assert_close(without, with_gradients.detach())
    torch.testing.assert_close(x, X, atol=0, rtol=0)
    assert torch.autograd.gradcheck(fast.double(), X.double().requires_grad_())


def test_use_fast_kernels_changes_classes_and_no_weights(checkpoint):
    network = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    before = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    use_fast_kernels(network)
    types = {type(module) for module in network.modules()}
    assert {OneDnnLinear, InPlaceMLP} <= types
    assert not {nn.Linear, CLIPSegMLP} & types
    assert {name: tensor.data_ptr() for name, tensor in network.state_dict().items()} == before


def test_load_uses_fast_kernels_and_from_pretrained_does_not(checkpoint):
    plain = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    assert not {OneDnnLinear, InPlaceMLP} & {type(module) for module in plain.modules()}
    engine = load(checkpoint("small"), device="cpu")
    placed = engine._batches.placed
    assert {OneDnnLinear, InPlaceMLP} <= {type(module) for module in placed.network.modules()}
    x = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    vectors = torch.from_numpy(engine.embed(["red rings"]))
    with torch.inference_mode():
        wanted = plain(pixel_values=x, conditional_embeddings=vectors).logits.numpy()
        reduced, grid = placed.reduce(x)
        got = placed.logits(reduced, vectors, grid)
    np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max(), rtol=0)
