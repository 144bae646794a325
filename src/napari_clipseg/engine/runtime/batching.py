"""A network on a device, given as much at once as the device's memory holds."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_clipseg.engine.errors import DeviceWarning
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.devices import CPU, is_out_of_memory, release_memory
from napari_clipseg.engine.runtime.int8 import Int8Linear
from napari_clipseg.engine.runtime.kernels import use_fast_kernels

Result = TypeVar("Result")


@dataclass(frozen=True)
class Placed:
    """A network and its device: one value, so that a thread never sees a mixture of two.

    Attributes
    ----------
    network : CLIPSegForImageSegmentation
        The network; its towers may have another precision than its decoder.
    device : torch.device
        Where all of it is.
    """

    network: CLIPSegForImageSegmentation
    device: torch.device

    @property
    def precision(self) -> str:
        """Numbers that the vision tower multiplies: "float32", "float16" or "int8"."""
        int8 = any(isinstance(layer, Int8Linear) for layer in self.network.modules())
        return "int8" if int8 else str(self.dtype).removeprefix("torch.")

    @property
    def dtype(self) -> torch.dtype:
        """Type in which the vision tower takes images."""
        return self.network.clip.vision_model.embeddings.patch_embedding.weight.dtype

    def reduce(self, pixels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Run vision tower and reduction on ``(images, 3, height, width)``.

        Returns
        -------
        tuple of Tensor
            ``(images, 1 + patches, reduce_dim)`` for each decoder block, float32.
        tuple of int
            Rows and columns of patches.
        """
        vision = self.network.clip.vision_model
        x = pixels.to(self.device, self.dtype)
        activations = vision.activations(x, self.network.config.extract_layers)
        reduced = self.network.decoder.reduce([activation.float() for activation in activations])
        return tuple(reduced), vision.embeddings.grid(*x.shape[-2:])

    def text_vectors(self, ids: Tensor) -> NDArray[np.float32]:
        """Turn token ids ``(texts, tokens)`` into vectors ``(texts, projection_dim)``."""
        return _to_numpy(self.network.clip.get_text_features(ids.to(self.device)))

    def image_vectors(self, pixels: Tensor) -> NDArray[np.float32]:
        """Turn ``(images, 3, height, width)`` into vectors ``(images, projection_dim)``."""
        return _to_numpy(self.network.clip.get_image_features(pixels.to(self.device, self.dtype)))

    def logits(
        self, reduced: Sequence[Tensor], vectors: Tensor, grid: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Run the decoder: one vector for each image, to logits ``(batch, height, width)``."""
        reduced = [x.to(self.device) for x in reduced]
        return _to_numpy(self.network.decoder.segment(reduced, vectors.to(self.device), grid))


def _to_numpy(x: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = x.float().cpu().numpy()
    return array


def converted(
    network: CLIPSegForImageSegmentation, convert: Callable[[str, Tensor], Tensor]
) -> CLIPSegForImageSegmentation:
    """Return a copy in which each tensor is ``convert(name, tensor)``.

    Tensors that ``convert`` returns unchanged are shared, not copied.
    """
    with torch.device("meta"):
        copy = CLIPSegForImageSegmentation(network.config)
    state = {name: convert(name, tensor) for name, tensor in network.state_dict().items()}
    copy.load_state_dict(state, strict=True, assign=True)
    use_fast_kernels(copy)
    return copy.eval()


@dataclass(frozen=True)
class Work:
    """A kind of items that a network is run on, and how many of them at once at most.

    Attributes
    ----------
    items : str
        What they are, in the plural.
    cpu, gpu : int
        How many at once at most on the CPU, and on other devices.
    """

    items: str
    cpu: int
    gpu: int


# A single image keeps all cores of a CPU busy, and the results of a block are still in their caches
# for the next block. In a public checkpoint an image takes about 30 MB, a map 10 MB.
IMAGES = Work("images", cpu=1, gpu=32)
TEXTS = Work("texts", cpu=32, gpu=512)
MAPS = Work("maps", cpu=4, gpu=64)


class Batches:
    """Run steps on a network in batches, which become smaller each time that memory runs out.

    When a single item needs too much memory, the network moves to the CPU and stays there.
    Both cause a `DeviceWarning`. Safe from several threads: a step that another thread runs on
    the device while the network moves is finished there.

    Parameters
    ----------
    placed : Placed
        What to run.
    name : str
        Of the checkpoint, for errors.
    clear_cache : callable
        Called when memory ran out, to free what can be computed again.
    """

    def __init__(
        self, placed: Placed, name: str = "", clear_cache: Callable[[], None] = lambda: None
    ) -> None:
        self._placed: Placed | None = placed
        self._name = name
        self._clear_cache = clear_cache
        self._lock = threading.Lock()
        # A batch that was too large once would be too large again.
        self._limits: dict[Work, int] = {}

    @property
    def loaded(self) -> bool:
        """Whether there is a network: false after `unload`."""
        return self._placed is not None

    @property
    def placed(self) -> Placed:
        """The network and its device, as they are now.

        Raises
        ------
        RuntimeError
            After `unload`.
        """
        placed = self._placed  # read once: another thread may unload in between
        if placed is None:
            raise RuntimeError(
                f"The engine of {self._name!r} was unloaded. Load it again with load()."
            )
        return placed

    def size(self, work: Work) -> int:
        """Return how many items are run at once at most, as things are now."""
        size = work.cpu if self.placed.device.type == "cpu" else work.gpu
        return min(size, self._limits.get(work, size))

    def unload(self) -> None:
        """Drop the network, and release its memory."""
        with self._lock:
            placed, self._placed = self._placed, None
        if placed is not None:
            device = placed.device
            del placed
            release_memory(device)

    def run(
        self, work: Work, step: Callable[[Placed, slice], Result], total: int
    ) -> Iterator[tuple[slice, Result]]:
        """Yield the results of ``step`` on slices that cover ``total`` items, in order.

        Parameters
        ----------
        work : Work
            What the items are.
        step : callable
            Gets the network and a slice; run without gradients.
        total : int
            How many items there are. With 0, one empty slice is run.
        """
        start, first = 0, True
        while start < total or first:
            placed = self.placed
            part = slice(start, min(start + self.size(work), total))
            try:
                with torch.inference_mode():
                    result = step(placed, part)
            except RuntimeError as error:
                if not is_out_of_memory(error) or placed.device == CPU:
                    raise
                full = True
            else:
                full = False
            # Not in `except`: the traceback holds references to the tensors that must be freed.
            if full:
                self._reduce(placed, work, part)
            else:
                yield part, result
                start, first = part.stop, False

    def each(
        self, work: Work, step: Callable[[Placed, slice], Sequence[Result]], total: int
    ) -> list[Result]:
        """Return what ``step`` gives for each item, in order; nothing is run for 0 items."""
        runs = self.run(work, step, total) if total else ()
        return [one for _, results in runs for one in results]

    def _reduce(self, placed: Placed, work: Work, part: slice) -> None:
        """Make the next batch smaller than ``part``, or move the network to the CPU."""
        self._clear_cache()
        release_memory(placed.device)
        count = part.stop - part.start
        with self._lock:
            if count > 1:
                limit = min(count // 2, self._limits.get(work, count))
                self._limits[work] = limit
                change = f"computes at most {limit} {work.items} at once from now on"
            elif self._placed is placed:
                network = converted(placed.network, lambda _, x: x.cpu().float())
                self._placed = Placed(network, CPU)
                change = "continues on the CPU, which takes longer"
            else:
                return  # another thread has moved or unloaded it
        release_memory(placed.device)
        warnings.warn(
            f"The memory of {placed.device} is full: napari-clipseg {change}. For full speed, "
            f"close other programs that use this memory, and start again.",
            DeviceWarning,
            stacklevel=2,
        )
