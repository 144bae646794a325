from __future__ import annotations

import torch

from napari_clipseg.engine.runtime.devices import CPU
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.placed import Placed, converted


def test_a_converted_copy_shares_what_is_left_as_it_is(checkpoint):
    network = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    copy = converted(network, lambda name, x: x.double() if "film_mul" in name else x)
    before = network.state_dict()
    for name, now in copy.state_dict().items():
        assert now.dtype == (torch.float64 if "film_mul" in name else torch.float32)
        assert (now.data_ptr() == before[name].data_ptr()) == ("film_mul" not in name)
    assert not copy.training


def test_what_pictures_are_taken_as(checkpoint):
    network = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    assert Placed(network, CPU).dtype == torch.float32
    assert Placed(converted(network, lambda _, x: x.half()), CPU).dtype == torch.float16
