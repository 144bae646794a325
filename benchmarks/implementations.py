"""The two that are compared: our engine and ``transformers``, each asked in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

OURS, REFERENCE = "ours", "transformers"
SIDE = 352
# Words that the random checkpoints' vocabulary holds as one token each.
WORDS = ("a", "photo", "of", "the", "red", "rings", "and", "nuclei", "cells", "dogs", "that", "we")
WORDS_A_PROMPT = 5


class Implementation(Protocol):
    """What segments an image with prompts; all that it loads is loaded when it is made."""

    def __call__(self, image: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
        """Return ``(prompts, SIDE, SIDE)`` logits."""


class Ours:
    """The engine."""

    def __init__(self, folder: Path, precision: str | None = None) -> None:
        from napari_clipseg import load

        self.engine = load(folder, device="cpu", precision=precision)

    def __call__(self, image: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
        features = self.engine.encode([image])
        return self.engine.decode(features, self.engine.embed(prompts))[0]


class Reference:
    """``transformers``, used as its documentation shows: the image once for each prompt."""

    def __init__(self, folder: Path) -> None:
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.model = transformers.CLIPSegForImageSegmentation.from_pretrained(folder).eval()
        images = transformers.ViTImageProcessor.from_pretrained(folder)
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
        self.processor = transformers.CLIPSegProcessor(images, tokenizer)

    def __call__(self, image: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
        import torch

        inputs = self.processor(
            text=list(prompts), images=[image] * len(prompts), padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            return self.model(**inputs).logits.reshape(-1, SIDE, SIDE).numpy()


def new_image() -> np.ndarray:
    """Return a random image of the size of a photo: ``(480, 640, 3)``, uint8."""
    return np.random.default_rng().integers(0, 256, (480, 640, 3), dtype=np.uint8)


def new_prompts(count: int = 1) -> list[str]:
    """Return random texts of seven tokens each, start and end included."""
    rng = np.random.default_rng()
    return [" ".join(rng.choice(WORDS, WORDS_A_PROMPT)) for _ in range(count)]
