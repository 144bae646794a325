"""A network on a device, given so much at once as the device's memory holds."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from napari_clipseg.engine.runtime.devices import CPU, give_back_memory, is_out_of_memory
from napari_clipseg.engine.errors import DeviceWarning
from napari_clipseg.engine.runtime.placed import Placed, converted

Result = TypeVar("Result")


@dataclass(frozen=True)
class Work:
    """A kind of things that a network is run on, and how many of them at once at the most.

    Attributes
    ----------
    things : str
        What they are, in the plural.
    cpu, gpu : int
        The most at once on the CPU, and elsewhere.
    """

    things: str
    cpu: int
    gpu: int


# One picture keeps the cores of a CPU busy, and what a block leaves in their caches is still there
# for the next. In a public checkpoint a picture takes about 30 MB, an answer 10 MB.
PICTURES = Work("pictures", cpu=1, gpu=32)
TEXTS = Work("texts", cpu=32, gpu=512)
ANSWERS = Work("answers", cpu=4, gpu=64)


class Batches:
    """Run steps on a network, on fewer things at once each time that memory runs out.

    When one thing alone is too much for the device, the network moves to the CPU, for good.
    Both are told as a `DeviceWarning`. Safe from several threads: a step that another thread
    runs on the device while the network moves is finished there.

    Parameters
    ----------
    placed : Placed
        What to run.
    name : str
        Of the checkpoint, for errors.
    forget : callable
        Called when memory ran out, to let go of what can be had again.
    """

    def __init__(
        self, placed: Placed, name: str = "", forget: Callable[[], None] = lambda: None
    ) -> None:
        self._placed: Placed | None = placed
        self._name = name
        self._forget = forget
        self._lock = threading.Lock()
        # What was too much once would be too much again.
        self._most: dict[Work, int] = {}

    @property
    def placed(self) -> Placed:
        """The network and its device, as they are now.

        Raises
        ------
        RuntimeError
            After `unload`.
        """
        placed = self._placed  # one look: another thread may unload in between
        if placed is None:
            raise RuntimeError(
                f"The engine of {self._name!r} was unloaded. Load it again with load()."
            )
        return placed

    def unload(self) -> None:
        """Let go of the network, and give its memory back."""
        with self._lock:
            placed, self._placed = self._placed, None
        if placed is not None:
            device = placed.device
            del placed
            give_back_memory(device)

    def run(
        self, work: Work, step: Callable[[Placed, slice], Result], total: int
    ) -> Iterator[tuple[slice, Result]]:
        """Yield the results of ``step`` on slices that cover ``total`` things, in order.

        Parameters
        ----------
        work : Work
            What the things are.
        step : callable
            Gets the network and a slice; no gradients are kept.
        total : int
            How many things there are. For none, one empty slice is run.
        """
        start, first = 0, True
        while start < total or first:
            placed = self.placed
            size = work.cpu if placed.device.type == "cpu" else work.gpu
            part = slice(start, min(start + self._most.get(work, size), total))
            try:
                with torch.inference_mode():
                    result = step(placed, part)
            except RuntimeError as error:
                if not is_out_of_memory(error) or placed.device == CPU:
                    raise
                full = True
            else:
                full = False
            # Not within `except`: the traceback holds on to the tensors that are to be freed.
            if full:
                self._retreat(placed, work, part)
            else:
                yield part, result
                start, first = part.stop, False

    def each(
        self, work: Work, step: Callable[[Placed, slice], list[Result]], total: int
    ) -> list[Result]:
        """Return what ``step`` gives for each thing, in order."""
        runs = self.run(work, step, total) if total else ()
        return [one for _, some in runs for one in some]

    def _retreat(self, placed: Placed, work: Work, part: slice) -> None:
        """Make the next try smaller than ``part``, or put it on the CPU."""
        self._forget()
        give_back_memory(placed.device)
        count = part.stop - part.start
        with self._lock:
            if count > 1:
                self._most[work] = min(count // 2, self._most.get(work, count))
                change = f"computes at most {self._most[work]} {work.things} at once from now on"
            elif self._placed is placed:
                network = converted(placed.network, lambda _, x: x.cpu().float())
                self._placed = Placed(network, CPU)
                change = "goes on on the CPU, which takes longer"
            else:
                return  # another thread has moved it, or unloaded
        give_back_memory(placed.device)
        warnings.warn(
            f"The memory of {placed.device} is full: napari-clipseg {change}. To have its whole "
            f"speed, close what else uses that memory, and start again.",
            DeviceWarning,
            stacklevel=2,
        )
