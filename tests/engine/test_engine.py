from __future__ import annotations

import gc
import hashlib
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from napari_clipseg import engine as engine_package
from napari_clipseg.engine.checkpoints.locate import FolderState
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import DeviceWarning
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.modeling.decoder import CLIPSegDecoder
from napari_clipseg.engine.modeling.layers import CLIPSegEncoder
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.modeling.vision import CLIPSegVisionModel
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor

RANDOM = np.random.default_rng(0)
IMAGES = [
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
def test_decode_gives_the_logits_of_the_model(size, device, checkpoint):
    model = CLIPSegForImageSegmentation.from_pretrained(checkpoint(size))
    processor = CLIPSegProcessor.from_pretrained(checkpoint(size))
    engine = load(checkpoint(size), device=device)
    logits = engine.decode(engine.encode(IMAGES), engine.embed(PROMPTS))
    assert logits.shape == (3, 3, 96, 96)
    assert logits.dtype == np.float32
    for i, image in enumerate(IMAGES):
        for j, prompt in enumerate(PROMPTS):
            kind = "text" if isinstance(prompt, str) else "visual_prompt"
            with torch.inference_mode():
                wanted = model(**processor(images=image, **{kind: prompt})).logits[0].numpy()
            close(logits[i, j], wanted)


def test_decode_gives_the_same_for_many_and_one_by_one(engine):
    together = engine.decode(engine.encode(IMAGES), engine.embed(PROMPTS))
    assert len(engine.encode(IMAGES)) == 3
    for i, image in enumerate(IMAGES):
        features = engine.encode([image])
        for j, prompt in enumerate(PROMPTS):
            close(together[i, j], engine.decode(features, engine.embed([prompt]))[0, 0])


def test_embed_gives_a_vector_for_each_prompt(engine):
    vectors = engine.embed(PROMPTS)
    assert vectors.shape == (3, engine.config.projection_dim)
    assert vectors.dtype == np.float32
    close(vectors[::-1], engine.embed(PROMPTS[::-1]))


def test_decode_takes_vectors_of_any_floats(engine):
    features, vectors = engine.encode(IMAGES[:1]), engine.embed(PROMPTS)
    close(engine.decode(features, vectors.astype(np.float64)), engine.decode(features, vectors))


def test_decode_gives_no_map_for_no_prompt(engine):
    logits = engine.decode(engine.encode(IMAGES[:1]), np.zeros((0, 24), np.float32))
    assert logits.shape == (1, 0, 96, 96)


def test_encode_and_decode_do_not_change_their_arguments(engine):
    images, vectors = [p.copy() for p in IMAGES], engine.embed(PROMPTS)
    before = vectors.copy()
    engine.decode(engine.encode(images), vectors)
    np.testing.assert_array_equal(vectors, before)
    for image, was in zip(images, IMAGES, strict=True):
        np.testing.assert_array_equal(image, was)


VIEWS = {
    "upside down": lambda x: x[::-1][::-1].copy()[::-1],
    "mirrored twice": lambda x: x[:, ::-1].copy()[:, ::-1],
    "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "by columns": np.asfortranarray,
    "big-endian": lambda x: x.astype(">f4"),
    "float16": lambda x: x.astype(np.float16),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_decode_takes_vectors_however_they_lie_in_memory(view, engine):
    features, vectors = engine.encode(IMAGES[:1]), view(engine.embed(PROMPTS))
    vectors.setflags(write=False)
    wanted = engine.decode(features, np.array(vectors, np.float32))
    np.testing.assert_array_equal(engine.decode(features, vectors), wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_decode_blames_the_vector_that_is_not_finite(value, engine):
    vectors = engine.embed(PROMPTS).astype(np.float64)
    vectors[1, 5] = value
    with pytest.raises(ValueError, match=r"vector of prompt 1 has values that are not finite"):
        engine.decode(engine.encode(IMAGES[:1]), vectors)


@pytest.mark.parametrize("shape", [(2, 23), (2, 25), (24,), (1, 2, 24)], ids=str)
def test_decode_refuses_vectors_of_another_model(shape, engine):
    with pytest.raises(ValueError, match=r"wanted \(prompts, 24\), as embed\(\) of the same"):
        engine.decode(engine.encode(IMAGES[:1]), np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        pytest.param([], "Got no prompt", id="none"),
        pytest.param(["dog", ""], "Got a blank prompt", id="empty"),
        pytest.param([" \n"], "Got a blank prompt", id="white space"),
        pytest.param(["! " * 76], "has 78 tokens", id="too long"),
        pytest.param([EXAMPLE / 255], "wanted uint8", id="floats"),
        pytest.param([EXAMPLE[:0]], "not empty", id="empty image"),
    ],
)
def test_embed_refuses_bad_prompts(prompts, says, engine):
    with pytest.raises(ValueError, match=says):
        engine.embed(prompts)


def test_encode_refuses_no_images(engine):
    with pytest.raises(ValueError, match="Got no image"):
        engine.encode([])


def test_several_threads_get_what_one_gets(engine):
    def answer(image):
        features = engine.encode([image], cache=False)
        return engine.decode(features, engine.embed(["red rings", EXAMPLE]))

    wanted = [answer(image) for image in IMAGES]
    with ThreadPoolExecutor(6) as pool:
        for got, want in zip(pool.map(answer, IMAGES * 4), wanted * 4, strict=True):
            close(got, want)


@pytest.fixture
def encoded(monkeypatch):
    """How many images went through the vision tower, call by call."""
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


def test_encode_runs_once_for_the_same_image(checkpoint, encoded):
    engine = fresh_engine(checkpoint)
    first = engine.encode([IMAGES[0], IMAGES[1], IMAGES[0].copy()])
    assert sum(encoded) == 2
    again = engine.encode([IMAGES[1], IMAGES[2]])
    assert sum(encoded) == 3
    vectors = engine.embed(["rings"])
    before, after = engine.decode(first, vectors), engine.decode(again, vectors)
    close(before[2], before[0])
    close(after[0], before[1])
    engine.clear_cache()
    engine.encode([IMAGES[1]])
    assert sum(encoded) == 4


def test_encode_runs_again_for_a_changed_image(checkpoint, encoded):
    engine = fresh_engine(checkpoint)
    image = IMAGES[0].copy()
    engine.encode([image])
    image[0, 0] ^= 255
    engine.encode([image])
    assert sum(encoded) == 2


def test_encode_runs_again_for_an_image_that_is_not_resized(checkpoint, encoded):
    engine = fresh_engine(checkpoint)
    image = np.full((32, 96, 3), 7, np.uint8)
    assert engine.encode([image]).grid == (6, 6)
    assert engine.encode([image], resize=False).grid == (2, 6)
    assert engine.encode([image.reshape(96, 32, 3)], resize=False).grid == (6, 2)
    assert sum(encoded) == 3


# name: arguments of the engine, of encode
NOT_CACHED = {"no room": ({"feature_cache_bytes": 0}, {}), "not wanted": ({}, {"cache": False})}


@pytest.mark.parametrize(("makes", "encodes"), NOT_CACHED.values(), ids=NOT_CACHED)
def test_encode_need_not_cache(makes, encodes, checkpoint, encoded):
    engine = fresh_engine(checkpoint, **makes)
    engine.encode(IMAGES[:1], **encodes)
    engine.encode(IMAGES[:1], **encodes)
    assert sum(encoded) == 2


def test_encode_caches_up_to_a_number_of_bytes(checkpoint):
    one = fresh_engine(checkpoint).encode(IMAGES[:1]).nbytes
    engine = fresh_engine(checkpoint, feature_cache_bytes=2 * one)
    engine.encode(IMAGES)
    assert engine._features.nbytes == 2 * one


def test_decode_makes_a_few_maps_at_a_time(checkpoint, monkeypatch):
    engine, sizes = fresh_engine(checkpoint), []
    segment_ = CLIPSegDecoder.segment

    def count(self, reduced, *rest):
        sizes.append(len(reduced[0]))
        return segment_(self, reduced, *rest)

    monkeypatch.setattr(CLIPSegDecoder, "segment", count)
    features, vectors = engine.encode(IMAGES), engine.embed([f"thing {i}" for i in range(7)])
    together = engine.decode(features, vectors)
    assert (sum(sizes), max(sizes)) == (21, 4)
    for i in range(3):
        for j in range(7):
            close(together[i, j], engine.decode(features[i : i + 1], vectors[j : j + 1])[0, 0])


def test_encode_moves_to_the_cpu_when_the_gpu_is_full(checkpoint, monkeypatch):
    wanted = fresh_engine(checkpoint)
    prompts = ["red rings", EXAMPLE]
    logits = wanted.decode(wanted.encode(IMAGES), wanted.embed(prompts))
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
    with pytest.warns(DeviceWarning, match="memory of cpu:0 is full.*continues on the CPU"):
        features = engine.encode(IMAGES)
    assert engine.device == torch.device("cpu")
    close(engine.decode(features, vectors), logits)


def test_batch_size_is_one_on_a_cpu(checkpoint):
    assert fresh_engine(checkpoint).batch_size == 1


def test_weights_are_the_hash_of_the_file(checkpoint):
    folder = checkpoint("small")
    content = (folder / "model.safetensors").read_bytes()
    engine = fresh_engine(checkpoint, source=FolderState.of(folder))
    assert engine.weights == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_weights_are_unknown_without_a_folder(checkpoint):
    assert fresh_engine(checkpoint).weights is None


def test_weights_are_unknown_after_the_files_were_replaced(folder):
    network = CLIPSegForImageSegmentation.from_pretrained(folder)
    processor = CLIPSegProcessor.from_pretrained(folder)
    states = [FolderState.of(folder)] * 2
    early, late = (Engine(network, processor, source=state) for state in states)
    known = early.weights
    network.save_pretrained(folder)
    assert early.weights == known is not None
    assert late.weights is None


def test_unload_frees_the_network(checkpoint):
    engine = fresh_engine(checkpoint)
    parameter = weakref.ref(engine._batches.placed.network.clip.logit_scale)
    assert engine.is_loaded
    engine.unload()
    gc.collect()
    assert parameter() is None
    assert not engine.is_loaded
    with pytest.raises(RuntimeError, match=r"was unloaded.*load\(\)"):
        engine.embed(["rings"])


LIGHT = """
import sys
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.hub.downloads import download
from napari_clipseg.engine import Average, Blend, CheckpointError, describe, locate, verify
locate("demo")
print(sorted({"torch", "huggingface_hub", "safetensors", "tokenizers", "PIL"} & set(sys.modules)))
"""


def test_engine_and_load_are_imported_without_torch():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_every_public_name_of_the_package_can_be_imported():
    for name in engine_package.__all__:
        assert getattr(engine_package, name).__name__ == name
