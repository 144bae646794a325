from __future__ import annotations

import re

import pytest
import torch

from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation

IDS = torch.tensor([[49406, 20, 49407], [49406, 33, 49407]])
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
VECTORS = torch.randn(2, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model(checkpoint):
    return CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))


def test_model_gives_the_similarities_of_the_reference(model, reference):
    with torch.inference_mode():
        got = model.clip(IDS, IMAGES)
        wanted = reference().clip(input_ids=IDS, pixel_values=IMAGES)
    for name in ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds"):
        torch.testing.assert_close(getattr(got, name), getattr(wanted, name), msg=name)


def test_segmentation_takes_vectors_in_place_of_prompts(model):
    with torch.inference_mode():
        by_text = model(input_ids=IDS, pixel_values=IMAGES)
        again = model(pixel_values=IMAGES, conditional_embeddings=by_text.conditional_embeddings)
    torch.testing.assert_close(again.logits, by_text.logits)
    assert by_text.conditional_embeddings.shape == (2, 24)


def test_from_pretrained_gives_a_model_ready_for_inference(model):
    assert not any(module.training for module in model.modules())
    assert all(p.device.type == "cpu" for p in model.parameters())
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_state_dict_has_the_names_and_shapes_of_the_reference(model, reference):
    wanted = {k: v.shape for k, v in reference().state_dict().items() if "position_ids" not in k}
    assert {k: v.shape for k, v in model.state_dict().items()} == wanted


def test_segmentation_takes_images_that_are_not_square(model):
    with torch.inference_mode():
        wide = model(input_ids=IDS[:1], pixel_values=IMAGES[:1, :, :32])
        turned = model(input_ids=IDS[:1], pixel_values=IMAGES[:1, :, :, :48])
    assert wide.logits.shape == (1, 32, 64)
    assert turned.logits.shape == (1, 64, 48)


def test_segmentation_ignores_the_rest_that_is_no_whole_patch(model):
    with torch.inference_mode():
        cut = model(input_ids=IDS, pixel_values=IMAGES[:, :, :48, :32])
        rest = model(input_ids=IDS, pixel_values=IMAGES[:, :, :63, :47])
    torch.testing.assert_close(rest.logits, cut.logits)


def test_activations_run_no_block_after_the_last_one(checkpoint):
    model = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small-one-layer"))
    vision = model.clip.vision_model
    vision.encoder.layers[4].forward = None  # of blocks 0 to 4; number 3 is read
    with torch.inference_mode():
        (activation,) = vision.activations(IMAGES, model.config.extract_layers)
    assert activation.shape == (2, 17, 48)


BAD = {
    "no image": ({"input_ids": IDS}, "Got no pixel_values"),
    "no prompt": ({"pixel_values": IMAGES}, "Got neither of input_ids"),
    "a text and an example": (
        {"pixel_values": IMAGES, "input_ids": IDS, "conditional_pixel_values": IMAGES},
        "Got both of input_ids",
    ),
    "a text and a vector": (
        {"pixel_values": IMAGES, "input_ids": IDS, "conditional_embeddings": VECTORS},
        "beside another prompt",
    ),
    "an example and a vector": (
        {
            "pixel_values": IMAGES,
            "conditional_pixel_values": IMAGES,
            "conditional_embeddings": VECTORS,
        },
        "beside another prompt",
    ),
    "one prompt for two images": (
        {"pixel_values": IMAGES, "input_ids": IDS[:1]},
        "for 2 images; wanted (2, 24)",
    ),
    "short vectors": (
        {"pixel_values": IMAGES, "conditional_embeddings": VECTORS[:, :5]},
        "Got prompts of shape (2, 5)",
    ),
    "an image smaller than a patch": (
        {"pixel_values": IMAGES[:, :, :15], "input_ids": IDS},
        "15 x 64 pixels, smaller than a patch of 16 x 16",
    ),
    "a text longer than the model reads": (
        {"pixel_values": IMAGES, "input_ids": torch.full((2, 78), 49407)},
        "has 78 tokens, the model takes at most 77",
    ),
}


@pytest.mark.parametrize(("arguments", "says"), BAD.values(), ids=BAD)
def test_segmentation_refuses_bad_arguments(arguments, says, model):
    with pytest.raises(ValueError, match=re.escape(says)):
        model(**arguments)
