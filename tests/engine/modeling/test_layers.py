from __future__ import annotations

import pytest
import torch

from napari_clipseg.engine.modeling.layers import (
    ACTIVATIONS,
    CLIPSegAttention,
    CLIPSegDecoderLayer,
    CLIPSegEncoder,
    CLIPSegEncoderLayer,
    CLIPSegMLP,
    new_embedding,
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
def test_activations_give_the_values_of_their_formulas(name, values):
    got = ACTIVATIONS[name](torch.tensor([-2.0, 0, 1]))
    torch.testing.assert_close(got, torch.tensor(values, dtype=torch.float32), atol=1e-6, rtol=0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp_is_two_linear_layers_with_an_activation_between(activation):
    torch.manual_seed(0)
    mlp, x = CLIPSegMLP(8, 12, activation), X.clone()
    torch.testing.assert_close(mlp(x), mlp.fc2(ACTIVATIONS[activation](mlp.fc1(X))))
    torch.testing.assert_close(x, X, atol=0, rtol=0)
    assert torch.autograd.gradcheck(mlp.double(), X.double().requires_grad_())


def test_new_embedding_has_small_values():
    torch.manual_seed(0)
    weight = new_embedding(300, 100).weight
    assert weight.shape == (300, 100)
    assert weight.requires_grad
    assert abs(weight.mean().item()) < 1e-3
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)


def attend_slowly(layer, x, may_attend):
    heads, width = layer.heads, x.shape[-1] // layer.heads
    q, k, v = layer.q_proj(x), layer.k_proj(x), layer.v_proj(x)
    out = torch.zeros_like(x)
    for b in range(len(x)):
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = q[b, :, part] @ k[b, :, part].T / width**0.5
            scores[~may_attend[b]] = -torch.inf
            out[b, :, part] = scores.softmax(-1) @ v[b, :, part]
    return layer.out_proj(out)


@pytest.mark.parametrize("heads", [1, 2, 8])
@pytest.mark.parametrize("how", ["all", "causal", "mask"])
@torch.inference_mode()
def test_attention_is_that_of_the_paper(heads, how):
    torch.manual_seed(0)
    layer = CLIPSegAttention(8, heads).eval()
    may_attend = torch.ones(2, 5, 5, dtype=torch.bool)
    arguments = {}
    if how == "causal":
        may_attend, arguments = may_attend.tril(), {"causal": True}
    if how == "mask":
        may_attend[0, :, 3:] = may_attend[1, :, 0] = False
        arguments = {"mask": may_attend[:, None]}
    torch.testing.assert_close(layer(X, **arguments), attend_slowly(layer, X, may_attend))


@torch.inference_mode()
def test_encoder_layer_normalizes_first_and_decoder_layer_last():
    torch.manual_seed(0)
    before, after = (
        kind(8, 2, 12, "gelu", 1e-5).eval() for kind in (CLIPSegEncoderLayer, CLIPSegDecoderLayer)
    )
    x = X + before.self_attn(before.layer_norm1(X))
    torch.testing.assert_close(before(X), x + before.mlp(before.layer_norm2(x)))
    x = after.layer_norm1(X + after.self_attn(X))
    torch.testing.assert_close(after(X), after.layer_norm2(x + after.mlp(x)))


@torch.inference_mode()
def test_extract_runs_no_block_after_the_last_one():
    torch.manual_seed(0)
    encoder = CLIPSegEncoder(8, 2, 12, 4, "gelu", 1e-5).eval()
    run = []
    for i, layer in enumerate(encoder.layers):
        layer.register_forward_hook(lambda *_, i=i: run.append(i))
    first, second = encoder.extract(X, (0, 2))
    assert run == [0, 1, 2]
    torch.testing.assert_close(encoder.layers[3](second), encoder(X))
    torch.testing.assert_close(first, encoder.layers[0](X))
