"""Folders as ``transformers`` writes them, of today and of old, give the same answers here."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from parity import write_random_checkpoint

TEXTS = ["red rings", "a photo of the nuclei, 12 µm"]
IMAGES = list(np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8))


@pytest.fixture(scope="module", params=["small", "small-refined", "small-legacy-eos"])
def today(request, tmp_path_factory):
    """A folder with nothing in it but what today's ``save_pretrained`` writes, and both parts."""
    source = tmp_path_factory.mktemp("source")
    model = write_random_checkpoint(source, request.param)
    processor = transformers.CLIPSegProcessor(
        ViTImageProcessorPil.from_pretrained(source),
        transformers.CLIPTokenizer.from_pretrained(source),
    )
    folder = tmp_path_factory.mktemp("today")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder, model, processor


@pytest.fixture
def copy(today, tmp_path):
    """The files of the folder, to be written in another way."""
    for path in today[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def assert_same(folder, model, processor, bound=1e-5):
    ours = CLIPSegForImageSegmentation.from_pretrained(folder)
    prepare = CLIPSegProcessor.from_pretrained(folder)
    for prompt in ({"text": TEXTS, "padding": True}, {"visual_prompt": IMAGES[::-1]}):
        with torch.no_grad():
            got = ours(**prepare(images=IMAGES, **prompt)).logits
            inputs = processor(images=IMAGES, return_tensors="pt", **prompt)
            wanted = model(**inputs, interpolate_pos_encoding=True).logits
        assert got.dtype == torch.float32
        assert (got - wanted).abs().max() <= bound * wanted.abs().max()


def test_from_pretrained_reads_what_the_newest_reference_writes(today):
    names = sorted(path.name for path in today[0].iterdir())
    assert names == [
        "config.json",
        "model.safetensors",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert json.loads((today[0] / "config.json").read_text())["dtype"] == "float32"
    assert_same(*today)


def test_from_pretrained_reads_parts(today, copy):
    (copy / "model.safetensors").unlink()
    today[1].save_pretrained(copy, max_shard_size="1MB")
    assert not (copy / "model.safetensors").exists()
    assert len(list(copy.glob("model-*.safetensors"))) > 1
    assert_same(copy, *today[1:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("pickled", [False, True], ids=["safetensors", "pickled"])
def test_from_pretrained_reads_half_precision(dtype, pickled, today, copy):
    path = copy / "model.safetensors"
    half = {name: x.to(dtype) for name, x in load_file(path).items()}
    if pickled:
        torch.save(half, copy / "pytorch_model.bin")
        path.unlink()
    else:
        save_file(half, path)
    values = json.loads((copy / "config.json").read_text())
    values["dtype"] = str(dtype).removeprefix("torch.")
    (copy / "config.json").write_text(json.dumps(values))
    theirs = transformers.CLIPSegForImageSegmentation.from_pretrained(copy, dtype=torch.float32)
    assert_same(copy, theirs.eval(), today[2])


def defaults_left_out(values):
    """Take out what equals the reference's defaults, as some versions do."""
    fresh = transformers.CLIPSegConfig().to_dict()
    for part, known in ((values, fresh), *((values[t], fresh[t]) for t in TOWERS)):
        for name in [name for name in part if name in known and part[name] == known[name]]:
            if name != "model_type":
                del part[name]


TOWERS = ("text_config", "vision_config")
CONFIGS = {
    "type of the numbers by its old name": lambda v: v.update(torch_dtype=v.pop("dtype")),
    "defaults left out": defaults_left_out,
    "towers written twice": lambda v: v.update(
        {f"{t}_dict": v[t] for t in TOWERS}, **{t: {} for t in TOWERS}
    ),
    "second towers empty": lambda v: v.update({f"{t}_dict": None for t in TOWERS}),
    "settings of the library": lambda v: (
        v.update(rope_parameters={"rope_type": "default"}, tie_word_embeddings=True, top_k=50),
        v["text_config"].update(is_decoder=False, id2label={"0": "LABEL_0"}, dropout=0.0),
        v["vision_config"].update(projection_dim=512, output_attentions=False),
    ),
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS)
def test_from_pretrained_reads_other_forms_of_the_config(change, today, copy):
    values = json.loads((copy / "config.json").read_text())
    change(values)
    (copy / "config.json").write_text(json.dumps(values))
    assert_same(copy, *today[1:])


def test_from_pretrained_reads_what_the_first_reference_wrote(today, copy):
    tokenizer = json.loads((copy / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (copy / "vocab.json").write_text(json.dumps(tokenizer["vocab"]), encoding="utf-8")
    merges = "\n".join(["#version: 0.2", *map(" ".join, tokenizer["merges"]), ""])
    (copy / "merges.txt").write_text(merges, encoding="utf-8")
    images = {
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "ViTFeatureExtractor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "resample": 2,
        "size": 96,
    }
    (copy / "preprocessor_config.json").write_text(json.dumps(images))
    state = load_file(copy / "model.safetensors")
    for tower, length in (("text", 77), ("vision", 17)):
        state[f"clip.{tower}_model.embeddings.position_ids"] = torch.arange(length)[None]
    torch.save(state, copy / "pytorch_model.bin")
    for name in ("model.safetensors", "processor_config.json", "tokenizer.json"):
        (copy / name).unlink()
    assert_same(copy, *today[1:])
