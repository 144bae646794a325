"""Colors of prompts and of labels in files."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.files.formats.labelled import Labelled

Color = tuple[int, int, int]

# One a prompt, in the order of the dock's colormaps.
COLORS: tuple[Color, ...] = (
    (255, 0, 255),
    (0, 255, 0),
    (0, 255, 255),
    (255, 255, 0),
    (255, 0, 0),
    (0, 0, 255),
)
GOLDEN = 0.618034  # of the circle of hues: any number of steps lie far from each other


def prompt_color(number: int) -> Color:
    """Return the color of a prompt, counted from 1."""
    return COLORS[(number - 1) % len(COLORS)]


def label_color(result: Labelled, label: int) -> Color:
    """Return the color of a label: that of its prompt, or of objects one each."""
    if result.recipe.instances is None:
        return prompt_color(label)
    red, green, blue = colorsys.hsv_to_rgb(label * GOLDEN % 1, 0.8, 1)
    return round(255 * red), round(255 * green), round(255 * blue)


def label_colors(result: Labelled, labels: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Return ``(greatest label + 1, 3)``: the color of each label that is there."""
    colors = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    for label in np.unique(labels[labels > 0]).tolist():
        colors[label] = label_color(result, label)
    return colors


def overlay(
    image: NDArray[np.uint8], labels: NDArray[np.integer[Any]], colors: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return an RGB image ``(height, width, 3)`` with each label's color mixed in by half.

    Parameters
    ----------
    image : ndarray of uint8
        ``(height, width, 3)``.
    labels : ndarray of int
        ``(height, width)``: 0 for background.
    colors : ndarray of uint8
        ``(greatest label + 1, 3)``: of each label; that of 0 does not count.
    """
    mixed = (image.astype(np.uint16) + colors[labels]) // 2
    return np.where(labels[..., None] > 0, mixed, image).astype(np.uint8)
