from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_clipseg.engine.engine import Engine, halved, load, trial
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.engine.runtime.precision import (
    TOLERANCE,
    holds,
    trial_picture,
    with_half_towers,
)
from napari_clipseg.sample_data import load_sample


def logit(probability):
    return np.log(probability / (1 - probability)).astype(np.float32)


FULL = logit(np.array([0.01, 0.5, 0.99]))
# name: logits in half precision, whether they hold
TRIALS = {
    "the same": (FULL, True),
    "within a step of the slider": (logit(np.array([0.01, 0.508, 0.99])), True),
    "beyond it": (logit(np.array([0.01, 0.512, 0.99])), False),
    "large logits that differ much": (FULL * [1, 1, 1] + [-50, 0, 50], True),
    "one that is far off": (FULL * [1, 1, -1], False),
}


@pytest.mark.parametrize(("changed", "wanted"), [(1, True), (2, True), (3, False)])
def test_one_pixel_in_a_thousand_may_change_more(changed, wanted):
    full = np.zeros(2000, np.float32)
    half = full.copy()
    half[:changed] = 1
    assert holds(full, half) is wanted


@pytest.mark.parametrize(("half", "wanted"), TRIALS.values(), ids=TRIALS)
def test_half_holds_where_probabilities_stay(half, wanted):
    assert TOLERANCE == 0.01
    assert holds(FULL, half) is wanted


def test_only_the_towers_are_half(checkpoint):
    network = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    half = with_half_towers(network)
    for name, value in half.state_dict().items():
        assert value.dtype == (torch.float16 if name.startswith("clip.") else torch.float32)
    assert half.decoder.film_mul.weight.data_ptr() == network.decoder.film_mul.weight.data_ptr()
    assert network.clip.logit_scale.dtype == torch.float32


def test_the_trial_shows_edges_and_shades():
    picture = trial_picture()
    assert (picture.shape, picture.dtype) == ((256, 256, 3), np.uint8)
    assert len(np.unique(picture)) > 200
    np.testing.assert_array_equal(picture, trial_picture())


def test_half_holds_for_the_bundled_checkpoint():
    full = load("demo", device="cpu")
    half = halved(full)
    assert half is not full
    assert (full.precision, half.precision) == ("float32", "float16")
    sample = load_sample("shapes")
    one, other = (
        1 / (1 + np.exp(-e.decode(e.encode([sample.image]), e.embed(sample.prompts))))
        for e in (full, half)
    )
    assert 0 < np.abs(one - other).max() < 0.03
    assert other.dtype == np.float32


def test_a_model_that_leaves_the_range_stays_in_full_precision(checkpoint):
    network = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    network.clip.vision_model.pre_layrnorm.weight.data *= 1e6
    processor = CLIPSegProcessor.from_pretrained(checkpoint("small"))
    full = Engine(network, processor)
    assert halved(full) is full
    with pytest.raises(CheckpointError, match=r"no numbers.*Load it with half=False"):
        trial(Engine(with_half_towers(network), processor))


def test_a_model_that_loses_its_digits_stays_in_full_precision(checkpoint):
    network = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    network.decoder.transposed_convolution.weight.data *= 30  # small differences become large
    full = Engine(network, CLIPSegProcessor.from_pretrained(checkpoint("small")))
    assert halved(full) is full
