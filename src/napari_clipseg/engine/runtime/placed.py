"""A network and where it lies, and copies of it that are of another kind or lie elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.int8 import Int8Linear


@dataclass(frozen=True)
class Placed:
    """A network and its device: one value, so that no thread sees halves of two.

    Attributes
    ----------
    network : CLIPSegForImageSegmentation
        The network.
    device : torch.device
        Where all of it lies.
    """

    network: CLIPSegForImageSegmentation
    device: torch.device

    @property
    def precision(self) -> str:
        """Numbers that the vision tower multiplies: "float32", "float16" or "int8"."""
        fast = any(isinstance(layer, Int8Linear) for layer in self.network.modules())
        return "int8" if fast else str(self.dtype).removeprefix("torch.")

    @property
    def dtype(self) -> torch.dtype:
        """What the towers take pictures as."""
        return self.network.clip.vision_model.embeddings.patch_embedding.weight.dtype


def converted(
    network: CLIPSegForImageSegmentation, convert: Callable[[str, Tensor], Tensor]
) -> CLIPSegForImageSegmentation:
    """Return a copy of which each tensor is ``convert(name, tensor)``; what that leaves is shared.

    Nothing is allocated besides what ``convert`` does.
    """
    with torch.device("meta"):
        copy = CLIPSegForImageSegmentation(network.config)
    state = {name: convert(name, tensor) for name, tensor in network.state_dict().items()}
    copy.load_state_dict(state, strict=True, assign=True)
    return copy.eval()
