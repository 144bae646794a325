"""Prompts as users give them: checked, named, and brought to what the engine takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.engine.prompts import Average, Blend
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.rendering import Appearance, resolve
from napari_clipseg.images.visual_prompts import Example
from napari_clipseg.learned import LearnedPrompt

Prompt: TypeAlias = str | NDArray[Any] | Example | Average | Blend | LearnedPrompt
Prompts: TypeAlias = Prompt | Iterable[Prompt] | Mapping[str, Prompt]


def as_prompts(prompts: Any) -> tuple[Prompt, ...]:
    """Return one prompt, or several, as a tuple; texts without white space around them.

    A learned prompt becomes one prompt for each of its classes.

    Raises
    ------
    ValueError
        If one is blank.
    TypeError
        If one is no prompt.
    """
    alone = isinstance(prompts, str | np.ndarray) or not isinstance(prompts, Iterable)
    checked: list[Prompt] = []
    for prompt in [prompts] if alone else prompts:
        one = _checked(prompt)
        checked += one.split() if isinstance(one, LearnedPrompt) else [one]
    return tuple(checked)


def _checked(prompt: Any) -> Prompt:
    if isinstance(prompt, np.ndarray | Example | Average | Blend | LearnedPrompt):
        return prompt
    if not isinstance(prompt, str):
        raise TypeError(
            f"Got a prompt of type {type(prompt).__name__}; wanted a text, an array of shape "
            f"(height, width, 3), an Example, an Average, a Blend or a LearnedPrompt."
        )
    if not prompt.strip():
        raise ValueError("Got a blank prompt; write what to look for, such as 'nuclei'.")
    return prompt.strip()


def own_names(prompts: Sequence[Prompt], kind: str) -> Iterator[str]:
    """Yield a name for each prompt: its text, or texts, or its kind and number."""
    for i, prompt in enumerate(prompts, start=1):
        if isinstance(prompt, LearnedPrompt):
            yield ", ".join(prompt.names)
            continue
        texts = prompt.prompts if isinstance(prompt, Average) else [prompt]
        named = all(isinstance(text, str) for text in texts)
        yield ", ".join(texts) if named else f"{kind} {i}"  # type: ignore[arg-type]


def resolved(prompt: Any, number: int) -> Any:
    """Return a prompt as the engine takes it: examples read, images as 8-bit RGB.

    Parameters
    ----------
    prompt : prompt
        One of `as_prompts`.
    number : int
        Of the prompt, for errors.

    Returns
    -------
    prompt
        Of the kinds that `Engine.embed` takes.

    Raises
    ------
    ValueError, TypeError
        If an image cannot be used.
    """
    if isinstance(prompt, str):
        return _checked(prompt)
    if isinstance(prompt, LearnedPrompt):
        return prompt
    if isinstance(prompt, Average):
        parts = [resolved(one, number) for one in prompt.prompts]
        return replace(prompt, prompts=parts)
    if isinstance(prompt, Blend):
        text, image = (resolved(one, number) for one in (prompt.text, prompt.image))
        return replace(prompt, text=text, image=image)
    if isinstance(prompt, np.ndarray) and prompt.ndim == 1 and prompt.dtype.kind == "f":
        return prompt.copy()  # a vector; nobody else is to write to it
    try:
        if isinstance(prompt, Example):
            images = prompt.read()
            return images[0] if len(images) == 1 else Average(images)
        return as_rgb(prompt)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Prompt {number}: {error}") from error


def as_rgb(image: Any) -> NDArray[np.uint8]:
    """Bring an image of one plane to 8-bit RGB, ``(height, width, 3)``.

    Raises
    ------
    ValueError
        If it has more planes than one, or cannot be used otherwise.
    """
    source = as_source(image)
    if source.planes_shape:
        raise ValueError(
            f"The image has shape {source.levels[0].shape}; wanted (height, width) for gray or "
            f"(height, width, 3) for color. Choose one plane of a stack, and put channels last."
        )
    with source.open() as reader:
        rendering = resolve(reader, Appearance())
        shown = rendering.apply(reader.read(0, (), channels=rendering.channels))
        return shown.copy() if np.may_share_memory(shown, image) else shown
