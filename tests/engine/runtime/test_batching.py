"""Fewer at once where memory runs out, then the CPU; a stub stands for the device."""

from __future__ import annotations

import warnings

import pytest
import torch
from napari_clipseg.engine.runtime.placed import Placed

from napari_clipseg.engine.errors import DeviceWarning
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.batching import Batches, Work
from napari_clipseg.engine.runtime.devices import CPU

# What PyTorch takes for another device than "cpu", and computes on: a GPU for these tests.
ACCELERATOR = torch.device("cpu", 0)
THINGS = Work("things", cpu=8, gpu=8)


@pytest.fixture
def network(checkpoint):
    return CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))


class Device:
    """A step that fits ``room`` things; it keeps the sizes that it was called with."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes = []

    def __call__(self, placed: Placed, part: slice) -> list[int]:
        count = part.stop - part.start
        self.sizes.append(count)
        if placed.device == ACCELERATOR and count > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return list(range(part.start, part.stop))


@pytest.mark.parametrize(("total", "sizes"), [(3, [3]), (8, [8]), (20, [8, 8, 4]), (1, [1])])
@pytest.mark.parametrize("device", [CPU, ACCELERATOR])
def test_what_fits_is_run_in_order(total, sizes, device, network):
    step = Device(room=8)
    assert Batches(Placed(network, device)).each(THINGS, step, total) == list(range(total))
    assert step.sizes == sizes


def test_nothing_is_run_for_nothing(network):
    step = Device(room=8)
    assert Batches(Placed(network, CPU)).each(THINGS, step, 0) == []
    assert step.sizes == []
    assert list(Batches(Placed(network, CPU)).run(THINGS, step, 0)) == [(slice(0, 0), [])]


def test_batches_are_halved_until_they_fit_and_stay_so(network):
    forgotten = []
    batches = Batches(Placed(network, ACCELERATOR), forget=lambda: forgotten.append(1))
    step = Device(room=3)
    with pytest.warns(DeviceWarning) as told:
        assert batches.each(THINGS, step, 10) == list(range(10))
    assert step.sizes == [8, 4, 2, 2, 2, 2, 2]
    assert [str(one.message) for one in told] == [
        f"The memory of cpu:0 is full: napari-clipseg computes at most {size} things at once from "
        f"now on. To have its whole speed, close what else uses that memory, and start again."
        for size in (4, 2)
    ]
    assert len(forgotten) == 2
    step.sizes.clear()
    assert batches.each(THINGS, step, 4) == list(range(4))  # no warning: they are errors here
    assert step.sizes == [2, 2]
    assert batches.placed.device == ACCELERATOR


def test_other_work_keeps_its_size(network):
    batches = Batches(Placed(network, ACCELERATOR))
    with pytest.warns(DeviceWarning):
        batches.each(THINGS, Device(room=1), 8)
    step = Device(room=8)
    batches.each(Work("others", cpu=8, gpu=8), step, 8)
    assert step.sizes == [8]


def test_what_is_too_much_alone_is_done_on_the_cpu(network):
    halved = network.half()
    batches = Batches(Placed(halved, ACCELERATOR))
    with pytest.warns(DeviceWarning) as told:
        assert batches.each(THINGS, Device(room=0), 3) == [0, 1, 2]
    assert "goes on on the CPU, which takes longer" in str(told[-1].message)
    placed = batches.placed
    assert placed.device == CPU
    assert placed.network is not halved  # another thread may still run it where it is
    for name, value in placed.network.state_dict().items():
        assert (value.device, value.dtype) == (CPU, torch.float32)
        torch.testing.assert_close(value, halved.state_dict()[name].float())


def test_a_full_cpu_is_an_error(network):
    def step(placed, part):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        Batches(Placed(network, CPU)).each(THINGS, step, 4)


def test_other_errors_are_not_taken_for_a_full_device(network):
    calls = []

    def step(placed, part):
        calls.append(part)
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Batches(Placed(network, ACCELERATOR)).each(THINGS, step, 4)
    assert len(calls) == 1


def test_who_comes_after_the_move_says_nothing_more(network):
    """Two threads fill the device at once: the first moves the network, the second follows."""
    batches = Batches(Placed(network, ACCELERATOR))
    before = batches.placed

    def step(placed, part):
        if placed is before and batches.placed is before:
            with warnings.catch_warnings():  # the other thread's warning
                warnings.simplefilter("ignore", DeviceWarning)
                batches.each(THINGS, Device(room=0), 1)
        if placed is before:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return [placed.device]

    assert batches.each(THINGS, step, 1) == [CPU]


def test_no_gradients_are_kept(network):
    seen = []
    Batches(Placed(network, CPU)).each(
        THINGS, lambda placed, part: [seen.append(torch.is_grad_enabled())], 1
    )
    assert seen == [False]
    assert torch.is_grad_enabled()


def test_after_unloading_it_says_the_cure(network):
    batches = Batches(Placed(network, CPU), name="demo")
    batches.unload()
    with pytest.raises(RuntimeError, match=r"engine of 'demo' was unloaded.*load\(\)"):
        batches.each(THINGS, Device(room=8), 1)
    batches.unload()  # twice does no harm
