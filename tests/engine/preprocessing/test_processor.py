from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
import transformers
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.engine.preprocessing.tokenizer import CLIPTokenizer

RGB = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
TEXTS = ["a dog", "a photo of the nuclei of cells"]


@pytest.fixture(scope="module")
def processor(checkpoint):
    return CLIPSegProcessor.from_pretrained(checkpoint("small"))


@pytest.fixture(scope="module")
def reference(checkpoint):
    """The reference's processor of the same folder."""
    folder = checkpoint("small")
    return transformers.CLIPSegProcessor(
        ViTImageProcessorPil.from_pretrained(folder),
        transformers.CLIPTokenizer.from_pretrained(folder),
    )


# name: arguments beside return_tensors
CALLS = {
    "text": {"text": TEXTS, "padding": True},
    "one text": {"text": "a dog"},
    "to the longest": {"text": TEXTS, "padding": "longest"},
    "to a length": {"text": TEXTS, "padding": "max_length", "max_length": 20},
    "cut": {"text": TEXTS, "padding": True, "truncation": True, "max_length": 5},
    "images": {"images": [RGB, RGB[::2]]},
    "text and images": {"text": TEXTS, "images": [RGB, RGB], "padding": True},
    "an image prompt": {"visual_prompt": [RGB]},
    "an image prompt and images": {"visual_prompt": RGB[::2], "images": RGB},
}


@pytest.mark.parametrize("arguments", CALLS.values(), ids=CALLS)
def test_processor_gives_the_tensors_of_the_reference(arguments, processor, reference):
    got = processor(**arguments, return_tensors="pt")
    wanted = reference(**arguments, return_tensors="pt")
    assert got.keys() == wanted.keys()
    for name, tensor in got.items():
        torch.testing.assert_close(tensor, wanted[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["np", None], ids=["arrays", "lists"])
@pytest.mark.parametrize("arguments", CALLS.values(), ids=CALLS)
def test_processor_gives_the_arrays_and_lists_of_the_reference(
    arguments, kind, processor, reference
):
    got = processor(**arguments, return_tensors=kind)
    wanted = reference(**arguments, return_tensors=kind)
    assert got.keys() == wanted.keys()
    for name, values in got.items():
        assert type(values) is type(wanted[name])
        np.testing.assert_allclose(values, wanted[name], atol=1e-6)
        if kind:
            assert values.dtype == wanted[name].dtype


def test_processor_pads_texts_by_default(processor):
    got, wanted = processor(text=TEXTS), processor(text=TEXTS, padding=True)
    assert torch.equal(got["input_ids"], wanted["input_ids"])


def test_batch_decode_gives_the_texts_again(processor, reference):
    ids = processor(text=TEXTS)["input_ids"]
    assert processor.batch_decode(ids) == reference.batch_decode(ids)
    assert processor.batch_decode(ids, skip_special_tokens=True) == TEXTS
    assert processor.decode(ids[1]) == reference.decode(ids[1])


def test_model_input_names_are_those_of_the_reference(processor, reference):
    assert list(processor.model_input_names) == reference.model_input_names
    assert set(processor(text="a", images=RGB)) == set(processor.model_input_names)


def test_save_pretrained_is_read_by_both(processor, checkpoint, tmp_path):
    for stale in ("tokenizer.json", "processor_config.json"):
        (tmp_path / stale).write_text("of another checkpoint")
    processor.save_pretrained(tmp_path)
    shutil.copy(checkpoint("small") / "config.json", tmp_path)
    both = CLIPSegProcessor, transformers.CLIPSegProcessor
    for loaded in (cls.from_pretrained(tmp_path) for cls in both):
        got = loaded(text=TEXTS, images=[RGB, RGB], padding=True, return_tensors="pt")
        wanted = processor(text=TEXTS, images=[RGB, RGB])
        for name, tensor in wanted.items():
            torch.testing.assert_close(got[name], tensor, atol=1e-6, rtol=0)
    assert loaded.tokenizer.model_max_length == 77


def test_processor_saved_alone_is_read_by_both(processor, checkpoint, tmp_path):
    tokenizer = CLIPTokenizer.from_pretrained(checkpoint("small"), 20)
    CLIPSegProcessor(processor.image_processor, tokenizer).save_pretrained(tmp_path)
    assert not (tmp_path / "config.json").exists()
    again = CLIPSegProcessor.from_pretrained(tmp_path)
    theirs = transformers.CLIPSegProcessor.from_pretrained(tmp_path)
    assert again.tokenizer.max_length == theirs.tokenizer.model_max_length == 20
    wanted = processor(text=["a dog"], images=[RGB])
    for one in (again, theirs):
        got = one(text=["a dog"], images=[RGB], return_tensors="pt")
        for name, tensor in wanted.items():
            torch.testing.assert_close(got[name], tensor, atol=1e-6, rtol=0)


def test_from_pretrained_reads_a_processor_that_the_reference_saved_alone(
    reference, processor, tmp_path
):
    reference.save_pretrained(tmp_path)
    again = CLIPSegProcessor.from_pretrained(tmp_path)
    assert again.tokenizer.max_length == 77
    for name, tensor in processor(text=TEXTS, images=RGB).items():
        torch.testing.assert_close(again(text=TEXTS, images=RGB)[name], tensor)


BAD = {
    "nothing": ({}, ValueError, "Got nothing to prepare"),
    "two kinds of prompt": (
        {"text": "a", "visual_prompt": RGB},
        ValueError,
        "exactly one kind of prompt",
    ),
    "a text that is none": ({"text": 3}, TypeError, "Got text of type int"),
    "too many tokens": ({"text": "! " * 80}, ValueError, "has 82 tokens"),
    "no image": ({"visual_prompt": []}, ValueError, "Got no image"),
    "an image that is none": ({"images": "a.png"}, TypeError, "Got an image of type str"),
    "another kind of result": (
        {"text": "a", "return_tensors": "jax"},
        ValueError,
        "return_tensors is 'jax'; wanted 'pt' for tensors, as the model takes them, 'np'",
    ),
    "an unknown padding": ({"text": "a", "padding": "left"}, ValueError, "padding is 'left'"),
}


@pytest.mark.parametrize(("arguments", "kind", "says"), BAD.values(), ids=BAD)
def test_processor_refuses_bad_arguments(arguments, kind, says, processor):
    with pytest.raises(kind, match=re.escape(says)):
        processor(**arguments)


@pytest.mark.parametrize("arguments", [{}, {"text": "a", "visual_prompt": RGB}], ids=str)
def test_reference_refuses_them_too(arguments, reference):
    with pytest.raises(ValueError, match="You have to specify"):
        reference(**arguments)


def test_from_pretrained_refuses_sizes_that_are_no_whole_patches(folder):
    for height, width in ((96, 100), (100, 96)):
        values = {"size": {"height": height, "width": width}}
        (folder / "preprocessor_config.json").write_text(json.dumps(values))
        with pytest.raises(CheckpointError, match=rf"{height} x {width} pixels, which .* Get all"):
            CLIPSegProcessor.from_pretrained(folder)


@pytest.mark.parametrize(
    "name", ["preprocessor_config.json", "vocab.json", "merges.txt", "config.json"]
)
def test_from_pretrained_names_a_missing_file(name, folder):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=re.escape(name)):
        CLIPSegProcessor.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("vocab_size", 49407, "holds ids up to 49407, the model knows 49407"),
        ("eos_token_id", 5, "gives the end token the id 49407, config.json says 5"),
    ],
)
def test_from_pretrained_refuses_a_vocabulary_of_another_model(name, value, says, folder):
    path = folder / "config.json"
    values = json.loads(path.read_text())
    values["text_config"][name] = value
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=rf"vocab\.json {says}"):
        CLIPSegProcessor.from_pretrained(folder)


def test_from_pretrained_wants_the_highest_id_at_the_end_in_older_files(folder):
    for name, change in (
        ("config.json", lambda v: v["text_config"].update(eos_token_id=2)),
        ("vocab.json", lambda v: v.update({"<|startoftext|>": 49407, "<|endoftext|>": 49406})),
    ):
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        change(values)
        (folder / name).write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="the id 49406, which is not its highest"):
        CLIPSegProcessor.from_pretrained(folder)


def test_from_pretrained_reads_the_longest_text_from_the_model(folder):
    path = folder / "config.json"
    values = json.loads(path.read_text())
    values["text_config"]["max_position_embeddings"] = 5
    path.write_text(json.dumps(values))
    processor = CLIPSegProcessor.from_pretrained(folder)
    assert processor(text="a a a")["input_ids"].shape == (1, 5)
    assert processor(text="a a a a", truncation=True)["input_ids"].shape == (1, 5)
    with pytest.raises(ValueError, match="has 6 tokens, the model reads at most 5"):
        processor(text="a a a a")
