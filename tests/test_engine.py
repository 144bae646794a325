from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from napari_clipseg import segment
from napari_clipseg.engine.engine import load
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.processor import CLIPSegProcessor

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


def test_the_threshold_of_the_checkpoint_is_read(folder):
    shutil.copy(folder / "config.json", folder / "was.json")
    values = json.loads((folder / "was.json").read_text()) | {"default_threshold": 0.75}
    (folder / "config.json").write_text(json.dumps(values))
    assert load(folder).config.default_threshold == 0.75
