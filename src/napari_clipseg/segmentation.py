"""From an image and prompts to a probability map and labels: where images meet the engine."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.labels import check_threshold, semantic_labels
from napari_clipseg.images.pixels import to_picture
from napari_clipseg.images.source import Plane, as_plane, finite
from napari_clipseg.images.stitch import sigmoid, to_plane

if TYPE_CHECKING:  # importing this module must not import torch
    from napari_clipseg.engine.engine import Engine

Prompt = str | NDArray[Any]


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, total : int
        Steps.
    doing : str
        What comes next, for a progress bar's text.
    """

    done: int
    total: int
    doing: str


@dataclass(frozen=True)
class Segmentation:
    """What a run gives.

    Attributes
    ----------
    probability : ndarray of float32
        ``(prompts, height, width)``, 0 to 1. Pixels that were not finite have 0.
    threshold : float
        What `labels` were made with.
    prompts : tuple of str
        The texts; "image prompt 1" and so on for reference images.
    model : str
        Name of the checkpoint.
    """

    probability: NDArray[np.float32]
    threshold: float
    prompts: tuple[str, ...]
    model: str

    @property
    def labels(self) -> NDArray[np.int32]:
        """``(height, width)``: 0 for nothing, k where prompt k is the likeliest above it."""
        return semantic_labels(self.probability, self.threshold)


def segment(
    image: Any,
    prompts: Prompt | Sequence[Prompt],
    *,
    model: str | Path | Engine = "demo",
    threshold: float | None = None,
) -> Segmentation:
    """Segment a 2D image with text or image prompts.

    Parameters
    ----------
    image : array-like
        ``(height, width)`` gray, or ``(height, width, 3)`` or ``(height, width, 4)`` colour,
        of any real type. Gray is stretched between robust percentiles; colour is taken as
        it is (0 to 1 for floats).
    prompts : str, ndarray, or sequence of them
        Each a text, such as "red rings", or an RGB array that shows an example.
    model : str, Path or Engine
        "demo", a checkpoint folder, the name of a downloaded hub checkpoint, or what
        `load` returned.
    threshold : float, optional
        Probability, 0 to 1, above which a pixel is labelled; the checkpoint's own by default.

    Returns
    -------
    Segmentation
        With ``.probability`` and ``.labels``.

    Raises
    ------
    ValueError
        If the image, a prompt, the threshold or the checkpoint cannot be used; the message
        says why, and the cure.
    TypeError
        If the image holds no real numbers, or a prompt is neither text nor array.

    Examples
    --------
    >>> result = segment(image, ["nuclei", "red rings"])  # doctest: +SKIP
    >>> result.probability.shape, result.labels.shape  # doctest: +SKIP
    ((2, 512, 512), (512, 512))
    """
    steps = segment_steps(as_plane(image), prompts, model=model, threshold=threshold)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Segmentation = stop.value
            return result


def segment_steps(
    plane: Plane,
    prompts: Prompt | Sequence[Prompt],
    *,
    model: str | Path | Engine = "demo",
    threshold: float | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Do what `segment` does, step by step.

    Yields
    ------
    Progress
        Before each step; the run can be stopped there.

    Returns
    -------
    Segmentation
        The result, as the generator's return value.
    """
    given = _as_list(prompts)
    if threshold is not None:
        threshold = check_threshold(threshold)
    total = 2 + 2 * len(given)
    yield Progress(0, total, "Loading the model")
    engine = _engine(model)
    yield Progress(1, total, "Looking at the image")
    features = engine.encode([to_picture(plane)])
    maps = []
    known = finite(plane)
    for i, prompt in enumerate(given):
        yield Progress(2 + 2 * i, total, f"Reading prompt {i + 1} of {len(given)}")
        embedding = engine.embed([_as_prompt(prompt, i + 1)])
        yield Progress(3 + 2 * i, total, f"Answering prompt {i + 1} of {len(given)}")
        logits = engine.decode(features, embedding)[0]
        maps.append(np.where(known, sigmoid(to_plane(logits, plane.shape)), np.float32(0)))
    return Segmentation(
        probability=np.concatenate(maps),
        threshold=engine.config.default_threshold if threshold is None else threshold,
        prompts=tuple(_names(given)),
        model=engine.name,
    )


def _as_list(prompts: Any) -> list[Prompt]:
    one = isinstance(prompts, str | np.ndarray) or not isinstance(prompts, Iterable)
    given = [prompts] if one else list(prompts)
    if not given:
        raise ValueError("Got no prompt; give a text such as 'nuclei', or a reference image.")
    for prompt in given:
        if not isinstance(prompt, str | np.ndarray):
            raise TypeError(
                f"Got a prompt of type {type(prompt).__name__}; wanted a text or an array "
                f"of shape (height, width, 3)."
            )
        if isinstance(prompt, str) and not prompt.strip():
            raise ValueError("Got a blank prompt; write what to look for, such as 'nuclei'.")
    return given


def _as_prompt(prompt: Prompt, number: int) -> Prompt:
    if isinstance(prompt, str):
        return prompt.strip()
    try:
        return to_picture(as_plane(prompt))
    except TypeError as error:
        raise TypeError(f"Prompt {number}: {error}") from error
    except ValueError as error:
        raise ValueError(f"Prompt {number}: {error}") from error


def _names(prompts: Sequence[Prompt]) -> list[str]:
    return [
        prompt.strip() if isinstance(prompt, str) else f"image prompt {i}"
        for i, prompt in enumerate(prompts, start=1)
    ]


def _engine(model: str | Path | Engine) -> Engine:
    from napari_clipseg.engine.engine import Engine, load

    return model if isinstance(model, Engine) else load(model)
