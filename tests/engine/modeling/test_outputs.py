"""Outputs beside those of ``transformers``: names, order, tuples, and gradients of attentions."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.modeling.outputs import CLIPSegDecoderOutput

IDS = torch.tensor([[49406, 5, 6, 49407], [49406, 9, 49407, 49407]])
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The reference's model and ours, of the same folder."""
    from parity import write_random_checkpoint

    folder = tmp_path_factory.mktemp("small")
    theirs = write_random_checkpoint(folder, "small")
    theirs.set_attn_implementation("eager")  # with attention weights
    return theirs, CLIPSegForImageSegmentation.from_pretrained(folder)


def shapes(output):
    """Return an output with shapes instead of tensors."""
    if isinstance(output, torch.Tensor):
        return tuple(output.shape)
    return [shapes(x) for x in (output if isinstance(output, tuple) else output.to_tuple())]


def axes(output):
    """Return an output with the number of axes instead of each tensor."""
    return output.ndim if isinstance(output, torch.Tensor) else [axes(x) for x in output]


# name: which part of the model, and with what it is called
CALLS = {
    "text": ("clip.text_model", {"input_ids": IDS}),
    "vision": ("clip.vision_model", {"pixel_values": IMAGES}),
    "clip": ("clip", {"input_ids": IDS, "pixel_values": IMAGES}),
    "clip with loss": ("clip", {"input_ids": IDS, "pixel_values": IMAGES, "return_loss": True}),
    "segmentation": ("", {"input_ids": IDS, "pixel_values": IMAGES}),
    "segmentation with loss": (
        "",
        {"input_ids": IDS, "pixel_values": IMAGES, "labels": torch.zeros(2, 64, 64)},
    ),
}
ASKED = {
    "nothing more": {},
    "hidden states": {"output_hidden_states": True},
    "attentions": {"output_attentions": True},
    "both": {"output_attentions": True, "output_hidden_states": True},
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize(("part", "arguments"), CALLS.values(), ids=CALLS)
def test_outputs_have_the_names_and_the_order_of_the_reference(part, arguments, asked, pair):
    theirs, ours = (model.get_submodule(part) for model in pair)
    with torch.no_grad():
        got, wanted = ours(**arguments, **asked), theirs(**arguments, **asked)
        as_tuple = ours(**arguments, **asked, return_dict=False)
        their_tuple = theirs(**arguments, **asked, return_dict=False)
    assert list(got) == list(got.keys()) == list(wanted.keys())
    assert len(got) == len(wanted)
    # Each way to a field leads to the same.
    for i, name in enumerate(got):
        assert got[name] is getattr(got, name)
        assert name in got
        assert shapes((got[i],)) == shapes((got[name],))
    assert shapes(got[:2]) == shapes(got.to_tuple())[:2]
    assert dict(**got).keys() == dict(got.items()).keys() == set(got)
    # With return_dict=False it is a tuple, all through.
    assert type(as_tuple) is tuple
    assert shapes(as_tuple) == shapes(got.to_tuple()) == shapes(got)
    if part == "" and "output_attentions" in asked:
        # The reference leaves the decoder's attentions empty.
        assert their_tuple[-1][-1] == ()
        their_tuple = (*their_tuple[:-1], (*their_tuple[-1][:-1], as_tuple[-1][-1]))
    if part == "" and "output_hidden_states" not in asked:
        # And it returns those hidden states that it uses, which nobody asked for.
        parts = 2 + ("output_attentions" in asked)
        assert [len(x) for x in as_tuple[-2:]] == [parts, parts - 1]
        as_tuple, their_tuple = as_tuple[:-2], their_tuple[:-2]
    # Not their shapes: its towers' pooled outputs are projected.
    assert axes(as_tuple) == axes(their_tuple)


def test_fields_that_are_none_have_an_attribute_only():
    output = CLIPSegDecoderOutput(torch.zeros(1), None, (torch.ones(2),))
    assert output.hidden_states is None
    assert list(output) == ["logits", "attentions"]
    assert output[1] is output.attentions
    assert output.get("hidden_states", 3) == 3
    assert "hidden_states" not in output
    assert 0 not in output
    with pytest.raises(KeyError, match="hidden_states is not in this CLIPSegDecoderOutput; it has"):
        output["hidden_states"]
    with pytest.raises(IndexError):
        output[2]
    again = copy.deepcopy(output)
    assert torch.equal(again.logits, output.logits)


@pytest.mark.parametrize(("part", "arguments"), CALLS.values(), ids=CALLS)
def test_the_config_says_what_a_call_does_not(part, arguments, pair):
    ours = copy.copy(pair[1].get_submodule(part))
    with torch.no_grad():
        wanted = ours(**arguments, output_hidden_states=True, return_dict=False)
        plain = ours(**arguments)
        ours.config = replace(ours.config, output_hidden_states=True, return_dict=False)
        assert shapes(ours(**arguments)) == shapes(wanted)
        again = ours(**arguments, output_hidden_states=False, return_dict=True)
    assert shapes(again) == shapes(plain)


def test_features_take_the_documented_arguments_and_are_tensors(pair):
    clip = pair[1].clip
    asked = {"output_attentions": True, "output_hidden_states": True, "return_dict": False}
    with torch.no_grad():
        texts, images = clip.get_text_features(IDS), clip.get_image_features(IMAGES)
        assert torch.equal(clip.get_text_features(input_ids=IDS, **asked), texts)
        assert torch.equal(clip.get_image_features(pixel_values=IMAGES, **asked), images)
    assert texts.shape == images.shape == (2, 24)


def gradients(model, arguments, name):
    """Return the gradients of attentions and hidden states, of a scalar of the output."""
    output = model(**arguments, output_attentions=True, output_hidden_states=True)
    kept = [*output.attentions, *output.hidden_states]
    for x in kept:
        x.retain_grad()
    output[name].flatten()[:5].sum().backward()
    return kept


@pytest.mark.parametrize("part", ["text", "vision"])
def test_gradients_reach_attentions_and_hidden_states_as_in_the_reference(part, pair):
    where, arguments = CALLS[part]
    theirs, ours = (copy.deepcopy(model.get_submodule(where)) for model in pair)
    ours.requires_grad_(True)
    got = gradients(ours, arguments, "last_hidden_state")
    wanted = gradients(theirs, arguments, "last_hidden_state")
    assert any(x.grad is not None and x.grad.abs().max() > 0 for x in got)
    for one, other in zip(got, wanted, strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            bound = 1e-4 * float(other.grad.abs().max())
            torch.testing.assert_close(one.grad, other.grad, atol=bound, rtol=0)


def test_gradients_reach_the_attentions_of_the_decoder(pair):
    ours = copy.deepcopy(pair[1])
    ours.clip.requires_grad_(True)
    output = ours(IDS, IMAGES, output_attentions=True, output_hidden_states=True)
    decoded, vision = output.decoder_output, output.vision_model_output
    kept = [*decoded.attentions, *decoded.hidden_states, vision.attentions[0]]
    for x in kept:
        x.retain_grad()
    output.logits[0, 0, 0].backward()
    assert all(x.grad.abs().max() > 0 for x in kept)


@pytest.mark.parametrize(("part", "arguments"), CALLS.values(), ids=CALLS)
def test_outputs_are_the_same_whether_attentions_are_asked_for(part, arguments, pair):
    ours = pair[1].get_submodule(part)
    with torch.no_grad():
        plain, asked = ours(**arguments), ours(**arguments, output_attentions=True)
    for name in plain:
        if isinstance(plain[name], torch.Tensor):
            torch.testing.assert_close(asked[name], plain[name], atol=1e-5, rtol=1e-5)
