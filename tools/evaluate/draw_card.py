"""Draw what the bundled checkpoint makes of real images: ``python tools/evaluate/draw_card.py``.

Good ones and bad ones, as they come; the image stands in the model card.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from napari_clipseg import load, segment
from napari_clipseg.cli.demo import overlay, side_by_side

FOLDER = Path(__file__).parents[2] / "src" / "napari_clipseg" / "checkpoints" / "demo"
PANEL = (380, 300)  # width and height that all panels are brought to
QUALITY = 80

# Image of scikit-image, and one prompt.
SHOWN = (
    ("coins", "coins"),
    ("cell", "cells"),
    ("hubble_deep_field", "spots"),
    ("immunohistochemistry", "nuclei"),
)


def panels(name: str, prompt: str, folder: Path) -> list[tuple[str, NDArray[np.uint8]]]:
    """Return the image, the probability, and the labels over the image."""
    image = getattr(data, name)()
    result = segment(image, prompt, model=load(folder))
    rgb = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    gray = np.rint(result.probability[0] * 255).astype(np.uint8)
    shown = (
        (name, rgb),
        (f'"{prompt}": probability', np.repeat(gray[..., None], 3, axis=2)),
        (f"labels above {result.threshold:.2f}", overlay(rgb, result.labels)),
    )
    return [(caption, np.asarray(Image.fromarray(one).resize(PANEL))) for caption, one in shown]


def main() -> None:
    """Write the image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    all_panels = [panel for name, prompt in SHOWN for panel in panels(name, prompt, folder)]
    side_by_side(all_panels).save(folder / "results.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
