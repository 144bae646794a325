from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import CheckpointError, DeviceWarning
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.engine.runtime import devices, precision
from napari_clipseg.engine.runtime.batching import Placed
from napari_clipseg.engine.runtime.devices import CPU
from napari_clipseg.engine.runtime.precision import (
    TOLERANCE,
    TRIAL_TEXT,
    half_if_it_holds,
    holds,
    trial_image,
    with_half_towers,
)
from napari_clipseg.sample_data import load_sample


def logit(probability):
    return np.log(probability / (1 - probability)).astype(np.float32)


FULL = logit(np.array([0.01, 0.5, 0.99]))
# name: logits in float16, whether they hold
TRIALS = {
    "the same": (FULL, True),
    "within a step of the slider": (logit(np.array([0.01, 0.508, 0.99])), True),
    "beyond it": (logit(np.array([0.01, 0.512, 0.99])), False),
    "large logits that differ much": (FULL * [1, 1, 1] + [-50, 0, 50], True),
    "one that is far off": (FULL * [1, 1, -1], False),
    "not a number": (FULL * [1, np.nan, 1], False),
    "infinite": (FULL * [1, 1, np.inf], False),
}


@pytest.fixture
def parts(checkpoint):
    """A network on the CPU, its processor, and what the trial needs."""
    network = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    processor = CLIPSegProcessor.from_pretrained(checkpoint("small"))
    inputs = processor(text=TRIAL_TEXT, images=trial_image())
    return network, processor, (inputs["input_ids"], inputs["pixel_values"])


@pytest.mark.parametrize(("changed", "wanted"), [(1, True), (2, True), (3, False)])
def test_holds_lets_one_pixel_in_a_thousand_change_more(changed, wanted):
    full = np.zeros(2000, np.float32)
    half = full.copy()
    half[:changed] = 1
    assert holds(full, half) is wanted


@pytest.mark.parametrize(("half", "wanted"), TRIALS.values(), ids=TRIALS)
def test_holds_where_probabilities_stay(half, wanted):
    assert TOLERANCE == 0.01
    assert holds(FULL, half) is wanted


def test_with_half_towers_leaves_the_decoder(parts):
    network = parts[0]
    half = with_half_towers(network)
    for name, value in half.state_dict().items():
        assert value.dtype == (torch.float16 if name.startswith("clip.") else torch.float32)
    assert half.decoder.film_mul.weight.data_ptr() == network.decoder.film_mul.weight.data_ptr()
    assert network.clip.logit_scale.dtype == torch.float32


def test_trial_image_has_edges_and_shades():
    image = trial_image()
    assert (image.shape, image.dtype) == ((256, 256, 3), np.uint8)
    assert len(np.unique(image)) > 200
    np.testing.assert_array_equal(image, trial_image())


def test_half_holds_for_the_bundled_checkpoint():
    network = CLIPSegForImageSegmentation.from_pretrained("demo")
    processor = load("demo", device="cpu")._processor
    inputs = processor(text=TRIAL_TEXT, images=trial_image())
    half = half_if_it_holds(Placed(network, CPU), inputs["input_ids"], inputs["pixel_values"])
    assert half.precision == "float16"
    sample = load_sample("shapes")
    one, other = (
        1 / (1 + np.exp(-e.decode(e.encode([sample.image]), e.embed(sample.prompts))))
        for e in (load("demo", device="cpu"), Engine(half.network, processor))
    )
    assert 0 < np.abs(one - other).max() < 0.03
    assert other.dtype == np.float32


def test_half_does_not_hold_for_a_model_that_exceeds_its_range(parts):
    network, processor, inputs = parts
    network.clip.vision_model.pre_layrnorm.weight.data *= 1e6
    assert half_if_it_holds(Placed(network, CPU), *inputs) is None
    engine = Engine(with_half_towers(network), processor)
    with pytest.raises(CheckpointError, match=r"not finite.*Load it with precision='float32'"):
        engine.decode(engine.encode([trial_image()]), engine.embed(["rings"]))


def test_half_does_not_hold_for_a_model_that_loses_its_digits(parts):
    network, _, inputs = parts
    network.decoder.transposed_convolution.weight.data *= 30  # small differences become large
    assert half_if_it_holds(Placed(network, CPU), *inputs) is None


def test_half_is_not_used_where_the_trial_needs_too_much_memory(parts, monkeypatch):
    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    network, _, inputs = parts
    monkeypatch.setattr(precision, "trial", full)
    assert half_if_it_holds(Placed(network, CPU), *inputs) is None


@pytest.fixture
def gpu(monkeypatch):
    """Make `load` find a GPU: what PyTorch takes for another device than "cpu", and computes on."""
    device = torch.device("cpu", 0)
    monkeypatch.setattr(devices, "pick_device", lambda _: device)
    return device


# name: the precision asked for, whether float16 holds, the engine's precision
ON_A_GPU = {
    "the best, and it holds": (None, True, "float16"),
    "the best, and it does not hold": (None, False, "float32"),
    "float32": ("float32", True, "float32"),
    "float16, and it holds": ("float16", True, "float16"),
}


@pytest.mark.parametrize(("asked", "half_holds", "wanted"), ON_A_GPU.values(), ids=ON_A_GPU)
def test_load_chooses_the_precision_on_a_gpu(asked, half_holds, wanted, gpu, folder, monkeypatch):
    monkeypatch.setattr(precision, "holds", lambda *_: half_holds)
    engine = load(folder, precision=asked)
    assert (engine.precision, engine.device) == (wanted, gpu)


def test_load_warns_where_float16_does_not_hold(gpu, folder, monkeypatch):
    monkeypatch.setattr(precision, "holds", lambda *_: False)
    with pytest.warns(
        DeviceWarning, match=r"other probabilities in float16 on cpu:0; it is loaded"
    ):
        engine = load(folder, precision="float16")
    assert engine.precision == "float32"


# name: precision, what the error says
REFUSED = {
    "float16 on a CPU": ("float16", r"'float16' is for a GPU, and the device is 'cpu'\. Leave"),
    "an unknown one": ("half", "precision is 'half'; wanted one of 'float32', 'float16', 'int8'"),
}


@pytest.mark.parametrize(("asked", "says"), REFUSED.values(), ids=REFUSED)
def test_load_refuses_a_precision(asked, says, folder):
    with pytest.raises(ValueError, match=says):
        load(folder, device="cpu", precision=asked)
