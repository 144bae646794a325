"""Prompts to vectors, each text and picture once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_clipseg.engine.runtime.batching import PICTURES, TEXTS, Batches
from napari_clipseg.cache import Kept, digest, is_picture
from napari_clipseg.engine.runtime.placed import Placed
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.engine.prompts import Average, Blend, Prompt, leaves

# Of a public checkpoint, the vectors of 4096 prompts.
KEPT_BYTES = 8 * 2**20

Vector = NDArray[np.float32]


class Embedder:
    """Turn prompts into vectors, and keep those of texts and pictures.

    Parameters
    ----------
    batches : Batches
        The network.
    processor : CLIPSegProcessor
        How texts and pictures are prepared.
    width : int
        Length of a vector.
    """

    def __init__(self, batches: Batches, processor: CLIPSegProcessor, width: int) -> None:
        self.kept: Kept[Vector] = Kept(KEPT_BYTES)
        self._batches = batches
        self._processor = processor
        self._width = width

    def __call__(self, prompts: Sequence[Prompt]) -> Vector:
        """Return ``(prompts, width)``; see `Engine.embed`."""
        if not len(prompts):
            raise ValueError("Got no prompt; give a text or a reference image.")
        parts = list(leaves(prompts))
        texts = list(dict.fromkeys(part.strip() for part in parts if isinstance(part, str)))
        if "" in texts:
            raise ValueError("Got a blank prompt; write what to look for, such as 'nuclei'.")
        pictures = [x for x in parts if isinstance(x, np.ndarray) and x.ndim != 1]
        known: dict[str | int, Vector] = {}
        known.update(zip(texts, self._texts(texts), strict=True))
        known.update(zip(map(id, pictures), self._pictures(pictures), strict=True))
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
        if len(prompt) != self._width or prompt.dtype.kind != "f":
            raise ValueError(
                f"Got a vector of {len(prompt)} values of type {prompt.dtype} as a prompt; wanted "
                f"{self._width} floats, as embed() of the same checkpoint gives them."
            )
        return np.asarray(prompt, dtype=np.float32)

    def _texts(self, texts: Sequence[str]) -> list[Vector]:
        def embed(new: list[int]) -> list[Vector]:
            # Attention looks back only, so the padding of shorter texts changes nothing.
            ids = self._processor(text=[texts[i] for i in new])["input_ids"]

            def step(placed: Placed, part: slice) -> list[Vector]:
                return _rows(placed.network.clip.get_text_features(ids[part].to(placed.device)))

            return self._batches.each(TEXTS, step, len(ids))

        return self.kept.remember(texts, embed)

    def _pictures(self, pictures: Sequence[NDArray[Any]]) -> list[Vector]:
        def embed(new: list[int]) -> list[Vector]:
            pixels = self._processor(images=[pictures[i] for i in new])["pixel_values"]

            def step(placed: Placed, part: slice) -> list[Vector]:
                x = pixels[part].to(placed.device, placed.dtype)
                return _rows(placed.network.clip.get_image_features(x))

            return self._batches.each(PICTURES, step, len(pixels))

        # What is no picture is told by the processor, in its own words.
        if not all(map(is_picture, pictures)):
            return embed([*range(len(pictures))])
        return self.kept.remember([digest(picture) for picture in pictures], embed)


def _rows(vectors: Tensor) -> list[Vector]:
    # Copies, so that one that is kept does not hold on to its whole batch.
    return [row.copy() for row in vectors.float().cpu().numpy()]
