from __future__ import annotations

import pytest
import torch

from napari_clipseg.engine.modeling.text import CLIPSegTextModel
from napari_clipseg.engine.modeling.tower_configs import CLIPSegTextConfig

START, END = 8, 9
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 2, "vocab_size": 10, "max_position_embeddings": 12}


def make(**changes):
    torch.manual_seed(0)
    config = CLIPSegTextConfig(**{**SMALL, "eos_token_id": END, **changes})
    model = CLIPSegTextModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@torch.inference_mode()
def pooled(model, ids, mask=None):
    mask = None if mask is None else torch.tensor([mask])
    return model(torch.tensor([ids]), mask).pooler_output[0]


@pytest.mark.parametrize("padding", [END, 0, START], ids=["end token", "zero", "start token"])
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
def test_text_model_ignores_padding_after_the_end(padding, masked):
    model = make()
    short = pooled(model, [START, 3, 4, END])
    mask = [1] * 4 + [0] * 3 if masked else None
    torch.testing.assert_close(pooled(model, [START, 3, 4, END] + [padding] * 3, mask), short)


def test_text_model_ignores_what_a_mask_hides():
    model = make()
    hidden = [0, 1, 1, 1]
    first, second = (
        pooled(model, [3, START, 5, END], hidden),
        pooled(model, [4, START, 5, END], hidden),
    )
    torch.testing.assert_close(first, second)
    assert torch.isfinite(first).all()
    seen = pooled(model, [3, START, 5, END]) - pooled(model, [4, START, 5, END])
    assert seen.abs().max() > 1e-3


def test_text_model_attends_to_earlier_tokens_only():
    model = make()
    with torch.inference_mode():
        first = model(torch.tensor([[START, 3, 4, END]])).last_hidden_state
        second = model(torch.tensor([[START, 3, 6, END]])).last_hidden_state
    torch.testing.assert_close(first[:, :2], second[:, :2])
    assert (first[:, 2:] - second[:, 2:]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("eos", "ids", "where"),
    [
        pytest.param(END, [START, 3, END, END], 2, id="the first end token"),
        pytest.param(END, [START, END, 3, END], 1, id="the first of several"),
        pytest.param(5, [START, 3, 5, 9], 2, id="not the highest id"),
        pytest.param(2, [START, 2, 3, END, END], 3, id="older files: the highest id"),
    ],
)
def test_text_model_pools_at_the_end_of_the_prompt(eos, ids, where):
    model = make(eos_token_id=eos)
    with torch.inference_mode():
        out = model(torch.tensor([ids]))
    torch.testing.assert_close(out.pooler_output[0], out.last_hidden_state[0, where])


def test_text_model_takes_positions():
    model = make()
    ids = torch.tensor([[START, 3, END]])
    with torch.inference_mode():
        counted = model(ids).pooler_output
        given = model(ids, position_ids=torch.tensor([0, 1, 2])).pooler_output
        shifted = model(ids, position_ids=torch.tensor([[3, 4, 5]])).pooler_output
    torch.testing.assert_close(given, counted)
    assert (shifted - counted).abs().max() > 1e-3


def test_text_model_refuses_prompts_that_are_too_long():
    assert pooled(make(), [START] + [3] * 10 + [END]).shape == (16,)
    with pytest.raises(ValueError, match=r"has 13 tokens, .* at most 12\. Use a short"):
        pooled(make(), [START] + [3] * 11 + [END])
