"""Images that are hard on float16 and int8, and memory that runs out at any time.

Stand-ins take the place of a GPU: float16 towers on the CPU, and a device that says it is full.
"""

from __future__ import annotations

import warnings
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from drawing import examples
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import CheckpointError, DeviceWarning
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.engine.runtime import batching
from napari_clipseg.engine.runtime.batching import Placed
from napari_clipseg.engine.runtime.int8 import Int8Linear, quantize_vision
from napari_clipseg.engine.runtime.kernels import use_fast_kernels
from napari_clipseg.engine.runtime.precision import with_half_towers

RANDOM = np.random.default_rng(0)
CHECKERS = np.indices((40, 50)).sum(axis=0) % 2 * 255
IMAGES = {
    "one pixel": np.full((1, 1, 3), 7),
    "one row": RANDOM.integers(0, 256, (1, 300, 3)),
    "one column": RANDOM.integers(0, 256, (300, 1, 3)),
    "black": np.zeros((40, 50, 3)),
    "white": np.full((40, 50, 3), 255),
    "checkers": np.dstack([CHECKERS] * 3),
    "opposite channels": np.dstack([CHECKERS, 255 - CHECKERS, CHECKERS]),
    "one hot pixel": np.pad([[[255, 0, 0]]], [(20, 19), (20, 29), (0, 0)]),
    "noise": RANDOM.integers(0, 256, (40, 50, 3)),
}
IMAGES = {name: image.astype(np.uint8) for name, image in IMAGES.items()}
GPU = torch.device("cpu", 0)  # for PyTorch another device than "cpu"; it computes on it


def network_of(folder):
    return CLIPSegForImageSegmentation.from_pretrained(folder)


@pytest.fixture(scope="module")
def engines(checkpoint):
    """The same checkpoint in each precision."""
    folder = checkpoint("small")
    int8 = network_of(folder)
    with patch("napari_clipseg.engine.runtime.int8.require_int8"):  # slow is no matter here
        quantize_vision(int8)
    networks = {
        "float32": network_of(folder),
        "float16": with_half_towers(network_of(folder)),
        "int8": int8,
    }
    for network in networks.values():
        use_fast_kernels(network)
    processor = CLIPSegProcessor.from_pretrained(folder)
    return {name: Engine(network, processor) for name, network in networks.items()}


def probabilities(engine, image, prompts):
    logits = engine.decode(engine.encode([image], cache=False), engine.embed(prompts))
    return 1 / (1 + np.exp(-logits.astype(float)))


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize(("precision", "near"), [("float16", 0.01), ("int8", 0.1)])
def test_odd_images_give_nearly_the_maps_of_float32(precision, near, image, engines):
    assert engines[precision].precision == precision
    # Both as an image that is segmented, and as an example.
    found, wanted = (
        probabilities(engines[name], image, ["red rings", image]) for name in (precision, "float32")
    )
    assert np.isfinite(found).all()
    assert np.abs(found - wanted).max() < near


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_an_image_of_no_pixels_is_refused(precision, engines):
    with pytest.raises(ValueError, match="wanted"):
        engines[precision].encode([np.zeros((0, 5, 3), np.uint8)])


@pytest.fixture
def overflowing(checkpoint):
    """An engine in float16 that exceeds the range where an image is bright."""
    network = network_of(checkpoint("small"))
    embeddings = network.clip.vision_model.embeddings
    embeddings.patch_embedding.weight.data.abs_().mul_(4000)
    processor = CLIPSegProcessor.from_pretrained(checkpoint("small"))
    return Engine(with_half_towers(network), processor)


def test_an_image_that_exceeds_float16_is_told_and_spoils_no_other(overflowing):
    black, white = IMAGES["black"], IMAGES["white"] // 2
    vectors = overflowing.embed(["red rings"])
    before = overflowing.decode(overflowing.encode([white]), vectors)
    for _ in range(2):  # what is cached is refused, too
        features = overflowing.encode([white, IMAGES["white"], black])
        with pytest.raises(CheckpointError, match=r"not finite.*Load it with precision='float32'"):
            overflowing.decode(features, vectors)
    np.testing.assert_array_equal(overflowing.decode(overflowing.encode([white]), vectors), before)


def test_an_example_that_exceeds_float16_is_told(overflowing):
    with pytest.raises(CheckpointError, match=r"not finite.*Load it with precision='float32'"):
        overflowing.embed([IMAGES["white"]])


# --- int8 -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@torch.inference_mode()
def test_int8_linear_keeps_what_is_not_finite_to_its_token(bad):
    torch.manual_seed(0)
    layer = Int8Linear(nn.Linear(16, 8))
    x = torch.randn(1, 20, 16)
    wanted = layer(x)
    x[0, 3, 5] = bad
    got = layer(x)
    assert not got[0, 3].isfinite().any()
    others = [i for i in range(20) if i != 3]
    torch.testing.assert_close(got[0, others], wanted[0, others], rtol=0, atol=0)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e20, 1e30])
@torch.inference_mode()
def test_int8_linear_takes_tokens_of_any_size(scale):
    torch.manual_seed(0)
    linear = nn.Linear(16, 8, bias=False)
    linear.weight.data /= 16
    x = torch.rand(20, 16) * scale
    got, wanted = Int8Linear(linear)(x), linear(x)
    assert got.isfinite().all()
    assert (torch.abs(got - wanted) <= 0.05 * x.abs().amax()).all()


# --- memory that runs out ---------------------------------------------------------------


@pytest.fixture(scope="module")
def wanted(checkpoint):
    return answers(Engine(network_of(checkpoint("small")), processor_of(checkpoint)))


def processor_of(checkpoint):
    return CLIPSegProcessor.from_pretrained(checkpoint("small"))


def answers(engine):
    images = [IMAGES[name] for name in ("noise", "checkers", "white", "one hot pixel", "black")]
    vectors = engine.embed(["red rings", "nuclei", images[0], images[1]])
    return engine.decode(engine.encode(images), vectors)


@examples(12)
@given(room=st.lists(st.integers(0, 5), max_size=12))
def test_memory_that_runs_out_at_any_call_changes_no_result(room, wanted, checkpoint):
    """Each call of the network has room for the next number of items; then for all."""
    engine = Engine(network_of(checkpoint("small")), processor_of(checkpoint), device=GPU)
    left = iter(room)

    def limited(step):
        def run(self, items, *rest):
            count = len(items[0]) if isinstance(items, list | tuple) else len(items)
            if self.device == GPU and count > next(left, 100):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return step(self, items, *rest)

        return run

    names = ("reduce", "text_vectors", "image_vectors", "logits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeviceWarning)
        patches = [patch.object(Placed, name, limited(getattr(Placed, name))) for name in names]
        for one in patches:
            one.start()
        try:
            got = answers(engine)
        finally:
            for one in patches:
                one.stop()
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())
    assert engine.device in (GPU, batching.CPU)
