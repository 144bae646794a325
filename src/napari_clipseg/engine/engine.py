"""The engine: pictures and prompts in, maps of logits out; numpy on both sides."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_clipseg.engine.config import CLIPSegConfig
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.hub import locate
from napari_clipseg.engine.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.processor import CLIPSegProcessor

Prompt = str | NDArray[np.uint8]


@dataclass(frozen=True)
class Features:
    """All that the decoder needs of some pictures, whatever the prompt will be.

    Attributes
    ----------
    reduced : tuple of Tensor
        One ``(pictures, 1 + patches, reduce_dim)`` a decoder block.
    grid : tuple of int
        Rows and columns of patches.
    """

    reduced: tuple[Tensor, ...]
    grid: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.reduced[0])


class Engine:
    """A loaded checkpoint that answers prompts: encode once, then decode for each prompt.

    Parameters
    ----------
    model : CLIPSegForImageSegmentation
        The network.
    processor : CLIPSegProcessor
        How its texts and pictures are prepared.
    name : str
        What was asked for when it was loaded; recorded with results.
    device : torch.device
        Where it computes.

    Examples
    --------
    >>> engine = load("demo")  # doctest: +SKIP
    >>> features = engine.encode([picture])  # doctest: +SKIP
    >>> logits = engine.decode(features, engine.embed(["red rings"]))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        processor: CLIPSegProcessor,
        name: str = "",
        device: torch.device | None = None,
    ) -> None:
        self.name = name
        self.device = device or torch.device("cpu")
        self._model = model.to(self.device).eval()
        self._processor = processor

    @property
    def config(self) -> CLIPSegConfig:
        """What the model is made of."""
        return self._model.config

    @torch.inference_mode()
    def encode(self, pictures: Sequence[NDArray[np.uint8]]) -> Features:
        """Look at pictures once.

        Parameters
        ----------
        pictures : sequence of ndarray of uint8
            ``(height, width, 3)`` each; each is brought to the model's square.

        Returns
        -------
        Features
            To be given to `decode`, any number of times.
        """
        pixels = self._processor(images=list(pictures))["pixel_values"].to(self.device)
        vision, config = self._model.clip.vision_model, self._model.config
        activations = vision.activations(pixels, config.extract_layers)
        grid = vision.embeddings.grid(pixels.shape[-2], pixels.shape[-1])
        return Features(tuple(self._model.decoder.reduce(activations)), grid)

    @torch.inference_mode()
    def embed(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Turn prompts into vectors.

        Parameters
        ----------
        prompts : sequence of str or ndarray of uint8
            Texts, and reference pictures of shape ``(height, width, 3)``, in any order.

        Returns
        -------
        ndarray of float32
            ``(prompts, projection_dim)``.

        Raises
        ------
        ValueError
            If there is no prompt, a text is blank or too long, or a picture of another kind.
        """
        if not prompts:
            raise ValueError("Got no prompt; give a text or a reference image.")
        rows = [self._embed_one(prompt) for prompt in prompts]
        vectors: NDArray[np.float32] = torch.cat(rows).float().cpu().numpy()
        return vectors

    def _embed_one(self, prompt: Prompt) -> Tensor:
        if isinstance(prompt, str):
            if not prompt.strip():
                raise ValueError("Got a blank prompt; write what to look for, such as 'nuclei'.")
            tensors = self._processor(text=prompt)
        else:
            tensors = self._processor(visual_prompt=prompt)
        tensors = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        return self._model.get_conditional_embeddings(**tensors)

    @torch.inference_mode()
    def decode(self, features: Features, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answer all prompts on all pictures.

        Parameters
        ----------
        features : Features
            Of `encode`.
        embeddings : ndarray
            ``(prompts, projection_dim)``, of `embed`.

        Returns
        -------
        ndarray of float32
            ``(pictures, prompts, height, width)`` logits, of the model's square.

        Raises
        ------
        ValueError
            If the vectors are of another length than the model's.
        CheckpointError
            If the model's answer is not finite.
        """
        wanted = self.config.projection_dim
        if embeddings.ndim != 2 or embeddings.shape[1] != wanted:
            raise ValueError(
                f"Got embeddings of shape {embeddings.shape}; wanted (prompts, {wanted}), "
                f"as embed() of the same engine gives them."
            )
        pictures, prompts = len(features), len(embeddings)
        vectors = torch.from_numpy(np.asarray(embeddings, np.float32)).to(self.device)
        # Every picture meets every prompt: picture by picture, the prompts of each in order.
        reduced = [x.repeat_interleave(prompts, dim=0) for x in features.reduced]
        logits = self._model.decoder.segment(reduced, vectors.repeat(pictures, 1), features.grid)
        maps: NDArray[np.float32] = logits.float().cpu().numpy()
        if not np.isfinite(maps).all():
            raise CheckpointError(
                f"The model {self.name!r} answered with values that are no numbers: its weights "
                f"are damaged. Get the checkpoint's files again."
            )
        return maps.reshape(pictures, prompts, *maps.shape[1:])


_loaded: dict[tuple[Path, str], Engine] = {}
_loading = threading.Lock()


def load(model: str | Path = "demo", *, device: str | torch.device | None = None) -> Engine:
    """Load a checkpoint, or return the engine that was loaded from it before.

    Parameters
    ----------
    model : str or Path
        "demo" (comes with the package), a checkpoint folder, or the name of a hub
        checkpoint that has been downloaded before.
    device : str or torch.device, optional
        Such as "cpu", "cuda" or "mps". By default the best that is there.

    Returns
    -------
    Engine
        Kept for the life of the process: the same arguments give the same engine.

    Raises
    ------
    CheckpointError
        If the checkpoint is not there, or its files are not whole.
    ValueError
        If there is no such device.
    """
    place = _device(device)
    folder = locate(model)
    with _loading:
        key = (folder.resolve(), str(place))
        if key not in _loaded:
            network = CLIPSegForImageSegmentation.from_pretrained(folder)
            processor = CLIPSegProcessor.from_pretrained(folder)
            _loaded[key] = Engine(network, processor, str(model), place)
        return _loaded[key]


def _device(device: str | torch.device | None) -> torch.device:
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if device is None:
        return torch.device(available[0])
    try:
        place = torch.device(device)
    except RuntimeError:
        place = None
    if place is None or place.type not in available:
        raise ValueError(f"There is no device {str(device)!r} here; there is {available}.")
    return place
