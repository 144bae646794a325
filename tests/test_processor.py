from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.processor import CLIPSegProcessor, PictureFormat

RGB = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
PUBLIC = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": 352, "width": 352},
}


@pytest.fixture(scope="module")
def processor(checkpoint):
    return CLIPSegProcessor.from_pretrained(checkpoint("small"))


@pytest.fixture(scope="module")
def reference(checkpoint):
    return ViTImageProcessorPil.from_pretrained(checkpoint("small"))


def assert_same(processor, reference, pictures):
    before = [np.array(p) for p in pictures]
    got = processor(images=pictures)["pixel_values"]
    colours = [np.asarray(Image.fromarray(np.asarray(p)).convert("RGB")) for p in pictures]
    # Without a word it takes 3 or 4 rows for channels.
    wanted = reference(colours, return_tensors="pt", input_data_format="channels_last")[
        "pixel_values"
    ]
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=0)
    for picture, was in zip(pictures, before, strict=True):
        np.testing.assert_array_equal(picture, was)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    gray=st.booleans(),
    seed=st.integers(0, 9),
)
def test_pixels_equal_the_references(height, width, gray, seed, processor, reference):
    shape = (height, width) if gray else (height, width, 3)
    picture = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert_same(processor, reference, [picture])


@given(picture=hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_small_pictures_equal_the_references(picture, processor, reference):
    assert_same(processor, reference, [picture])


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(RGB, id="RGB"),
        pytest.param(RGB[..., 1], id="gray"),
        pytest.param(RGB[::-2, ::3], id="strided"),
        pytest.param(RGB[:1], id="one row"),
        pytest.param(RGB[:1, :1], id="one pixel"),
        pytest.param(np.repeat(RGB[:4], 20, axis=1), id="strip"),
        pytest.param(Image.fromarray(RGB), id="Pillow"),
        pytest.param(Image.fromarray(RGB).convert("L"), id="Pillow, gray"),
    ],
)
def test_kinds_of_pictures_equal_the_references(picture, processor, reference):
    assert_same(processor, reference, [picture])


def test_pictures_of_several_sizes_make_one_batch(processor, reference):
    assert_same(processor, reference, [RGB, RGB[:5], RGB[:, :7, 0]])


def test_transparency_is_left_out(processor):
    see_through = Image.fromarray(np.dstack([RGB, RGB[..., 0]]), "RGBA")
    got, wanted = (processor(images=p)["pixel_values"] for p in (see_through, RGB))
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("name", ["images", "visual_prompt"])
def test_one_picture_needs_no_list(name, processor):
    (one,), (listed,) = processor(**{name: RGB}).values(), processor(**{name: [RGB]}).values()
    assert one.shape == (1, 3, 96, 96)
    torch.testing.assert_close(one, listed)


def test_names_of_the_tensors(processor):
    assert set(processor(text="a dog", images=RGB)) == {
        "input_ids",
        "attention_mask",
        "pixel_values",
    }
    assert set(processor(visual_prompt=RGB, images=RGB)) == {
        "conditional_pixel_values",
        "pixel_values",
    }
    assert processor(text=["a dog", "nuclei"])["input_ids"].shape[0] == 2
    assert processor(text="a dog")["input_ids"].shape[0] == 1


BAD = {
    "nothing": ({}, "Got nothing to prepare"),
    "two kinds of prompt": ({"text": "a", "visual_prompt": RGB}, "exactly one kind of prompt"),
    "no picture in the list": ({"images": []}, "Got no picture"),
    "floats": ({"images": RGB / 255}, "Got a picture of float64"),
    "16 bit": ({"images": RGB.astype(np.uint16)}, "wanted uint8"),
    "RGBA": ({"images": np.dstack([RGB, RGB])[..., :4]}, "(37, 53, 4)"),
    "channels first": ({"images": RGB.transpose(2, 0, 1)}, "put the channels last"),
    "a line": ({"images": RGB[0, :, 0]}, "(53,)"),
    "empty": ({"visual_prompt": RGB[:0]}, "not empty"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused(arguments, says, processor):
    with pytest.raises(ValueError, match=re.escape(says)):
        processor(**arguments)


FORMATS = {
    "public": (PUBLIC, PictureFormat(352, 352)),
    "size as a number": ({**PUBLIC, "size": 224}, PictureFormat(224, 224)),
    "only a size": ({"size": 96}, PictureFormat(96, 96)),
    "not square": ({"size": {"height": 32, "width": 64}}, PictureFormat(32, 64)),
    "bicubic": ({**PUBLIC, "resample": 3}, PictureFormat(352, 352, resample=3)),
    "not normalised": (
        {**PUBLIC, "do_normalize": False},
        PictureFormat(352, 352, mean=(0.0,), std=(1.0,)),
    ),
    "not rescaled": ({**PUBLIC, "do_rescale": False}, PictureFormat(352, 352, factor=1.0)),
    "another factor": ({**PUBLIC, "rescale_factor": 0.5}, PictureFormat(352, 352, factor=0.5)),
    "another mean": (
        {**PUBLIC, "image_mean": [0, 1, 2], "image_std": [1, 2, 3]},
        PictureFormat(352, 352, mean=(0, 1, 2), std=(1, 2, 3)),
    ),
}


@pytest.mark.parametrize(("values", "wanted"), FORMATS.values(), ids=FORMATS)
def test_ages_of_the_file_format(values, wanted):
    assert PictureFormat.from_dict(values) == wanted


@pytest.mark.parametrize("name", ["not normalised", "not rescaled", "bicubic", "another mean"])
def test_each_format_gives_the_references_pixels(name, folder):
    values = {**FORMATS[name][0], "size": {"height": 96, "width": 96}}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    reference = ViTImageProcessorPil.from_pretrained(folder)
    got = CLIPSegProcessor.from_pretrained(folder)(images=RGB)["pixel_values"]
    wanted = reference(RGB, return_tensors="pt")["pixel_values"].float()
    torch.testing.assert_close(got, wanted, atol=1e-6 * max(1, wanted.abs().max().item()), rtol=0)


BROKEN = {
    "no size": {"resample": 2},
    "size of another form": {"size": {"shortest_edge": 96}},
    "size is text": {"size": "96"},
    "size is null": {"size": None},
    "size 0": {"size": 0},
    "negative size": {"size": {"height": -96, "width": 96}},
    "no whole patches in a row": {"size": {"height": 96, "width": 100}},
    "no whole patches in a column": {"size": {"height": 100, "width": 96}},
    "unknown interpolation": {"size": 96, "resample": 99},
    "interpolation is null": {"size": 96, "resample": None},
    "means are text": {"size": 96, "image_mean": "x"},
    "two means": {"size": 96, "image_mean": [0.5, 0.5]},
    "means are null": {"size": 96, "image_mean": None},
    "deviation of 0": {"size": 96, "image_std": [0.2, 0, 0.2]},
}


@pytest.mark.parametrize("values", BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_used_is_named_with_the_cure(values, folder):
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json .* Get (the|all)"):
        CLIPSegProcessor.from_pretrained(folder)


@pytest.mark.parametrize(
    "name", ["preprocessor_config.json", "vocab.json", "merges.txt", "config.json"]
)
def test_a_file_that_is_not_there_is_named(name, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("small"), tmp_path / "x")
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
def test_a_vocabulary_of_another_model_is_refused(name, value, says, folder):
    path = folder / "config.json"
    values = json.loads(path.read_text())
    values["text_config"][name] = value
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=says):
        CLIPSegProcessor.from_pretrained(folder)


def test_older_files_need_an_end_token_of_the_highest_id(folder):
    for name, change in (
        ("config.json", lambda v: v["text_config"].update(eos_token_id=2)),
        ("vocab.json", lambda v: v.update({"<|startoftext|>": 49407, "<|endoftext|>": 49406})),
    ):
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        change(values)
        (folder / name).write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="the id 49406, which is not its highest"):
        CLIPSegProcessor.from_pretrained(folder)


def test_the_model_says_how_long_a_text_may_be(folder):
    path = folder / "config.json"
    values = json.loads(path.read_text())
    values["text_config"]["max_position_embeddings"] = 5
    path.write_text(json.dumps(values))
    processor = CLIPSegProcessor.from_pretrained(folder)
    assert processor(text="a a a")["input_ids"].shape == (1, 5)
    with pytest.raises(ValueError, match="has 6 tokens, the model reads at most 5"):
        processor(text="a a a a")
