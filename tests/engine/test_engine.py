from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from napari_clipseg import segment
from napari_clipseg.engine.engine import Engine, load
from napari_clipseg.engine.errors import CheckpointError, DeviceWarning
from napari_clipseg.engine.modeling.decoder import CLIPSegDecoder
from napari_clipseg.engine.modeling.layers import CLIPSegEncoder
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.modeling.vision import CLIPSegVisionModel
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor

RANDOM = np.random.default_rng(0)
PICTURES = [
    RANDOM.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in [(60, 40), (96, 96), (5, 200)]
]
EXAMPLE = RANDOM.integers(0, 256, (30, 30, 3), dtype=np.uint8)
PROMPTS = ["red rings", EXAMPLE, "a photo of the nuclei of many cells"]
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
    ),
    pytest.param(
        "mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="no MPS here")
    ),
]


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max(), rtol=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", ["small", "small-refined", "small-film-last", "small-one-layer"])
def test_answers_are_the_models_own(size, device, checkpoint):
    model = CLIPSegForImageSegmentation.from_pretrained(checkpoint(size))
    processor = CLIPSegProcessor.from_pretrained(checkpoint(size))
    engine = load(checkpoint(size), device=device)
    logits = engine.decode(engine.encode(PICTURES), engine.embed(PROMPTS))
    assert logits.shape == (3, 3, 96, 96)
    assert logits.dtype == np.float32
    for i, picture in enumerate(PICTURES):
        for j, prompt in enumerate(PROMPTS):
            kind = "text" if isinstance(prompt, str) else "visual_prompt"
            with torch.inference_mode():
                wanted = model(**processor(images=picture, **{kind: prompt})).logits[0].numpy()
            close(logits[i, j], wanted)


def test_many_at_once_are_the_same_as_one_by_one(engine):
    together = engine.decode(engine.encode(PICTURES), engine.embed(PROMPTS))
    assert len(engine.encode(PICTURES)) == 3
    for i, picture in enumerate(PICTURES):
        features = engine.encode([picture])
        for j, prompt in enumerate(PROMPTS):
            close(together[i, j], engine.decode(features, engine.embed([prompt]))[0, 0])


def test_prompts_become_vectors(engine):
    vectors = engine.embed(PROMPTS)
    assert vectors.shape == (3, engine.config.projection_dim)
    assert vectors.dtype == np.float32
    close(vectors[::-1], engine.embed(PROMPTS[::-1]))


def test_vectors_may_be_of_any_floats(engine):
    features, vectors = engine.encode(PICTURES[:1]), engine.embed(PROMPTS)
    close(engine.decode(features, vectors.astype(np.float64)), engine.decode(features, vectors))


def test_no_prompt_gives_no_map(engine):
    logits = engine.decode(engine.encode(PICTURES[:1]), np.zeros((0, 24), np.float32))
    assert logits.shape == (1, 0, 96, 96)


def test_pictures_and_vectors_are_not_changed(engine):
    pictures, vectors = [p.copy() for p in PICTURES], engine.embed(PROMPTS)
    before = vectors.copy()
    engine.decode(engine.encode(pictures), vectors)
    np.testing.assert_array_equal(vectors, before)
    for picture, was in zip(pictures, PICTURES, strict=True):
        np.testing.assert_array_equal(picture, was)


@pytest.mark.parametrize("shape", [(2, 23), (2, 25), (24,), (1, 2, 24)], ids=str)
def test_vectors_of_another_model_are_refused(shape, engine):
    with pytest.raises(ValueError, match=r"wanted \(prompts, 24\), as embed\(\) of the same"):
        engine.decode(engine.encode(PICTURES[:1]), np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        pytest.param([], "Got no prompt", id="none"),
        pytest.param(["dog", ""], "Got a blank prompt", id="empty"),
        pytest.param([" \n"], "Got a blank prompt", id="white space"),
        pytest.param(["! " * 76], "has 78 tokens", id="too long"),
        pytest.param([EXAMPLE / 255], "wanted uint8", id="floats"),
        pytest.param([EXAMPLE[:0]], "not empty", id="empty picture"),
    ],
)
def test_bad_prompts_are_refused(prompts, says, engine):
    with pytest.raises(ValueError, match=says):
        engine.embed(prompts)


def test_no_pictures_are_refused(engine):
    with pytest.raises(ValueError, match="Got no picture"):
        engine.encode([])


def test_a_loaded_engine_is_kept(checkpoint, monkeypatch):
    folder = checkpoint("small")
    monkeypatch.chdir(folder.parent)
    first = load(folder, device="cpu")
    assert load(str(folder), device=torch.device("cpu")) is first
    assert load(f"./{folder.name}", device="cpu") is first
    assert load(checkpoint("small-refined"), device="cpu") is not first


def test_it_bears_the_name_it_was_asked_for(folder):
    assert load(str(folder)).name == str(folder)
    assert load("demo").name == "demo"


def test_several_threads_load_one_engine(folder):
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(load, [folder] * 4))
    assert len(set(map(id, engines))) == 1


def test_what_could_not_be_loaded_is_tried_again(folder):
    path = folder / "config.json"
    content = path.read_bytes()
    path.write_bytes(b"{")
    with pytest.raises(CheckpointError):
        load(folder)
    path.write_bytes(content)
    assert load(folder).config.reduce_dim == 16


@pytest.mark.parametrize(
    "device", ["gpu", "", "meta", "cpu0", *[d for d in ("cuda", "mps") if d not in str(DEVICES)]]
)
def test_devices_that_are_not_there_are_refused(device, checkpoint):
    with pytest.raises(ValueError, match=rf"no device '{device}' here; there is \[.*'cpu'\]"):
        load(checkpoint("small"), device=device)


def test_the_best_device_is_taken(checkpoint):
    best = "cuda" if torch.cuda.is_available() else "cpu"
    best = "mps" if best == "cpu" and torch.backends.mps.is_available() else best
    assert load(checkpoint("small")).device.type == best


def test_threads_do_not_disturb_each_other(engine):
    wanted = [segment(p, ["red rings", EXAMPLE], model=engine) for p in PICTURES]
    with ThreadPoolExecutor(6) as pool:
        runs = [
            (want, pool.submit(segment, picture, ["red rings", EXAMPLE], model=engine))
            for _ in range(4)
            for picture, want in zip(PICTURES, wanted, strict=True)
        ]
        for want, run in runs:
            np.testing.assert_allclose(run.result().probability, want.probability, atol=1e-5)


@pytest.fixture
def looked(monkeypatch):
    """How many pictures went through the vision tower, call by call."""
    counts = []
    activations = CLIPSegVisionModel.activations

    def count(self, pixels, blocks):
        counts.append(len(pixels))
        return activations(self, pixels, blocks)

    monkeypatch.setattr(CLIPSegVisionModel, "activations", count)
    return counts


def fresh_engine(checkpoint, **arguments):
    network = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    return Engine(network, CLIPSegProcessor.from_pretrained(checkpoint("small")), **arguments)


def test_a_picture_is_looked_at_once(checkpoint, looked):
    engine = fresh_engine(checkpoint)
    first = engine.encode([PICTURES[0], PICTURES[1], PICTURES[0].copy()])
    assert sum(looked) == 2
    again = engine.encode([PICTURES[1], PICTURES[2]])
    assert sum(looked) == 3
    vectors = engine.embed(["rings"])
    before, after = engine.decode(first, vectors), engine.decode(again, vectors)
    close(before[2], before[0])
    close(after[0], before[1])
    engine.forget()
    engine.encode([PICTURES[1]])
    assert sum(looked) == 4


def test_a_changed_picture_is_looked_at_again(checkpoint, looked):
    engine = fresh_engine(checkpoint)
    picture = PICTURES[0].copy()
    engine.encode([picture])
    picture[0, 0] ^= 255
    engine.encode([picture])
    assert sum(looked) == 2


def test_a_picture_that_is_not_resized_is_another(checkpoint, looked):
    engine = fresh_engine(checkpoint)
    picture = np.full((32, 96, 3), 7, np.uint8)
    assert engine.encode([picture]).grid == (6, 6)
    assert engine.encode([picture], resize=False).grid == (2, 6)
    assert engine.encode([picture.reshape(96, 32, 3)], resize=False).grid == (6, 2)
    assert sum(looked) == 3


# name: arguments of the engine, of encode
NOT_KEPT = {"no room": ({"kept_features": 0}, {}), "not wanted": ({}, {"keep": False})}


@pytest.mark.parametrize(("makes", "encodes"), NOT_KEPT.values(), ids=NOT_KEPT)
def test_features_need_not_be_kept(makes, encodes, checkpoint, looked):
    engine = fresh_engine(checkpoint, **makes)
    engine.encode(PICTURES[:1], **encodes)
    engine.encode(PICTURES[:1], **encodes)
    assert sum(looked) == 2


def test_what_is_kept_has_a_bound(checkpoint):
    one = fresh_engine(checkpoint).encode(PICTURES[:1]).nbytes
    engine = fresh_engine(checkpoint, kept_features=2 * one)
    engine.encode(PICTURES)
    assert engine._features.nbytes == 2 * one


def test_many_answers_are_made_a_few_at_a_time(checkpoint, monkeypatch):
    engine, sizes = fresh_engine(checkpoint), []
    segment_ = CLIPSegDecoder.segment

    def count(self, reduced, *rest):
        sizes.append(len(reduced[0]))
        return segment_(self, reduced, *rest)

    monkeypatch.setattr(CLIPSegDecoder, "segment", count)
    features, vectors = engine.encode(PICTURES), engine.embed([f"thing {i}" for i in range(7)])
    together = engine.decode(features, vectors)
    assert (sum(sizes), max(sizes)) == (21, 4)
    for i in range(3):
        for j in range(7):
            close(together[i, j], engine.decode(features[i : i + 1], vectors[j : j + 1])[0, 0])


def test_when_the_gpu_is_full_the_answers_stay(checkpoint, monkeypatch):
    wanted = fresh_engine(checkpoint)
    prompts = ["red rings", EXAMPLE]
    logits = wanted.decode(wanted.encode(PICTURES), wanted.embed(prompts))
    # What PyTorch takes for another device than "cpu", and computes on.
    gpu = torch.device("cpu", 0)
    engine = fresh_engine(checkpoint, device=gpu)
    network, forward = engine._batches.placed.network, CLIPSegEncoder.extract

    def full(self, *arguments):
        if self is network.clip.vision_model.encoder:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(self, *arguments)

    monkeypatch.setattr(CLIPSegEncoder, "extract", full)
    vectors = engine.embed(prompts)
    with pytest.warns(DeviceWarning, match="memory of cpu:0 is full.*goes on on the CPU"):
        features = engine.encode(PICTURES)
    assert engine.device == torch.device("cpu")
    close(engine.decode(features, vectors), logits)


LIGHT = """
import sys
from napari_clipseg import load
engine = load({folder!r}, device="cpu")
heavy = {{"torch._dynamo", "sympy", "scipy", "skimage", "huggingface_hub", "transformers"}}
print(sorted(heavy & sys.modules.keys()))
"""


def test_loading_imports_no_more_than_it_needs(checkpoint):
    script = LIGHT.format(folder=str(checkpoint("small")))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_threshold_of_the_checkpoint_is_read(folder):
    shutil.copy(folder / "config.json", folder / "was.json")
    values = json.loads((folder / "was.json").read_text()) | {"default_threshold": 0.75}
    (folder / "config.json").write_text(json.dumps(values))
    assert load(folder).config.default_threshold == 0.75
