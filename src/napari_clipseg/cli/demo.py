"""The demonstration: a sample segmented with text prompts, measured, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_clipseg.results import Segmentation
from napari_clipseg.sample_data import Sample

# One colour a label, in the order of the dock's colormaps.
COLORS = np.array(
    [(255, 0, 255), (0, 255, 0), (0, 255, 255), (255, 255, 0), (255, 0, 0), (0, 0, 255)], np.uint8
)
CAPTION_HEIGHT = 30
CAPTION_SIZE = 18
GAP = 8
COLUMNS = 3


@dataclass(frozen=True)
class Found:
    """What was found for one prompt.

    Attributes
    ----------
    prompt : str
        The prompt.
    iou : float
        Intersection over union of its label with the truth, 0 to 1; 1 if both are empty.
    found, true : float
        Part of the image that is labelled, and that should be, 0 to 1.
    """

    prompt: str
    iou: float
    found: float
    true: float


def measure(sample: Sample, result: Segmentation) -> list[Found]:
    """Compare a result's labels with a sample's truth, prompt by prompt."""
    labels = result.labels
    return [
        Found(
            prompt,
            iou(labels == k, sample.truth == k),
            float(np.mean(labels == k)),
            float(np.mean(sample.truth == k)),
        )
        for k, prompt in enumerate(sample.prompts, start=1)
    ]


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return intersection over union of two masks of one shape; 1 if both are empty."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 1.0


def draw(sample: Sample, result: Segmentation, path: Path) -> None:
    """Write a PNG: the image, one probability map a prompt, and the labels, side by side."""
    image = sample.image if sample.image.ndim == 3 else np.stack([sample.image] * 3, axis=-1)
    panels = [("image", image)]
    for prompt, one in zip(sample.prompts, result.probability, strict=True):
        gray = np.rint(one * 255).astype(np.uint8)
        panels.append((f"probability: {prompt}", np.stack([gray] * 3, axis=-1)))
    panels.append((f"labels above {result.threshold:.2f}", overlay(image, result.labels)))
    side_by_side(panels).save(path)


def overlay(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return an RGB image ``(height, width, 3)`` with each label's colour mixed in by half."""
    colored = COLORS[(labels - 1) % len(COLORS)]
    mixed = (image.astype(np.uint16) + colored) // 2
    return np.where(labels[..., None] > 0, mixed, image).astype(np.uint8)


def side_by_side(panels: Sequence[tuple[str, NDArray[np.uint8]]]) -> Image.Image:
    """Return captioned RGB panels of one shape ``(height, width, 3)``, three a row."""
    height, width = panels[0][1].shape[:2]
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = (columns * (width + GAP) - GAP, rows * (height + CAPTION_HEIGHT + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    write, font = ImageDraw.Draw(sheet), ImageFont.load_default(CAPTION_SIZE)
    for i, (caption, panel) in enumerate(panels):
        row, column = divmod(i, columns)
        left, top = column * (width + GAP), row * (height + CAPTION_HEIGHT + GAP)
        sheet.paste(Image.fromarray(panel), (left, top + CAPTION_HEIGHT))
        write.text((left + 4, top + 4), caption, fill="black", font=font)
    return sheet
