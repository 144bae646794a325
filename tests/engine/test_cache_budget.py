"""The cache of features at its real bound, with features as large as those of a public one."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import torch

from napari_clipseg.engine.engine import FEATURE_CACHE_BYTES, Engine
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.engine.runtime import batching
from napari_clipseg.engine.runtime.batching import Placed

TOKENS, WIDTH, BLOCKS = 1 + 22 * 22, 64, 3
ONE = BLOCKS * TOKENS * WIDTH * 4  # bytes of an image's features, in float32
FITS = FEATURE_CACHE_BYTES // ONE
BATCH = 32  # images at once, as on a GPU


def image(number):
    """A small image that is unlike all others."""
    return np.full((8, 8, 3), [number % 256, number // 256, 7], np.uint8)


class Counted:
    """Instead of the tower: features of the public size, which say what image they are of."""

    def __init__(self):
        self.images = 0
        self._lock = threading.Lock()

    def __call__(self, placed, pixels):
        with self._lock:
            self.images += len(pixels)
        each = pixels.double().mean(dim=(1, 2, 3)).float()[:, None, None]
        return tuple(each.repeat(1, TOKENS, WIDTH) + block for block in range(BLOCKS)), (22, 22)


@pytest.fixture
def tower(monkeypatch):
    tower = Counted()
    monkeypatch.setattr(Placed, "reduce", lambda placed, pixels: tower(placed, pixels))
    return tower


@pytest.fixture
def engine(checkpoint, monkeypatch):
    monkeypatch.setattr(batching, "IMAGES", batching.Work("images", cpu=BATCH, gpu=BATCH))
    folder = checkpoint("small")
    network = CLIPSegForImageSegmentation.from_pretrained(folder)
    return Engine(network, CLIPSegProcessor.from_pretrained(folder))


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


def encode(engine, numbers):
    """Encode images by their numbers, a batch at a time."""
    numbers = list(numbers)
    for start in range(0, len(numbers), BATCH):
        engine.encode([image(number) for number in numbers[start : start + BATCH]])
        assert engine._features.nbytes <= FEATURE_CACHE_BYTES


def test_the_cache_holds_as_much_as_it_says_and_no_more(engine, tower):
    assert (FITS, engine.batch_size) == (720, BATCH)
    encode(engine, range(2 * BATCH))  # what PyTorch keeps for itself
    engine.clear_cache()
    tower.images = 0
    before = resident()
    encode(engine, range(FITS))
    assert (tower.images, len(engine._features)) == (FITS, FITS)
    assert engine._features.nbytes == FITS * ONE
    # One image of each batch is used again; it stays, the others of its batch are dropped.
    used = range(0, FITS, BATCH)
    encode(engine, used)
    encode(engine, range(FITS, 2 * FITS - len(used)))
    assert tower.images == 2 * FITS - len(used)
    assert engine._features.nbytes == FITS * ONE
    encode(engine, [*used, *range(FITS, 2 * FITS - len(used))])
    assert tower.images == 2 * FITS - len(used), "all of them were there"
    encode(engine, [1])
    assert tower.images == 2 * FITS - len(used) + 1, "that one was not"
    # The process holds that much, and not the batches that the features came in.
    assert resident() - before < 1.5 * FEATURE_CACHE_BYTES
    engine.clear_cache()
    assert (len(engine._features), engine._features.nbytes) == (0, 0)


def test_a_cache_that_is_full_gives_each_thread_its_own_images(engine, tower):
    encode(engine, range(FITS))

    def ask(seed):
        random = np.random.default_rng(seed)
        for _ in range(8):
            numbers = random.integers(0, 2 * FITS, 25)
            features = engine.encode([image(number) for number in numbers])
            wanted = engine._processor(images=[image(n) for n in numbers])["pixel_values"]
            for block, found in enumerate(features.reduced):
                expected = wanted.double().mean(dim=(1, 2, 3)).float() + block
                assert torch.equal(found[:, 0, 0], expected)
                assert torch.equal(found[:, -1, -1], expected)
            assert engine._features.nbytes <= FEATURE_CACHE_BYTES
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(4)))
    assert len(engine._features) == FITS
    assert engine._features.nbytes == FITS * ONE
    assert engine._features.nbytes == sum(x.nbytes for x in engine._features._values.values())
