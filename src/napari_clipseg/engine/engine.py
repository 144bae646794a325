"""The engine: pictures and prompts in, maps of logits out; numpy on both sides."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_clipseg.engine.config import CLIPSegConfig
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.features import Features
from napari_clipseg.engine.hub import locate
from napari_clipseg.engine.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.processor import CLIPSegProcessor
from napari_clipseg.engine.prompts import Average, Blend, Prompt, leaves

# Vectors of this many texts are kept: 2 kB each for a public checkpoint.
KEPT_TEXTS = 4096

Vector = NDArray[np.float32]


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
        self.config: CLIPSegConfig = model.config
        self._model: CLIPSegForImageSegmentation | None = model.to(self.device).eval()
        self._processor = processor
        self._texts: dict[str, Vector] = {}
        self._texts_lock = threading.Lock()

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
        network = self._network()
        vision = network.clip.vision_model
        activations = vision.activations(pixels, self.config.extract_layers)
        grid = vision.embeddings.grid(pixels.shape[-2], pixels.shape[-1])
        return Features(tuple(network.decoder.reduce(activations)), grid)

    def embed(self, prompts: Sequence[Prompt]) -> Vector:
        """Turn prompts into vectors.

        Parameters
        ----------
        prompts : sequence of prompts
            Texts, reference pictures of shape ``(height, width, 3)`` and uint8, ready
            vectors ``(projection_dim,)``, `Average` and `Blend`, in any order. Vectors of
            texts are kept, so that a wording used before costs nothing.

        Returns
        -------
        ndarray of float32
            ``(prompts, projection_dim)``.

        Raises
        ------
        ValueError
            If there is no prompt, a text is blank or too long, or an array of another kind.
        TypeError
            If a prompt is of another type.
        """
        if not len(prompts):
            raise ValueError("Got no prompt; give a text or a reference image.")
        parts = list(leaves(prompts))
        texts = list(dict.fromkeys(part.strip() for part in parts if isinstance(part, str)))
        if "" in texts:
            raise ValueError("Got a blank prompt; write what to look for, such as 'nuclei'.")
        pictures = [x for x in parts if isinstance(x, np.ndarray) and x.ndim != 1]
        known: dict[str | int, Vector] = {}
        known.update(self._embed_texts(texts).items())
        known |= zip(map(id, pictures), self._embed_pictures(pictures), strict=True)
        return np.stack([self._vector(prompt, known) for prompt in prompts])

    def _vector(self, prompt: Prompt, known: Mapping[str | int, Vector]) -> Vector:
        if isinstance(prompt, Average):
            vectors = [self._vector(one, known) for one in prompt.prompts]
            return np.asarray(np.mean(vectors, axis=0), dtype=np.float32)
        if isinstance(prompt, Blend):
            image, text = (self._vector(one, known) for one in (prompt.image, prompt.text))
            return np.asarray(prompt.weight * image + (1 - prompt.weight) * text, np.float32)
        if isinstance(prompt, str):
            return known[prompt.strip()]
        if prompt.ndim != 1:
            return known[id(prompt)]
        wanted = self.config.projection_dim
        if len(prompt) != wanted or prompt.dtype.kind != "f":
            raise ValueError(
                f"Got a vector of {len(prompt)} values of type {prompt.dtype} as a prompt; wanted "
                f"{wanted} floats, as embed() of the same checkpoint gives them."
            )
        return np.asarray(prompt, dtype=np.float32)

    @torch.inference_mode()
    def _embed_texts(self, texts: Sequence[str]) -> dict[str, Vector]:
        """Return the vector of each text; those not kept yet are encoded in one batch."""
        with self._texts_lock:
            known = {text: self._texts[text] for text in texts if text in self._texts}
        new = [text for text in texts if text not in known]
        if new:
            tensors = self._processor(text=new)
            # Attention looks back only, so the padding of shorter texts changes nothing.
            ids = tensors["input_ids"].to(self.device)
            vectors = self._network().clip.get_text_features(ids).float().cpu().numpy()
            known |= zip(new, vectors, strict=True)
        with self._texts_lock:
            for text in texts:
                self._texts.pop(text, None)
                self._texts[text] = known[text]  # the latest last
            while len(self._texts) > KEPT_TEXTS:
                del self._texts[next(iter(self._texts))]
        return known

    @torch.inference_mode()
    def _embed_pictures(self, pictures: Sequence[NDArray[Any]]) -> Sequence[Vector]:
        if not pictures:
            return []
        pixels = self._processor(images=list(pictures))["pixel_values"].to(self.device)
        vectors: NDArray[np.float32]
        vectors = self._network().clip.get_image_features(pixels).float().cpu().numpy()
        return list(vectors)

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
            If the vectors or the features are not of this model's shape.
        CheckpointError
            If the model's answer is not finite.
        """
        wanted = self.config.projection_dim
        if embeddings.ndim != 2 or embeddings.shape[1] != wanted:
            raise ValueError(
                f"Got embeddings of shape {embeddings.shape}; wanted (prompts, {wanted}), "
                f"as embed() of the same engine gives them."
            )
        blocks, width = len(self.config.extract_layers), self.config.reduce_dim
        if len(features.reduced) != blocks or features.reduced[0].shape[-1] != width:
            raise ValueError(
                f"Got features of {len(features.reduced)} blocks and width "
                f"{features.reduced[0].shape[-1]}; wanted {blocks} and {width}, as encode() of the "
                f"same checkpoint gives them."
            )
        features = features.to(self.device)
        pictures, prompts = len(features), len(embeddings)
        vectors = torch.from_numpy(np.asarray(embeddings, np.float32)).to(self.device)
        # Every picture meets every prompt: picture by picture, the prompts of each in order.
        reduced = [x.repeat_interleave(prompts, dim=0) for x in features.reduced]
        logits = self._network().decoder.segment(
            reduced, vectors.repeat(pictures, 1), features.grid
        )
        maps: NDArray[np.float32] = logits.float().cpu().numpy()
        if not np.isfinite(maps).all():
            raise CheckpointError(
                f"The model {self.name!r} answered with values that are no numbers: its weights "
                f"are damaged. Get the checkpoint's files again."
            )
        return maps.reshape(pictures, prompts, *maps.shape[1:])

    def unload(self) -> None:
        """Let go of the network and of what was kept, and free their memory.

        The engine cannot be used again; `load` then reads the checkpoint anew.
        """
        with _loading:
            for key in [key for key, engine in _loaded.items() if engine is self]:
                del _loaded[key]
        self._model = None
        with self._texts_lock:
            self._texts.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _network(self) -> CLIPSegForImageSegmentation:
        network = self._model  # one look: another thread may unload in between
        if network is None:
            raise RuntimeError(
                f"The engine of {self.name!r} was unloaded. Load it again with load()."
            )
        return network


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
