"""The kinds of prompts: a text, an image, a vector, and mixtures of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

# A text; a uint8 image (height, width, 3); a float vector (projection_dim,); or a mixture.
Prompt: TypeAlias = Union[str, NDArray[np.uint8], NDArray[np.floating], "Average", "Blend"]


@dataclass(frozen=True, eq=False)
class Average:
    """Several prompts for the same object, such as several images of it: the mean of their vectors.

    Attributes
    ----------
    prompts : sequence of prompts
        At least one.

    Raises
    ------
    ValueError
        If there is none.
    TypeError
        If one is no prompt.

    Examples
    --------
    >>> from napari_clipseg.engine import Average, load
    >>> engine = load("demo", device="cpu")
    >>> engine.embed([Average(["red rings", "a photo of red rings"])]).shape
    (1, 96)
    """

    prompts: Sequence[Any]  # of `Prompt`, and of what recipes resolve to it

    def __post_init__(self) -> None:
        if isinstance(self.prompts, str) or not len(self.prompts):
            raise ValueError("Got no prompts to average; give a list of at least one.")
        _require_parts(self.prompts)


@dataclass(frozen=True, eq=False)
class Blend:
    """A text and an image prompt for the same object, interpolated as when CLIPSeg was trained.

    The vector is ``weight * image + (1 - weight) * text``
    (https://arxiv.org/abs/2112.10003, section 3.3).

    Attributes
    ----------
    text, image : prompt
        Any two prompts.
    weight : float
        Of the image, 0 to 1.

    Raises
    ------
    ValueError
        If the weight is not 0 to 1.
    TypeError
        If one is no prompt.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.engine import Blend, load
    >>> engine = load("demo", device="cpu")
    >>> example = np.zeros((40, 40, 3), np.uint8)
    >>> engine.embed([Blend("red rings", example, weight=0.3)]).shape
    (1, 96)
    """

    text: Any  # a `Prompt`, or what recipes resolve to one
    image: Any
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"The weight of the image is {self.weight}; wanted 0 to 1.")
        _require_parts((self.text, self.image))


# Values of Python that no kind of prompt has; others, such as an `Example`, become prompts later.
NO_PROMPTS = (int, float, complex, bytes, list, tuple, set, dict, type(None))


def _require_parts(prompts: Sequence[object]) -> None:
    for prompt in prompts:
        if isinstance(prompt, NO_PROMPTS):
            raise TypeError(
                f"Got a prompt of type {type(prompt).__name__} in a mixture; wanted a text, an "
                f"array, an Example, an Average or a Blend."
            )


def leaves(prompts: Sequence[Prompt]) -> Iterator[str | NDArray[np.uint8] | NDArray[np.floating]]:
    """Yield the texts, images and vectors that prompts consist of."""
    for prompt in prompts:
        if isinstance(prompt, Average):
            yield from leaves(prompt.prompts)
        elif isinstance(prompt, Blend):
            yield from leaves((prompt.text, prompt.image))
        elif isinstance(prompt, str | np.ndarray):
            yield prompt
        else:
            raise TypeError(
                f"Got a prompt of type {type(prompt).__name__}; wanted a text, an array, an "
                f"Average or a Blend."
            )


def require_images(images: Sequence[object]) -> None:
    """Raise an error for what is no array of bytes; these are cached by content hash."""
    for image in images:
        if not isinstance(image, np.ndarray):
            raise TypeError(
                f"Got an image of type {type(image).__name__}; wanted an array of uint8 and shape "
                f"(height, width, 3). Convert it with numpy.asarray."
            )
        if image.dtype != np.uint8:
            raise ValueError(
                f"Got an image of {image.dtype} and shape {image.shape}; wanted uint8 and "
                f"(height, width, 3). Scale its values to 0 to 255, and convert it."
            )
