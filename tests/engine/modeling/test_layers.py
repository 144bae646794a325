from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_clipseg.engine.modeling import layers
from napari_clipseg.engine.modeling.layers import (
    ACTIVATION,
    CLIPSegAttention,
    CLIPSegDecoderLayer,
    CLIPSegEncoder,
    CLIPSegEncoderLayer,
    CLIPSegMLP,
    Linear,
    fresh_embedding,
)

X = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        # what the formulas give at -2, 0 and 1, to 6 places
        ("quick_gelu", [-0.064341, 0, 0.845796]),
        ("gelu", [-0.045500, 0, 0.841345]),
        ("relu", [0, 0, 1]),
    ],
)
def test_activations(name, values):
    got = ACTIVATION[name](torch.tensor([-2.0, 0, 1]))
    torch.testing.assert_close(got, torch.tensor(values, dtype=torch.float32), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ACTIVATION)
def test_activations_may_overwrite_where_they_are_let(name):
    x = 3 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    wanted = ACTIVATION[name](x)
    torch.testing.assert_close(x, before, atol=0, rtol=0)
    torch.testing.assert_close(ACTIVATION[name](x, True), wanted)


@pytest.mark.parametrize("activation", ACTIVATION)
def test_an_mlp_gives_the_same_with_gradients_and_without(activation):
    torch.manual_seed(0)
    mlp, x = CLIPSegMLP(8, 12, activation), X.clone()
    with_gradients = mlp(x)
    with torch.inference_mode():
        without = mlp(x)
    torch.testing.assert_close(with_gradients.detach(), without)
    torch.testing.assert_close(x, X, atol=0, rtol=0)
    assert torch.autograd.gradcheck(mlp.double(), X.double().requires_grad_())


SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=3)


@given(SHAPES, st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_linear_layer_is_pytorchs(shape, width, out, bias):
    torch.manual_seed(0)
    ours, x = Linear(width, out, bias=bias), torch.randn(*shape, width)
    wanted = F.linear(x, ours.weight, ours.bias)
    torch.testing.assert_close(ours(x), wanted)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), wanted)
        torch.testing.assert_close(ours.double()(x.double()), wanted.double())


@torch.inference_mode()
def test_a_linear_layer_takes_what_lies_scattered_in_memory():
    ours, x = Linear(5, 3), torch.randn(5, 4, 2).permute(2, 1, 0)
    torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias))


def test_without_onednn_it_is_pytorchs_own(monkeypatch):
    monkeypatch.setattr(layers, "HAS_ONEDNN", False)
    ours, x = Linear(5, 3), torch.randn(4, 5)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), F.linear(x, ours.weight, ours.bias), atol=0, rtol=0)


def test_fresh_embeddings_are_small():
    torch.manual_seed(0)
    weight = fresh_embedding(300, 100).weight
    assert weight.shape == (300, 100)
    assert weight.requires_grad
    assert abs(weight.mean().item()) < 1e-3
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)


def attend_slowly(layer, x, may_look):
    heads, width = layer.heads, x.shape[-1] // layer.heads
    q, k, v = layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)
    out = torch.zeros_like(x)
    for b in range(len(x)):
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = q[b, :, part] @ k[b, :, part].T / width**0.5
            scores[~may_look[b]] = -torch.inf
            out[b, :, part] = scores.softmax(-1) @ v[b, :, part]
    return layer.out_proj(out)


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("how", ["all", "causal", "mask"])
@torch.inference_mode()
def test_attention_is_the_papers(heads, how):
    torch.manual_seed(0)
    layer = CLIPSegAttention(8, heads).eval()
    may_look = torch.ones(2, 5, 5, dtype=torch.bool)
    arguments = {}
    if how == "causal":
        may_look, arguments = may_look.tril(), {"causal": True}
    if how == "mask":
        may_look[0, :, 3:] = may_look[1, :, 0] = False
        arguments = {"mask": may_look[:, None]}
    torch.testing.assert_close(layer(X, **arguments), attend_slowly(layer, X, may_look))


@torch.inference_mode()
def test_encoder_blocks_normalise_first_and_decoder_blocks_last():
    torch.manual_seed(0)
    before, after = (
        kind(8, 2, 12, "gelu", 1e-5).eval() for kind in (CLIPSegEncoderLayer, CLIPSegDecoderLayer)
    )
    x = X + before.self_attn(before.layer_norm1(X))
    torch.testing.assert_close(before(X), x + before.mlp(before.layer_norm2(x)))
    x = after.layer_norm1(X + after.self_attn(X))
    torch.testing.assert_close(after(X), after.layer_norm2(x + after.mlp(x)))


@torch.inference_mode()
def test_no_block_runs_after_the_last_one_extracted():
    torch.manual_seed(0)
    encoder = CLIPSegEncoder(8, 2, 12, 4, "gelu", 1e-5).eval()
    run = []
    for i, layer in enumerate(encoder.layers):
        layer.register_forward_hook(lambda *_, i=i: run.append(i))
    first, second = encoder.extract(X, (0, 2))
    assert run == [0, 1, 2]
    torch.testing.assert_close(encoder.layers[3](second), encoder(X))
    torch.testing.assert_close(first, encoder.layers[0](X))
