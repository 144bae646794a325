"""Every documented class beside ``transformers``, on the same random weights."""

import dataclasses

import numpy as np
import pytest
import torch
import transformers

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation, CLIPSegModel
from napari_clipseg.engine.modeling.text import CLIPSegTextModel
from napari_clipseg.engine.modeling.tower_configs import CLIPSegTextConfig, CLIPSegVisionConfig
from napari_clipseg.engine.modeling.vision import CLIPSegVisionModel
from parity import SIZES, write_random_checkpoint

IDS = torch.tensor(
    [[49406, 5, 6, 7, 49407], [49406, 9, 49407, 49407, 49407], [49406, 8, 8, 49407, 49407]]
)
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])
SIDE = 64


@pytest.fixture(scope="module", params=["small", "small-refined", "small-legacy-eos"])
def pair(request, tmp_path_factory):
    """The reference's model and ours, of the same folder."""
    folder = tmp_path_factory.mktemp(request.param)
    theirs = write_random_checkpoint(folder, request.param)
    # Only this way of theirs gives attention weights.
    theirs.set_attn_implementation("eager")
    return theirs, CLIPSegForImageSegmentation.from_pretrained(folder)


@pytest.fixture
def images():
    return torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def same(ours, theirs, bound=1e-5):
    """Compare two outputs field by field, as far as both have them."""
    if ours is None or theirs is None:
        assert ours is None
        assert theirs is None
    elif isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other, bound)
    else:
        assert ours.shape == theirs.shape
        largest = float(theirs.detach().abs().max())
        np.testing.assert_allclose(ours.detach(), theirs.detach(), atol=bound * largest, rtol=0)


ASKED = {"output_attentions": True, "output_hidden_states": True}


def test_text_model_equals_the_reference(pair):
    theirs, ours = (model.clip.text_model for model in pair)
    for mask in (None, MASK):
        got = ours(IDS, mask, **ASKED)
        wanted = theirs(IDS, attention_mask=mask, **ASKED)
        for name in ("last_hidden_state", "pooler_output", "hidden_states", "attentions"):
            same(getattr(got, name), wanted[name])


def test_text_model_with_other_positions(pair):
    theirs, ours = (model.clip.text_model for model in pair)
    positions = torch.tensor([[3, 4, 5, 6, 7]])
    same(
        ours(IDS, position_ids=positions).pooler_output,
        theirs(IDS, position_ids=positions).pooler_output,
    )


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (48, 80), (16, 16), (70, 90)])
def test_vision_model_equals_the_reference_at_any_size(pair, size):
    theirs, ours = (model.clip.vision_model for model in pair)
    pixels = torch.randn(2, 3, *size)
    got = ours(pixels, **ASKED)
    wanted = theirs(pixels, interpolate_pos_encoding=True, **ASKED)
    for name in ("last_hidden_state", "pooler_output", "hidden_states", "attentions"):
        same(getattr(got, name), wanted[name])


def test_model_equals_the_reference(pair, images):
    theirs, ours = (model.clip for model in pair)
    got = ours(IDS, images, MASK, return_loss=True)
    wanted = theirs(IDS, images, attention_mask=MASK, return_loss=True)
    for name in ("loss", "logits_per_image", "logits_per_text", "text_embeds", "image_embeds"):
        same(getattr(got, name), wanted[name])
    # Theirs projects what it calls the pooled output of the towers; ours is the towers' own.
    same(
        ours.text_projection(got.text_model_output.pooler_output),
        wanted.text_model_output.pooler_output,
    )
    same(ours.get_text_features(IDS, MASK), theirs.get_text_features(IDS, MASK).pooler_output)
    same(ours.get_image_features(images), theirs.get_image_features(images).pooler_output)
    assert ours(IDS, images).loss is None


def test_segmentation_equals_the_reference_with_all_outputs(pair, images):
    theirs, ours = pair
    wanted = theirs(IDS, images, attention_mask=MASK, **ASKED)
    labels = torch.rand(wanted.logits.shape)
    wanted = theirs(IDS, images, attention_mask=MASK, labels=labels, **ASKED)
    got = ours(IDS, images, attention_mask=MASK, labels=labels, **ASKED)
    for name in ("loss", "logits", "conditional_embeddings", "pooled_output"):
        same(getattr(got, name), wanted[name])
    same(got.decoder_output.logits, wanted.decoder_output.logits)
    same(got.decoder_output.hidden_states, wanted.decoder_output.hidden_states)
    same(got.vision_model_output.hidden_states, wanted.vision_model_output.hidden_states)
    same(got.vision_model_output.attentions, wanted.vision_model_output.attentions)
    for weights in got.decoder_output.attentions:  # theirs leaves these out
        np.testing.assert_allclose(weights.detach().sum(-1), 1, atol=1e-5)


def test_segmentation_returns_only_what_is_asked_for(pair, images):
    got = pair[1](IDS, images)
    assert got.loss is None
    for output in (got.vision_model_output, got.decoder_output):
        assert output.hidden_states is None
        assert output.attentions is None


def test_segmentation_takes_vectors_and_image_prompts(pair, images):
    theirs, ours = pair
    vectors = torch.randn(3, 24)
    same(
        ours(pixel_values=images, conditional_embeddings=vectors).logits,
        theirs(pixel_values=images, conditional_embeddings=vectors).logits,
    )
    prompts = images.flip(0)
    same(
        ours(pixel_values=images, conditional_pixel_values=prompts).logits,
        theirs(pixel_values=images, conditional_pixel_values=prompts).logits,
    )


def test_segmentation_gives_the_gradients_of_the_reference(pair, images):
    theirs, ours = pair
    labels = torch.rand(theirs(IDS, images).logits.shape)
    for model in pair:
        model.zero_grad()
        model(input_ids=IDS, pixel_values=images, labels=labels).loss.backward()
    wanted = {name: p.grad for name, p in theirs.decoder.named_parameters()}
    for name, parameter in ours.decoder.named_parameters():
        # Of the keys' bias the true gradient is zero: softmax does not see it.
        if not name.endswith("k_proj.bias"):
            same(parameter.grad, wanted[name], 1e-3)
    # Neither reaches CLIP; ours does if it is asked for.
    assert all(p.grad is None for model in pair for p in model.clip.parameters())
    ours.unfreeze_clip()
    ours(input_ids=IDS, pixel_values=images, labels=labels).loss.backward()
    assert ours.clip.visual_projection.weight.grad is None  # pooled output: not in this loss
    assert ours.clip.text_projection.weight.grad.abs().max() > 0
    ours.zero_grad()
    ours.freeze_clip()
    ours(input_ids=IDS, pixel_values=images, labels=labels).loss.backward()
    assert ours.clip.text_projection.weight.grad is None
    assert ours.decoder.film_mul.weight.grad.abs().max() > 0


def test_model_gives_the_gradients_of_the_reference(pair, images):
    pair[1].unfreeze_clip()
    for model in pair:
        model.zero_grad()
        model.clip(input_ids=IDS, pixel_values=images, return_loss=True).loss.backward()
    pair[1].freeze_clip()
    wanted = {name: p.grad for name, p in pair[0].clip.named_parameters()}
    for name, parameter in pair[1].clip.named_parameters():
        if not name.endswith("k_proj.bias"):
            same(parameter.grad, wanted[name], 1e-3)


@pytest.mark.parametrize("size", [(48, 80), (96, 32), (64, 16)])
def test_segmentation_of_images_that_are_not_square(pair, size):
    """The reference cannot; its own parts, put together by hand with the grid kept, can."""
    theirs, ours = pair
    pixels = torch.randn(2, 3, *size)
    vectors = torch.randn(2, 24)
    hidden = theirs.clip.vision_model(pixels, output_hidden_states=True).hidden_states
    decoder, x = theirs.decoder, 0
    for i, block in enumerate(reversed(theirs.config.extract_layers)):
        x = decoder.reduces[i](hidden[block + 1]) + x
        if i == decoder.conditional_layer:
            x = decoder.film_mul(vectors)[:, None] * x + decoder.film_add(vectors)[:, None]
        x = decoder.layers[i](x, None)
    grid = x[:, 1:].transpose(1, 2).reshape(2, -1, size[0] // 16, size[1] // 16)
    wanted = decoder.transposed_convolution(grid)[:, 0]
    got = ours(pixel_values=pixels, conditional_embeddings=vectors).logits
    assert got.shape == (2, *size)
    same(got, wanted)


CLASSES = [CLIPSegForImageSegmentation, CLIPSegModel, CLIPSegTextModel, CLIPSegVisionModel]


@pytest.mark.parametrize("ours", CLASSES, ids=lambda c: c.__name__)
def test_save_pretrained_is_read_by_both(checkpoint, tmp_path, ours):
    model = ours.from_pretrained(checkpoint("small"))  # a part, out of the whole
    model.save_pretrained(tmp_path)
    state = model.state_dict()
    again = ours.from_pretrained(tmp_path)
    assert again.config == model.config
    theirs, report = getattr(transformers, ours.__name__).from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, tensor in state.items():
        assert torch.equal(again.state_dict()[name], tensor)
        assert torch.equal(theirs.state_dict()[name], tensor)


def test_save_pretrained_replaces_older_files(checkpoint, tmp_path):
    model = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        model.decoder.film_add.bias.fill_(3)
    model.save_pretrained(tmp_path)
    again = CLIPSegForImageSegmentation.from_pretrained(tmp_path)
    assert again.decoder.film_add.bias.eq(3).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_from_pretrained_refuses_the_folder_of_another_model(checkpoint, tmp_path):
    CLIPSegTextModel.from_pretrained(checkpoint("small")).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="clipseg_text_model"):
        CLIPSegVisionModel.from_pretrained(tmp_path)


def test_from_text_vision_configs():
    text = CLIPSegTextConfig(hidden_size=64)
    vision = CLIPSegVisionConfig(hidden_size=96)
    config = CLIPSegConfig.from_text_vision_configs(text, vision, reduce_dim=16)
    assert (config.text_config, config.vision_config, config.reduce_dim) == (text, vision, 16)
    theirs = transformers.CLIPSegConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), reduce_dim=16
    )
    for field in dataclasses.fields(text):
        if field.name != "others":
            assert getattr(theirs.text_config, field.name) == getattr(text, field.name)


# name: what is passed beside three images, and what the error says
WRONG = {
    "no prompt": ({}, "neither of"),
    "two kinds": (
        {"input_ids": IDS, "conditional_pixel_values": torch.zeros(3, 3, SIDE, SIDE)},
        "both of",
    ),
    "vectors and texts": (
        {"input_ids": IDS, "conditional_embeddings": torch.zeros(3, 24)},
        "exactly one kind",
    ),
    "fewer texts": ({"input_ids": IDS[:2]}, r"\(2, 24\) for 3 images"),
    "fewer references": ({"conditional_pixel_values": torch.zeros(2, 3, SIDE, SIDE)}, "3 images"),
    "longer vectors": ({"conditional_embeddings": torch.zeros(3, 25)}, r"wanted \(3, 24\)"),
    "too many tokens": ({"input_ids": torch.full((3, 78), 49407)}, "78 tokens.*at most 77"),
    "labels of another size": (
        {"input_ids": IDS, "labels": torch.zeros(3, 8, 8)},
        r"labels of shape \(3, 8, 8\)",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_segmentation_refuses_what_does_not_fit(pair, images, arguments, message):
    with pytest.raises(ValueError, match=message):
        pair[1](pixel_values=images, **arguments)


def test_models_refuse_images_that_do_not_fit(pair):
    ours = pair[1]
    vectors = torch.zeros(1, 24)
    with pytest.raises(ValueError, match="Got no pixel_values"):
        ours(input_ids=IDS)
    with pytest.raises(ValueError, match="8 x 64 pixels, smaller than a patch of 16 x 16"):
        ours(pixel_values=torch.zeros(1, 3, 8, 64), conditional_embeddings=vectors)
    with pytest.raises(ValueError, match=r"80 x 64 pixels.*positions are for 64 x 64"):
        ours(
            pixel_values=torch.zeros(1, 3, 80, 64),
            conditional_embeddings=vectors,
            interpolate_pos_encoding=False,
        )
    with pytest.raises(ValueError, match="3 texts and 2 images"):
        ours.clip(IDS, torch.zeros(2, 3, SIDE, SIDE), return_loss=True)


def test_from_dict_reads_every_size_of_the_parity_table():
    for values in SIZES.values():
        ours = CLIPSegConfig.from_dict(transformers.CLIPSegConfig(**values).to_dict())
        assert ours.reduce_dim == values.get("reduce_dim", 64)
