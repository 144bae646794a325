from __future__ import annotations

import pytest
import torch

from napari_clipseg.engine.runtime.devices import is_out_of_memory, pick_device, release_memory


@pytest.fixture
def machine(monkeypatch):
    """Make PyTorch say that it finds these devices."""

    def make(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


# name: devices that are there, what is asked for, what is picked
PICKED = {
    "CPU alone": ({}, None, "cpu"),
    "CUDA": ({"cuda": 1}, None, "cuda"),
    "MPS": ({"mps": True}, None, "mps"),
    "the CPU by name": ({"cuda": 1}, "cpu", "cpu"),
    "one of two": ({"cuda": 2}, "cuda:1", "cuda:1"),
    "as torch names it": ({"mps": True}, torch.device("mps"), "mps"),
}


@pytest.mark.parametrize(("there", "asked", "picked"), PICKED.values(), ids=PICKED)
def test_pick_device(there, asked, picked, machine):
    machine(**there)
    assert pick_device(asked) == torch.device(picked)


# name: devices that are there, what is asked for, what is said
REFUSED = {
    "no CUDA": ({}, "cuda", r"no device 'cuda' here; there is \['cpu'\]"),
    "no MPS": ({"cuda": 1}, "mps", r"no device 'mps' here; there is \['cuda', 'cpu'\]"),
    "a third of two": ({"cuda": 2}, "cuda:2", r"no device 'cuda:2' here; .* is cuda:1"),
    "no device at all": ({}, "gpu", "no device 'gpu' here"),
    "one that holds nothing": ({}, "meta", "no device 'meta' here"),
}


@pytest.mark.parametrize(("there", "asked", "says"), REFUSED.values(), ids=REFUSED)
def test_pick_device_refuses_devices_that_are_not_there(there, asked, says, machine):
    machine(**there)
    with pytest.raises(ValueError, match=says):
        pick_device(asked)


# name: an error, whether a device is full
ERRORS = {
    "CUDA": (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
    "MPS": (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
    "another of PyTorch": (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    "not of PyTorch": (ValueError("MPS backend out of memory"), False),
}


@pytest.mark.parametrize(("error", "full"), ERRORS.values(), ids=ERRORS)
def test_is_out_of_memory(error, full):
    assert is_out_of_memory(error) is full


@pytest.mark.parametrize(("device", "called"), [("cuda", ["cuda"]), ("mps", ["mps"]), ("cpu", [])])
def test_release_memory_of_the_device_that_holds_it(device, called, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("cuda"))
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: calls.append("mps"))
    release_memory(torch.device(device))
    assert calls == called
