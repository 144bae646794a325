"""Texts of options as values of a recipe; each raises ValueError for what it cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NONE = "none"  # as a value: what a recipe says is dropped


def number(text: str) -> float:
    """Read a number; a whole one stays whole."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def numbers(text: str) -> list[float]:
    """Read numbers with commas between them."""
    return [number(one) for one in text.split(",")]


def word_or_number(text: str) -> str | float:
    """Read a number, or a word."""
    try:
        return number(text)
    except ValueError:
        return text


def or_none(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Read "none", or what is read otherwise."""

    def reader(text: str) -> Any:
        return None if text == NONE else read(text)

    reader.__name__ = getattr(read, "__name__", "value")  # argparse tells it in errors
    return reader


def pair(text: str) -> tuple[float, float]:
    """Read two numbers with a comma between them."""
    low, high = numbers(text)
    return low, high


def holes(text: str) -> bool | float:
    """Read which holes are filled: all, none, or those up to an area."""
    return {"all": True, NONE: False}[text] if text in ("all", NONE) else number(text)


def threshold(text: str) -> Any:
    """Read a threshold: a number, one for each prompt, or "otsu"."""
    found = [word_or_number(one) for one in text.split(",")]
    return found[0] if len(found) == 1 else found


def planes(text: str) -> tuple[str, int | slice]:
    """Read planes along an axis: z=3, or z=3:9."""
    name, equals, where = text.partition("=")
    if not equals:
        raise ValueError(text)
    if ":" not in where:
        return name, int(where)
    return name, slice(*(int(one) if one else None for one in where.split(":")))


def corners(text: str) -> list[tuple[float, float]]:
    """Read corners x,y,x,y as rows and columns."""
    found = numbers(text)
    if len(found) < 4 or len(found) % 2:
        raise ValueError(text)
    return [(y, x) for x, y in zip(found[::2], found[1::2], strict=True)]


def contrast(text: str) -> Any:
    """Read a contrast: auto, dtype, or black,white of each channel."""
    if text in ("auto", "dtype"):
        return text
    found = numbers(text)
    pairs = list(zip(found[::2], found[1::2], strict=True))
    return pairs[0] if len(pairs) == 1 else pairs


def whole_numbers(text: str) -> list[int]:
    """Read whole numbers with commas between them."""
    return [int(one) for one in text.split(",")]


def colormap(text: str) -> Any:
    """Read a colormap: gray, or colors from black to white."""
    if text == "gray":
        return text
    import numpy as np

    return np.array([list(bytes.fromhex(one.strip("#"))) for one in text.split(",")], np.uint8)
