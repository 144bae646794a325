"""Smaller batches where memory runs out, then the CPU; a stub stands for the device."""

from __future__ import annotations

import warnings

import pytest
import torch

from napari_clipseg.engine.errors import DeviceWarning
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.batching import IMAGES, Batches, Placed, Work, converted
from napari_clipseg.engine.runtime.devices import CPU
from napari_clipseg.engine.runtime.kernels import OneDnnLinear

# What PyTorch takes for another device than "cpu", and computes on: a GPU for these tests.
ACCELERATOR = torch.device("cpu", 0)
ITEMS = Work("items", cpu=8, gpu=8)


@pytest.fixture
def network(checkpoint):
    return CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))


class Device:
    """A step that fits ``room`` items; it records the sizes that it was called with."""

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
def test_each_runs_batches_in_order(total, sizes, device, network):
    step = Device(room=8)
    assert Batches(Placed(network, device)).each(ITEMS, step, total) == list(range(total))
    assert step.sizes == sizes


def test_each_runs_nothing_for_no_items(network):
    step = Device(room=8)
    assert Batches(Placed(network, CPU)).each(ITEMS, step, 0) == []
    assert step.sizes == []
    assert list(Batches(Placed(network, CPU)).run(ITEMS, step, 0)) == [(slice(0, 0), [])]


def test_each_halves_batches_until_they_fit(network):
    cleared = []
    batches = Batches(Placed(network, ACCELERATOR), clear_cache=lambda: cleared.append(1))
    step = Device(room=3)
    with pytest.warns(DeviceWarning) as told:
        assert batches.each(ITEMS, step, 10) == list(range(10))
    assert step.sizes == [8, 4, 2, 2, 2, 2, 2]
    assert [str(one.message) for one in told] == [
        f"The memory of cpu:0 is full: napari-clipseg computes at most {size} items at once from "
        f"now on. For full speed, close other programs that use this memory, and start again."
        for size in (4, 2)
    ]
    assert len(cleared) == 2
    step.sizes.clear()
    assert batches.each(ITEMS, step, 4) == list(range(4))  # no warning: they are errors here
    assert step.sizes == [2, 2]
    assert batches.size(ITEMS) == 2
    assert batches.placed.device == ACCELERATOR


def test_each_keeps_the_size_of_other_work(network):
    batches = Batches(Placed(network, ACCELERATOR))
    with pytest.warns(DeviceWarning):
        batches.each(ITEMS, Device(room=1), 8)
    step = Device(room=8)
    batches.each(Work("others", cpu=8, gpu=8), step, 8)
    assert step.sizes == [8]


def test_each_moves_to_the_cpu_when_one_item_is_too_much(network):
    halved = network.half()
    batches = Batches(Placed(halved, ACCELERATOR))
    with pytest.warns(DeviceWarning) as told:
        assert batches.each(ITEMS, Device(room=0), 3) == [0, 1, 2]
    assert "continues on the CPU, which takes longer" in str(told[-1].message)
    placed = batches.placed
    assert placed.device == CPU
    assert placed.network is not halved  # another thread may still run it where it is
    for name, value in placed.network.state_dict().items():
        assert (value.device, value.dtype) == (CPU, torch.float32)
        torch.testing.assert_close(value, halved.state_dict()[name].float())


def test_each_raises_when_the_cpu_is_full(network):
    def step(placed, part):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        Batches(Placed(network, CPU)).each(ITEMS, step, 4)


def test_each_raises_other_errors(network):
    calls = []

    def step(placed, part):
        calls.append(part)
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Batches(Placed(network, ACCELERATOR)).each(ITEMS, step, 4)
    assert len(calls) == 1


def test_each_warns_once_when_two_threads_fill_the_device(network):
    """Two threads fill the device at once: the first moves the network, the second follows."""
    batches = Batches(Placed(network, ACCELERATOR))
    before = batches.placed

    def step(placed, part):
        if placed is before and batches.placed is before:
            with warnings.catch_warnings():  # the other thread's warning
                warnings.simplefilter("ignore", DeviceWarning)
                batches.each(ITEMS, Device(room=0), 1)
        if placed is before:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return [placed.device]

    assert batches.each(ITEMS, step, 1) == [CPU]


def test_each_runs_without_gradients(network):
    seen = []
    Batches(Placed(network, CPU)).each(
        ITEMS, lambda placed, part: [seen.append(torch.is_grad_enabled())], 1
    )
    assert seen == [False]
    assert torch.is_grad_enabled()


def test_placed_raises_after_unload(network):
    batches = Batches(Placed(network, CPU), name="demo")
    batches.unload()
    with pytest.raises(RuntimeError, match=r"engine of 'demo' was unloaded.*load\(\)"):
        batches.each(ITEMS, Device(room=8), 1)
    batches.unload()  # twice does no harm


class Gpu:
    """A device of another type than "cpu", by its name."""

    type = "cuda"


def test_size_is_what_a_device_takes_and_what_its_memory_holds(network):
    assert Batches(Placed(network, CPU)).size(IMAGES) == 1
    batches = Batches(Placed(network, Gpu()))
    assert batches.size(IMAGES) == 32
    batches._limits[IMAGES] = 8
    assert batches.size(IMAGES) == 8
    batches._placed = Placed(network, CPU)  # as after a move to the CPU
    assert batches.size(IMAGES) == 1


def test_converted_shares_what_is_left_as_it_is(network):
    copy = converted(network, lambda name, x: x.double() if "film_mul" in name else x)
    before = network.state_dict()
    for name, now in copy.state_dict().items():
        assert now.dtype == (torch.float64 if "film_mul" in name else torch.float32)
        assert (now.data_ptr() == before[name].data_ptr()) == ("film_mul" not in name)
    assert not copy.training
    assert type(copy.decoder.film_mul) is OneDnnLinear


def test_dtype_is_that_in_which_images_are_taken(network):
    assert Placed(network, CPU).dtype == torch.float32
    assert Placed(converted(network, lambda _, x: x.half()), CPU).dtype == torch.float16
