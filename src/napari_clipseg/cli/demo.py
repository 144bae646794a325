"""The command ``demo``: a sample segmented with text prompts, measured, and drawn."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from napari_clipseg.sample_data import SAMPLES, Sample, load_sample

if TYPE_CHECKING:  # asking for help is to be quick
    from napari_clipseg.results import Segmentation

CAPTION_HEIGHT = 30
CAPTION_SIZE = 18
GAP = 8
COLUMNS = 3


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``napari-clipseg``."""
    demo = commands.add_parser(
        "demo",
        help="segment a sample that comes with the package",
        description=(
            "Segment a sample with text prompts, print how well that went, and write an image of "
            "it. Where a screen is there, open napari with the dock and the result, too."
        ),
    )
    demo.add_argument("--sample", choices=SAMPLES, default=SAMPLES[0], help="default: %(default)s")
    demo.add_argument("--model", default="demo", help="checkpoint; default: %(default)s")
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("demo-output"),
        help="folder for the image; default: %(default)s",
    )
    demo.add_argument("--no-window", action="store_true", help="never open napari")
    demo.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from napari_clipseg.segmentation import segment

    sample = load_sample(arguments.sample)
    result = segment(sample.image, sample.prompts, model=arguments.model)
    print(
        f"sample {sample.name!r}, model {result.recipe.model!r}, threshold {result.threshold:.2f}"
    )
    print(f"{'prompt':<20} {'IoU':>6} {'found':>8} {'true':>8}")
    found = measure(sample, result)
    for one in found:
        print(f"{one.prompt:<20} {one.iou:6.3f} {one.found:8.2%} {one.true:8.2%}")
    print(f"{'mean':<20} {sum(one.iou for one in found) / len(found):6.3f}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = (arguments.output / f"{sample.name}.png").resolve()
    draw(sample, result, path)
    print(f"image: {path}")
    if not arguments.no_window and has_screen():
        _open_window(arguments.sample, arguments.model)
    return 0


def has_screen() -> bool:
    """Return whether a window can be expected to open for the user to see."""
    if sys.platform in ("win32", "darwin"):
        return not os.environ.get("CI")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_window(sample: str, model: str) -> None:
    print("opening napari; close its window to end", flush=True)
    # A process of its own: where Qt finds no usable screen it ends the process it is in.
    module = "napari_clipseg.widgets.window"
    done = subprocess.run([sys.executable, "-m", module, sample, model], check=False)
    if done.returncode:
        print(
            "napari's window could not be opened. If Qt is missing: "
            "python -m pip install 'napari[all]'",
            file=sys.stderr,
        )


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
    from napari_clipseg.files.formats.colors import label_colors, overlay

    panels = [("image", image)]
    for prompt, one in zip(sample.prompts, result.probability, strict=True):
        gray = np.rint(one * 255).astype(np.uint8)
        panels.append((f"probability: {prompt}", np.stack([gray] * 3, axis=-1)))
    labels = result.labels
    colors = label_colors(result, labels)
    panels.append((f"labels above {result.threshold:.2f}", overlay(image, labels, colors)))
    side_by_side(panels).save(path)


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
