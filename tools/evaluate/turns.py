"""Print how far a map turns with its image: flips and quarter turns, each in one tile.

``python tools/evaluate/turns.py [--scenes N]``: the bundled checkpoint, on scenes that it was
neither trained nor chosen on. What is rendered, tiled and blended turns exactly
(``tests/test_segmentation.py``); the model has a place for each patch, and need not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluate.agreement import questions
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.segmentation import segment

SCENES = 40
Turn = Callable[[NDArray[Any]], NDArray[Any]]  # of the first two axes; done twice or back, it ends

# name: what is done to the image, and what undoes it
TURNS: dict[str, tuple[Turn, Turn]] = {
    "flip left to right": (np.fliplr, np.fliplr),
    "flip top to bottom": (np.flipud, np.flipud),
    "quarter turn": (lambda x: np.rot90(x, 1), lambda x: np.rot90(x, -1)),
    "half turn": (lambda x: np.rot90(x, 2), lambda x: np.rot90(x, 2)),
    "three quarters": (lambda x: np.rot90(x, 3), lambda x: np.rot90(x, -3)),
    "transposed": (lambda x: x.swapaxes(0, 1), lambda x: x.swapaxes(0, 1)),
}


@dataclass(frozen=True)
class Agreement:
    """How like the maps of turned images are to those of the images, turned.

    Attributes
    ----------
    change : float
        Mean absolute difference of the probabilities.
    overlap : float
        IoU of what is marked at the checkpoint's threshold, of all pixels together.
    """

    change: float
    overlap: float


def maps(engine: Engine, image: NDArray[np.uint8], texts: list[str]) -> NDArray[np.float32]:
    """Return ``(height, width, texts)``."""
    found = segment(np.ascontiguousarray(image), texts, model=engine).probability
    return np.asarray(found).transpose(1, 2, 0)


def compare(engine: Engine, scenes: int = SCENES) -> dict[str, Agreement]:
    """Return the agreement for each turn; scenes are square."""
    level = engine.config.default_threshold
    changes: dict[str, list[float]] = {name: [] for name in TURNS}
    both, either = dict.fromkeys(TURNS, 0), dict.fromkeys(TURNS, 0)
    for image, texts in questions(scenes, samples=()):
        plain = maps(engine, image, texts)
        for name, (turn, back) in TURNS.items():
            turned = back(maps(engine, turn(image), texts))
            changes[name].append(float(np.abs(turned - plain).mean()))
            both[name] += int(((turned > level) & (plain > level)).sum())
            either[name] += int(((turned > level) | (plain > level)).sum())
    return {
        name: Agreement(float(np.mean(changes[name])), both[name] / either[name]) for name in TURNS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=SCENES, help="default: %(default)s")
    found = compare(load("demo", device="cpu"), parser.parse_args().scenes)
    print("| turn | mean change of the probability | label IoU |")
    print("|---|---|---|")
    for name, agreement in found.items():
        print(f"| {name} | {agreement.change:.3f} | {agreement.overlap:.2f} |")


if __name__ == "__main__":
    main()
