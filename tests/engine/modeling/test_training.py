"""A plain training script trains the decoder, as in the reference library; CLIP on a word."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch.nn.functional import interpolate

from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation, CLIPSegModel
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.sample_data import load_sample

STEPS = 20
SIDE = 64  # small, since training is slow
NUMBERS = {"red rings": 1, "green rings": 2, "nuclei": 3}  # of the sample's truth


@pytest.fixture(scope="module")
def lesson():
    """The sample with three texts, and what they mark."""
    sample = load_sample("shapes")
    processor = CLIPSegProcessor.from_pretrained("demo")
    inputs = dict(processor(text=[*NUMBERS], images=[sample.image] * len(NUMBERS)))
    inputs["pixel_values"] = interpolate(inputs["pixel_values"], (SIDE, SIDE), mode="area")
    truth = torch.stack([torch.from_numpy(sample.truth == n).float() for n in NUMBERS.values()])
    return inputs | {"labels": interpolate(truth[None], (SIDE, SIDE))[0]}


def train(model, lesson, steps=STEPS):
    """As a plain script does: all parameters to the optimizer."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    losses = []
    for _ in range(steps):
        loss = model(**lesson).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def trained(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def test_a_model_from_a_checkpoint_trains_its_decoder_alone(lesson):
    model = CLIPSegForImageSegmentation.from_pretrained("demo")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    losses = train(model, lesson)
    assert losses[-1] < losses[0] / 2
    changed = {n for n, weight in model.state_dict().items() if not torch.equal(weight, before[n])}
    assert changed == trained(model) == {n for n in before if n.startswith("decoder.")}


def test_clip_learns_once_it_is_unfrozen(lesson):
    model = CLIPSegForImageSegmentation.from_pretrained("demo")
    before = model.clip.text_projection.weight.clone()
    assert model.unfreeze_clip() is model
    assert trained(model) == {name for name, _ in model.named_parameters()}
    train(model, lesson, 1)
    assert not torch.equal(model.clip.text_projection.weight, before)
    assert model.freeze_clip() is model
    assert all(name.startswith("decoder.") for name in trained(model))


def test_what_is_not_a_segmentation_model_from_a_checkpoint_is_not_frozen(checkpoint):
    config = CLIPSegConfig.from_pretrained(checkpoint("small"))
    for model in (
        CLIPSegForImageSegmentation(config),
        CLIPSegModel.from_pretrained(checkpoint("small")),
    ):
        assert trained(model) == {name for name, _ in model.named_parameters()}


def test_the_bundled_checkpoint_is_trained_in_float32_by_the_reference_library(lesson):
    folder = locate("demo")
    model = transformers.CLIPSegForImageSegmentation.from_pretrained(folder)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    losses = train(model, lesson | {"interpolate_pos_encoding": True})
    assert torch.tensor(losses).isfinite().all()
    assert losses[-1] < losses[0] / 2
