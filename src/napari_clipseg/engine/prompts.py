"""What can be asked for: a text, a picture, a ready vector, and mixtures of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

# A text; a uint8 picture (height, width, 3); a float vector (projection_dim,); or a mixture.
Prompt: TypeAlias = Union[str, NDArray[np.uint8], NDArray[np.floating], "Average", "Blend"]


@dataclass(frozen=True, eq=False)
class Average:
    """Several prompts for one thing, such as references that show it: the mean of their vectors.

    Attributes
    ----------
    prompts : sequence of prompts
        At least one.
    """

    prompts: Sequence[Prompt]

    def __post_init__(self) -> None:
        if isinstance(self.prompts, str) or not len(self.prompts):
            raise ValueError("Got no prompts to average; give a list of at least one.")


@dataclass(frozen=True, eq=False)
class Blend:
    """A text and an image prompt for one thing, interpolated as CLIPSeg was trained to take them.

    The vector is ``weight * image + (1 - weight) * text``
    (https://arxiv.org/abs/2112.10003, section 3.3).

    Attributes
    ----------
    text, image : prompt
        Any two prompts.
    weight : float
        Of the image, 0 to 1.
    """

    text: Prompt
    image: Prompt
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"The weight of the image is {self.weight}; wanted 0 to 1.")


def leaves(prompts: Sequence[Prompt]) -> Iterator[str | NDArray[np.uint8] | NDArray[np.floating]]:
    """Yield the texts, pictures and vectors that prompts are made of."""
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
