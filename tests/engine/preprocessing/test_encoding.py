from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from transformers import BatchEncoding as ReferenceEncoding

from napari_clipseg.engine.preprocessing.encoding import BatchEncoding


@pytest.fixture
def encoding():
    return BatchEncoding(input_ids=torch.tensor([[1, 2]]), pixel_values=torch.zeros(1, 3, 4, 4))


def test_encoding_is_a_mapping_with_attributes(encoding):
    assert encoding.input_ids is encoding["input_ids"]
    assert dict(**encoding).keys() == {"input_ids", "pixel_values"}
    encoding.labels = torch.ones(1)
    assert encoding["labels"] is encoding.labels
    for again in (copy.deepcopy(encoding), pickle.loads(pickle.dumps(encoding))):
        assert isinstance(again, BatchEncoding)
        assert again.keys() == encoding.keys()
        assert torch.equal(again.input_ids, encoding.input_ids)


def test_encoding_names_what_it_has(encoding):
    with pytest.raises(AttributeError, match="no pixels; this encoding has input_ids, pixel_val"):
        _ = encoding.pixels
    with pytest.raises(AttributeError, match="this encoding has none"):
        _ = BatchEncoding().pixels
    assert not hasattr(encoding, "labels")


# name: arguments of to
MOVES = {
    "a device": ("meta",),
    "a device of torch": (torch.device("meta"),),
    "a device and a type": ("meta", torch.float16),
    "a type": (torch.bfloat16,),
    "the type it has": ("cpu", torch.float32),
    "nothing": (),
}


@pytest.mark.parametrize("arguments", MOVES.values(), ids=MOVES)
def test_to_moves_all_and_converts_floats(arguments, encoding):
    wanted = dict(encoding)
    assert encoding.to(*arguments) is encoding
    kinds = [x for x in arguments if isinstance(x, torch.dtype)]
    devices = [x for x in arguments if not isinstance(x, torch.dtype)]
    for name, tensor in encoding.items():
        floats = name == "pixel_values"
        assert tensor.dtype == (kinds[0] if kinds and floats else wanted[name].dtype)
        assert tensor.device == (torch.device(devices[0]) if devices else wanted[name].device)


def test_to_by_name_does_as_the_reference(encoding):
    theirs = ReferenceEncoding(dict(encoding)).to("meta")
    ours = encoding.to(device="meta")
    assert {n: x.device for n, x in ours.items()} == {n: x.device for n, x in theirs.items()}


@pytest.mark.parametrize("values", [[1, 2], np.zeros(2)], ids=["lists", "arrays"])
def test_to_refuses_what_is_no_tensor(values):
    with pytest.raises(TypeError, match=r"input_ids is of type .*; only .* return_tensors='pt'"):
        BatchEncoding(input_ids=values).to("cpu")
