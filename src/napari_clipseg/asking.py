"""What a user may give as prompts, checked and brought to what the engine takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.engine.prompts import Average, Blend
from napari_clipseg.images.rendering import Appearance, settle
from napari_clipseg.images.io.source import as_source

Prompt = str | NDArray[Any] | Average | Blend


def as_list(prompts: Any, least: int = 1) -> list[Prompt]:
    """Return one prompt, or several, as a list.

    Raises
    ------
    ValueError
        If there are fewer than `least`, or one is blank.
    TypeError
        If one is neither text nor array, nor a mixture of these.
    """
    alone = isinstance(prompts, str | np.ndarray) or not isinstance(prompts, Iterable)
    given = [prompts] if alone else list(prompts)
    if len(given) < least:
        raise ValueError("Got no prompt; give a text such as 'nuclei', or a reference image.")
    for prompt in given:
        if not isinstance(prompt, str | np.ndarray | Average | Blend):
            raise TypeError(
                f"Got a prompt of type {type(prompt).__name__}; wanted a text or an array "
                f"of shape (height, width, 3)."
            )
        if isinstance(prompt, str) and not prompt.strip():
            raise ValueError("Got a blank prompt; write what to look for, such as 'nuclei'.")
    return given


def as_prompt(prompt: Prompt, number: int) -> Any:
    """Bring the arrays in a prompt to 8-bit RGB; `number` is named in errors."""
    if isinstance(prompt, str):
        return prompt.strip()
    if isinstance(prompt, Average):
        return replace(prompt, prompts=[as_prompt(one, number) for one in prompt.prompts])
    if isinstance(prompt, Blend):
        text, image = (as_prompt(one, number) for one in (prompt.text, prompt.image))
        return replace(prompt, text=text, image=image)
    if prompt.ndim == 1 and prompt.dtype.kind == "f":
        return prompt  # a ready vector
    try:
        return as_picture(prompt)
    except TypeError as error:
        raise TypeError(f"Prompt {number}: {error}") from error
    except ValueError as error:
        raise ValueError(f"Prompt {number}: {error}") from error


def as_picture(image: Any) -> NDArray[np.uint8]:
    """Bring a single 2D image to 8-bit RGB, ``(height, width, 3)``.

    Raises
    ------
    ValueError
        If it has more planes than one, or cannot be used otherwise.
    """
    source = as_source(image)
    if source.planes_shape:
        raise ValueError(
            f"The image has shape {source.levels[0].shape}; wanted (height, width) for gray or "
            f"(height, width, 3) for colour. Choose one plane of a stack, and put channels last."
        )
    rendering = settle(source, Appearance())
    return rendering.apply(source.read(0, (), channels=rendering.channels))


def names_of(prompts: Sequence[Prompt]) -> list[str]:
    """Return a name for each prompt: its text, or a number."""
    return [
        prompt.strip() if isinstance(prompt, str) else f"image prompt {i}"
        for i, prompt in enumerate(prompts, start=1)
    ]
