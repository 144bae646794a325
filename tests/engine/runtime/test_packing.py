"""The towers' packed weights: the same answers, and no second copy."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_clipseg.engine.loading import load
from napari_clipseg.engine.modeling.layers import ACTIVATIONS, CLIPSegEncoderLayer
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.int8 import Int8Linear, require_int8
from napari_clipseg.engine.runtime.packing import (
    PackedAttention,
    PackedLinear,
    PackedMLP,
    pack_towers,
)


@pytest.fixture
def network(checkpoint):
    return CLIPSegForImageSegmentation.from_pretrained(checkpoint("small")).eval()


def blocks(network):
    return [
        *network.clip.vision_model.encoder.layers,
        *network.clip.text_model.encoder.layers,
    ]


def linear(out, width):
    torch.manual_seed(out * width)
    return torch.randn(out, width), torch.randn(out)


@given(st.lists(st.integers(0, 4), max_size=2), st.integers(1, 60), st.integers(1, 40))
@torch.inference_mode()
def test_a_packed_layer_is_the_linear_layer(shape, width, out):
    weight, bias = linear(out, width)
    x = torch.randn(*shape, 3, width)
    got = PackedLinear(lambda: (weight, bias))(x)
    torch.testing.assert_close(got, x @ weight.T + bias, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_row_alone_is_that_row_beside_others():
    weight, bias = linear(48, 96)
    layer = PackedLinear(lambda: (weight, bias), "swish")
    x = torch.randn(500, 96)
    whole = layer(x)
    for count in (1, 2, 7, 77, 485):
        torch.testing.assert_close(layer(x[:count]), whole[:count], atol=0, rtol=0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@torch.inference_mode()
def test_a_block_of_any_activation_answers_the_same(activation, network):
    torch.manual_seed(0)
    width = 48
    plain = CLIPSegEncoderLayer(width, 4, 96, activation, 1e-5).eval()
    x = torch.randn(2, 17, width)
    wanted = plain(x, causal=True)
    network.clip.vision_model.encoder.layers[0] = plain
    pack_towers(network)
    assert isinstance(plain.self_attn, PackedAttention)
    assert isinstance(plain.mlp, PackedMLP) == (activation != "gelu")
    torch.testing.assert_close(plain(x, causal=True), wanted, atol=2e-5, rtol=1e-5)


def test_what_is_packed_is_let_go_at_the_first_call(network):
    pack_towers(network)
    block = network.clip.vision_model.encoder.layers[0]
    layers = [block.self_attn.in_proj, block.self_attn.out_proj, block.mlp.fc1, block.mlp.fc2]
    kept = [weakref.ref(layer._weight_and_bias) for layer in layers]
    with torch.inference_mode():
        block(torch.randn(1, 5, 48))
    gc.collect()
    assert [one() for one in kept] == [None] * 4
    assert all(parameter.ndim == 1 for parameter in block.parameters())


def test_threads_that_call_first_at_once_get_the_same():
    weight, bias = linear(64, 64)
    calls = []
    x = torch.randn(30, 64)

    def once():
        calls.append(1)
        return weight, bias

    layer = PackedLinear(once)

    def answer(_):
        with torch.inference_mode():
            return layer(x)

    with ThreadPoolExecutor(8) as pool:
        first, *others = pool.map(answer, range(32))
    assert calls == [1]
    for other in others:
        torch.testing.assert_close(other, first, atol=0, rtol=0)


def test_load_packs_on_a_cpu(checkpoint):
    engine = load(checkpoint("small"), device="cpu")
    network = engine._batches.placed.network
    assert all(isinstance(one.self_attn, PackedAttention) for one in blocks(network))
    assert not any(isinstance(one, PackedLinear) for one in network.decoder.modules())


def test_layers_in_int8_stay(checkpoint):
    try:
        require_int8()
    except ValueError as error:
        pytest.skip(str(error))
    engine = load(checkpoint("small"), device="cpu", precision="int8")
    network = engine._batches.placed.network
    for block in network.clip.vision_model.encoder.layers:
        assert isinstance(block.mlp.fc1, Int8Linear)
        assert type(block.self_attn) is not PackedAttention
    assert isinstance(network.clip.text_model.encoder.layers[0].mlp, PackedMLP)


def test_without_onednn_nothing_is_packed(network, monkeypatch):
    monkeypatch.setattr("napari_clipseg.engine.runtime.packing.HAS_ONEDNN", False)
    before = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    pack_towers(network)
    assert {name: x.data_ptr() for name, x in network.state_dict().items()} == before
