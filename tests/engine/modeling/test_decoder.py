from __future__ import annotations

import pytest
import torch

from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.decoder import CLIPSegDecoder
from napari_clipseg.engine.modeling.tower_configs import CLIPSegVisionConfig


def make(**changes):
    torch.manual_seed(0)
    vision = CLIPSegVisionConfig(
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=2,
        patch_size=changes.pop("patch", 16),
    )
    settings = {"extract_layers": (0, 1, 2), "projection_dim": 6, "reduce_dim": 8, **changes}
    return CLIPSegDecoder(CLIPSegConfig(vision_config=vision, **settings)).eval()


def inputs(rows=2, columns=3, depth=3):
    random = torch.Generator().manual_seed(1)
    activations = [torch.randn(2, 1 + rows * columns, 12, generator=random) for _ in range(depth)]
    return activations, torch.randn(2, 6, generator=random), (rows, columns)


@pytest.mark.parametrize(
    ("patch", "refined", "size"),
    [
        pytest.param(16, False, (32, 48), id="plain"),
        pytest.param(16, True, (32, 48), id="refined"),
        pytest.param(8, False, (16, 24), id="plain, small patches"),
        pytest.param(8, True, (8, 12), id="refined, small patches: half the size"),
        pytest.param(4, True, (2, 3), id="refined, smallest patches"),
    ],
)
@torch.inference_mode()
def test_segment_gives_logits_of_the_image_size(patch, refined, size):
    decoder = make(patch=patch, use_complex_transposed_convolution=refined)
    assert decoder(*inputs()).logits.shape == (2, *size)


@torch.inference_mode()
def test_segment_takes_what_reduce_gave_for_any_prompt():
    decoder = make()
    activations, prompts, grid = inputs()
    reduced = decoder.reduce(activations)
    assert [x.shape for x in reduced] == [(2, 7, 8)] * 3
    for vector in (prompts, -prompts, prompts.flip(0)):
        torch.testing.assert_close(
            decoder.segment(reduced, vector, grid), decoder(activations, vector, grid).logits
        )


@torch.inference_mode()
def test_reduce_puts_the_deepest_activation_first():
    decoder = make()
    activations, _, _ = inputs()
    first = decoder.reduce(activations)[0]
    torch.testing.assert_close(first, decoder.reduces[0](activations[2]))


@pytest.mark.parametrize("layer", [0, 1, 2])
@torch.inference_mode()
def test_segment_applies_the_prompt_before_the_conditional_layer(layer):
    decoder = make(conditional_layer=layer)
    activations, prompts, grid = inputs()
    seen = []
    for block in decoder.layers:
        block.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    decoder(activations, prompts, grid)
    decoder(activations, -prompts, grid)
    same = [torch.equal(x, y) for x, y in zip(seen[:3], seen[3:], strict=True)]
    assert same == [i < layer for i in range(3)]


@torch.inference_mode()
def test_segment_puts_a_patch_where_its_token_is():
    decoder = make(extract_layers=(0,))
    for block in decoder.layers:
        block.forward = lambda x, record: x
    activations, prompts, grid = inputs(depth=1)
    before = decoder(activations, prompts, grid).logits
    activations[0][:, 1 + 1 * 3 + 2] += 1  # second row, third column
    changed = (decoder(activations, prompts, grid).logits - before).abs() > 0
    assert changed[:, 16:, 32:].any()
    changed[:, 16:, 32:] = False
    assert not changed.any()
