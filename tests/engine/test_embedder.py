"""Every kind of prompt that the engine takes, and what it caches of them."""

import threading

import numpy as np
import pytest
import torch

from napari_clipseg.engine.loading import load
from napari_clipseg.engine.modeling.model import CLIPSegModel
from napari_clipseg.engine.prompts import Average, Blend

RANDOM = np.random.default_rng(0)
IMAGE, OTHER = RANDOM.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)


@pytest.fixture
def engine(folder):
    engine = load(folder, device="cpu")
    yield engine
    engine.unload()


@pytest.fixture
def encoded(monkeypatch):
    """How many texts and images went through the towers."""
    counts = {"texts": [], "images": []}
    texts, images = CLIPSegModel.get_text_features, CLIPSegModel.get_image_features

    def count_texts(self, ids, *rest):
        counts["texts"].append(len(ids))
        return texts(self, ids, *rest)

    def count_images(self, pixels):
        counts["images"].append(len(pixels))
        return images(self, pixels)

    monkeypatch.setattr(CLIPSegModel, "get_text_features", count_texts)
    monkeypatch.setattr(CLIPSegModel, "get_image_features", count_images)
    return counts


def test_embed_takes_kinds_mixed_in_any_order(engine):
    alone = [engine.embed([prompt])[0] for prompt in ("rings", IMAGE, "a photo of nuclei")]
    ready = RANDOM.normal(size=24).astype(np.float32)
    together = engine.embed(["rings", IMAGE, ready, "a photo of nuclei", "rings"])
    wanted = [alone[0], alone[1], ready, alone[2], alone[0]]
    np.testing.assert_allclose(together, wanted, atol=1e-5)
    assert together.dtype == np.float32


def test_embed_gives_the_mean_vector_of_an_average(engine):
    one, two, three = engine.embed([IMAGE, OTHER, "rings"])
    (got,) = engine.embed([Average([IMAGE, OTHER, "rings"])])
    np.testing.assert_allclose(got, (one + two + three) / 3, atol=1e-5)


@pytest.mark.parametrize("weight", [0, 0.25, 1])
def test_embed_interpolates_a_blend(engine, weight):
    image, text = engine.embed([IMAGE, "rings"])
    (got,) = engine.embed([Blend("rings", IMAGE, weight)])
    np.testing.assert_allclose(got, weight * image + (1 - weight) * text, atol=1e-5)


def test_embed_takes_mixtures_of_mixtures(engine):
    image, other, text = engine.embed([IMAGE, OTHER, "rings"])
    (got,) = engine.embed([Blend("rings", Average([IMAGE, OTHER]), 0.5)])
    np.testing.assert_allclose(got, text / 2 + (image + other) / 4, atol=1e-5)


def test_embed_runs_once_for_the_same_text(engine, encoded):
    first = engine.embed(["rings", "nuclei", " rings "])
    assert encoded["texts"] == [2]
    np.testing.assert_array_equal(first[0], first[2])
    again = engine.embed(["spots", "rings"])
    assert encoded["texts"] == [2, 1]
    np.testing.assert_array_equal(again[1], first[0])


def test_embed_drops_the_least_recently_used_texts(engine, encoded, monkeypatch):
    monkeypatch.setattr(engine._embedder.cache, "limit", 2 * engine.embed(["a"]).nbytes)
    engine.clear_cache()
    encoded["texts"].clear()
    engine.embed(["a", "b"])
    engine.embed(["a"])  # used again: younger than b
    engine.embed(["c"])
    engine.embed(["a"])
    assert encoded["texts"] == [2, 1]
    engine.embed(["b"])
    assert encoded["texts"] == [2, 1, 1]


def test_embed_runs_once_for_the_same_image(engine, encoded):
    first = engine.embed([IMAGE, Average([OTHER, IMAGE[:20]]), IMAGE.copy()])
    assert sum(encoded["images"]) == 3
    np.testing.assert_array_equal(first[0], first[2])
    again = engine.embed([OTHER[::-1], IMAGE])
    assert sum(encoded["images"]) == 4
    np.testing.assert_array_equal(again[1], first[0])


# name: prompts, type of the error, what it says
WRONG = {
    "none": ([], ValueError, "no prompt"),
    "blank": (["rings", " \n"], ValueError, "blank prompt"),
    "blank within": ([Average(["", "rings"])], ValueError, "blank prompt"),
    "a number": ([3], TypeError, "prompt of type int"),
    "a short vector": ([np.zeros(23, np.float32)], ValueError, "vector of 23 values.*wanted 24"),
    "a vector with NaN": ([np.full(24, np.nan)], ValueError, r"not finite .*in float32"),
    "an infinite vector": ([np.full(24, np.inf, np.float32)], ValueError, "not finite"),
    "a vector too large": ([np.full(24, 1e300)], ValueError, "not finite"),
    "NaN within": ([Average(["a", np.full(24, np.nan)])], ValueError, "not finite"),
    "a vector of bytes": ([np.zeros(24, np.uint8)], ValueError, "of type uint8"),
    "a float image": ([IMAGE / 255], ValueError, "image of float64"),
}


@pytest.mark.parametrize(("prompts", "error", "message"), WRONG.values(), ids=WRONG)
def test_embed_refuses_what_is_no_prompt(engine, prompts, error, message):
    with pytest.raises(error, match=message):
        engine.embed(prompts)


def test_embed_gives_several_threads_what_one_gets(engine):
    texts = [f"thing {i}" for i in range(8)]
    wanted = {text: engine.embed([text]) for text in texts}
    engine.clear_cache()
    got = {}
    threads = [
        threading.Thread(target=lambda t=text: got.update({t: engine.embed([t, "rings"])}))
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text in texts:
        np.testing.assert_allclose(got[text][:1], wanted[text], atol=1e-5)


def test_embed_leaves_torch_as_it_was(engine):
    engine.embed(["rings", IMAGE])
    assert torch.is_grad_enabled()
