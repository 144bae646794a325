"""Prompts to vectors; those of texts and images are cached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_clipseg.cache import ByteCache, content_digest
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.engine.prompts import Average, Blend, Prompt, leaves, require_images
from napari_clipseg.engine.runtime.batching import IMAGES, TEXTS, Batches, Placed

# For a public checkpoint, the vectors of 4096 prompts.
CACHE_BYTES = 8 * 2**20
BLANK = 2  # tokens of a text without any word: start and end

Vector = NDArray[np.float32]


class Embedder:
    """Turn prompts into vectors.

    Parameters
    ----------
    batches : Batches
        The network.
    processor : CLIPSegProcessor
        How texts and images are prepared.
    width : int
        Length of a vector.
    """

    def __init__(self, batches: Batches, processor: CLIPSegProcessor, width: int) -> None:
        self.cache: ByteCache[Vector] = ByteCache(CACHE_BYTES)
        self._batches = batches
        self._processor = processor
        self._width = width

    def __call__(self, prompts: Sequence[Prompt]) -> Vector:
        """Return ``(prompts, width)``; see `Engine.embed`."""
        if not len(prompts):
            raise ValueError("Got no prompt; give a text or an example image.")
        parts = list(leaves(prompts))
        texts = list(dict.fromkeys(part.strip() for part in parts if isinstance(part, str)))
        images = [x for x in parts if isinstance(x, np.ndarray) and x.ndim != 1]
        known: dict[str | int, Vector] = {}
        known.update(zip(texts, self._embed_texts(texts), strict=True))
        known.update(zip(map(id, images), self._embed_images(images), strict=True))
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
        with np.errstate(over="ignore"):
            vector = np.asarray(prompt, dtype=np.float32)
        if not np.isfinite(vector).all():
            raise ValueError(
                "Got a vector with values that are not finite (NaN or infinite) in float32 as a "
                "prompt; wanted finite ones, as embed() of the same checkpoint gives them."
            )
        return vector

    def _embed_texts(self, texts: Sequence[str]) -> list[Vector]:
        def embed(new: list[int]) -> list[Vector]:
            inputs = self._processor(text=[texts[i] for i in new])
            lengths = inputs["attention_mask"].sum(dim=1)
            if bool((lengths == BLANK).any()):
                raise ValueError("Got a blank prompt; write what to look for, such as 'nuclei'.")
            vectors: dict[int, Vector] = {}
            # Padding would change a vector's last bits, and so would the texts that it stands for.
            for length in lengths.unique().tolist():
                those = (lengths == length).nonzero()[:, 0]
                ids = inputs["input_ids"][those, :length]

                def step(placed: Placed, part: slice, ids: Tensor = ids) -> list[Vector]:
                    return _rows(placed.text_vectors(ids[part]))

                found = self._batches.each(TEXTS, step, len(ids))
                vectors.update(zip(those.tolist(), found, strict=True))
            return [vectors[i] for i in range(len(new))]

        return self.cache.get_or_make(texts, embed)

    def _embed_images(self, images: Sequence[NDArray[Any]]) -> list[Vector]:
        def embed(new: list[int]) -> list[Vector]:
            those = [images[i] for i in new]
            pixels = self._processor(images=those, input_data_format="channels_last").pixel_values

            def step(placed: Placed, part: slice) -> list[Vector]:
                return _rows(placed.image_vectors(pixels[part]))

            return self._batches.each(IMAGES, step, len(pixels))

        require_images(images)
        return self.cache.get_or_make([content_digest(image) for image in images], embed)


def _rows(vectors: Vector) -> list[Vector]:
    # Copies, so that a cached vector does not keep its whole batch in memory.
    return [row.copy() for row in vectors]
