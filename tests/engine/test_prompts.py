"""Every kind of prompt the engine takes, and what it keeps of them."""

import threading

import numpy as np
import pytest
import torch

from napari_clipseg.engine.engine import load
from napari_clipseg.engine.modeling.model import CLIPSegModel
from napari_clipseg.engine.prompts import Average, Blend

RANDOM = np.random.default_rng(0)
PICTURE, OTHER = RANDOM.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)


@pytest.fixture
def engine(folder):
    engine = load(folder, device="cpu")
    yield engine
    engine.unload()


@pytest.fixture
def encoded(monkeypatch):
    """How many texts and pictures went through the towers."""
    counts = {"texts": [], "pictures": []}
    texts, pictures = CLIPSegModel.get_text_features, CLIPSegModel.get_image_features

    def count_texts(self, ids, *rest):
        counts["texts"].append(len(ids))
        return texts(self, ids, *rest)

    def count_pictures(self, pixels):
        counts["pictures"].append(len(pixels))
        return pictures(self, pixels)

    monkeypatch.setattr(CLIPSegModel, "get_text_features", count_texts)
    monkeypatch.setattr(CLIPSegModel, "get_image_features", count_pictures)
    return counts


def test_kinds_may_be_mixed_in_any_order(engine):
    alone = [engine.embed([prompt])[0] for prompt in ("rings", PICTURE, "a photo of nuclei")]
    ready = RANDOM.normal(size=24).astype(np.float32)
    together = engine.embed(["rings", PICTURE, ready, "a photo of nuclei", "rings"])
    wanted = [alone[0], alone[1], ready, alone[2], alone[0]]
    np.testing.assert_allclose(together, wanted, atol=1e-5)
    assert together.dtype == np.float32


def test_an_average_is_the_mean_vector(engine):
    one, two, three = engine.embed([PICTURE, OTHER, "rings"])
    (got,) = engine.embed([Average([PICTURE, OTHER, "rings"])])
    np.testing.assert_allclose(got, (one + two + three) / 3, atol=1e-5)


@pytest.mark.parametrize("weight", [0, 0.25, 1])
def test_a_blend_lies_between_text_and_image(engine, weight):
    image, text = engine.embed([PICTURE, "rings"])
    (got,) = engine.embed([Blend("rings", PICTURE, weight)])
    np.testing.assert_allclose(got, weight * image + (1 - weight) * text, atol=1e-5)


def test_mixtures_of_mixtures(engine):
    image, other, text = engine.embed([PICTURE, OTHER, "rings"])
    (got,) = engine.embed([Blend("rings", Average([PICTURE, OTHER]), 0.5)])
    np.testing.assert_allclose(got, text / 2 + (image + other) / 4, atol=1e-5)


def test_a_wording_is_read_once(engine, encoded):
    first = engine.embed(["rings", "nuclei", " rings "])
    assert encoded["texts"] == [2]
    np.testing.assert_array_equal(first[0], first[2])
    again = engine.embed(["spots", "rings"])
    assert encoded["texts"] == [2, 1]
    np.testing.assert_array_equal(again[1], first[0])


def test_the_oldest_wordings_are_forgotten_first(engine, encoded, monkeypatch):
    monkeypatch.setattr(engine._embedder.kept, "limit", 2 * engine.embed(["a"]).nbytes)
    engine.forget()
    encoded["texts"].clear()
    engine.embed(["a", "b"])
    engine.embed(["a"])  # used again: younger than b
    engine.embed(["c"])
    engine.embed(["a"])
    assert encoded["texts"] == [2, 1]
    engine.embed(["b"])
    assert encoded["texts"] == [2, 1, 1]


def test_a_reference_is_looked_at_once(engine, encoded):
    first = engine.embed([PICTURE, Average([OTHER, PICTURE[:20]]), PICTURE.copy()])
    assert sum(encoded["pictures"]) == 3
    np.testing.assert_array_equal(first[0], first[2])
    again = engine.embed([OTHER[::-1], PICTURE])
    assert sum(encoded["pictures"]) == 4
    np.testing.assert_array_equal(again[1], first[0])


# name: prompts, type of the error, what it says
WRONG = {
    "none": ([], ValueError, "no prompt"),
    "blank": (["rings", " \n"], ValueError, "blank prompt"),
    "blank within": ([Average(["", "rings"])], ValueError, "blank prompt"),
    "a number": ([3], TypeError, "prompt of type int"),
    "a short vector": ([np.zeros(23, np.float32)], ValueError, "vector of 23 values.*wanted 24"),
    "a vector of bytes": ([np.zeros(24, np.uint8)], ValueError, "of type uint8"),
    "a float picture": ([PICTURE / 255], ValueError, "picture of float64"),
}


@pytest.mark.parametrize(("prompts", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_prompt_is_told(engine, prompts, error, message):
    with pytest.raises(error, match=message):
        engine.embed(prompts)


def test_mixtures_that_make_no_sense():
    with pytest.raises(ValueError, match="no prompts to average"):
        Average([])
    with pytest.raises(ValueError, match="no prompts to average"):
        Average("rings")
    with pytest.raises(ValueError, match=r"weight of the image is 1\.5"):
        Blend("rings", PICTURE, 1.5)


def test_an_unloaded_engine_says_so_and_is_loaded_anew(folder):
    engine = load(folder, device="cpu")
    before = engine.embed(["rings"])
    engine.unload()
    with pytest.raises(RuntimeError, match=r"was unloaded.*load\(\)"):
        engine.embed(["rings"])
    again = load(folder, device="cpu")
    assert again is not engine
    np.testing.assert_array_equal(again.embed(["rings"]), before)
    again.unload()


def test_unloading_frees_the_network(folder):
    import gc
    import weakref

    engine = load(folder, device="cpu")
    parameter = weakref.ref(engine._batches.placed.network.clip.logit_scale)
    engine.unload()
    gc.collect()
    assert parameter() is None


def test_several_threads_get_what_one_gets(engine):
    texts = [f"thing {i}" for i in range(8)]
    wanted = {text: load(engine_folder(engine), device="cpu").embed([text]) for text in texts}
    engine.forget()
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


def engine_folder(engine):
    return engine.name


def test_torch_is_left_as_it_was(engine):
    engine.embed(["rings", PICTURE])
    assert torch.is_grad_enabled()
