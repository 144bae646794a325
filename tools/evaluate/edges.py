"""Print what edge refinement gives: ``python tools/evaluate/edges.py [--scenes N]``.

The bundled checkpoint is asked for what is there on test scenes that it never saw, at its own
threshold, and each map is compared with the truth as it is and refined. Boundary F-score: the
harmonic mean of the share of the found outline that lies within a tolerance of the true
one, and of the share of the true one that lies within it of the found one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion
from skimage import data
from skimage.morphology import disk

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluate.demo import FOLDER, TEST, Mask, ask_texts, coins_mask, half_patch, overlap
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.images.edges.refine import refine_edges
from napari_clipseg.segmentation import segment
from scenes.scenes import make_scene

Floats = NDArray[np.float32]
Refine = Callable[[Floats, NDArray[np.uint8], int], Floats]

LARGE = 512  # pixels a side: four times what the checkpoint sees


@dataclass(frozen=True)
class Case:
    """One prompt on one image: ``(height, width, 3)``, and two times ``(height, width)``.

    The radius is half a patch of the model, in pixels, as `segment` refines with.
    """

    image: NDArray[np.uint8]
    truth: Mask
    probability: Floats
    radius: int


def outline(mask: Mask) -> Mask:
    """Return the pixels of a mask that have a neighbour outside of it, within the image."""
    return mask & ~binary_erosion(mask, border_value=1)


def boundary_score(found: Mask, truth: Mask, tolerance: int) -> float:
    """Return the boundary F-score; 1 where neither has an outline, 0 where one alone has."""
    lines = outline(found), outline(truth)
    if not all(line.any() for line in lines):
        return float(lines[0].any() == lines[1].any())
    near = [binary_dilation(line, disk(tolerance)) for line in lines]
    precision, recall = near[1][lines[0]].mean(), near[0][lines[1]].mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def scene_cases(engine: Engine, scenes: int, side: int) -> Iterator[Case]:
    """Ask test scenes for all that is in them."""
    for seed in range(TEST, TEST + scenes):
        scene = make_scene(seed, shape=(side, side))
        for one in ask_texts(engine, [scene]):
            if one.truth.any():
                radius = half_patch(engine, scene.image)
                yield Case(scene.image, one.truth, one.probability, radius)


def coins_case(engine: Engine) -> Case:
    """Ask scikit-image's coins for coins."""
    coins = data.coins()
    found = segment(coins, "coins", model=engine).probability[0]
    image = np.repeat(coins[..., None], 3, axis=2)
    return Case(image, coins_mask(), found, half_patch(engine, image))


def measured(
    cases: list[Case], refine: Refine, threshold: float, tolerance: int
) -> tuple[float, float]:
    """Return the mean boundary F-score and the mean IoU."""
    scores = []
    for case in cases:
        found = refine(case.probability[None], case.image, case.radius)[0] > threshold
        scores.append((boundary_score(found, case.truth, tolerance), overlap(found, case.truth)))
    boundary, area = np.mean(scores, axis=0)
    return float(boundary), float(area)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=60, help="default: %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(1)  # small tensors: more threads only wait for each other
    engine = load(FOLDER)
    threshold = engine.config.default_threshold
    sets = [
        ("test scenes, 128 x 128", list(scene_cases(engine, args.scenes, 128)), 1),
        (f"test scenes, {LARGE} x {LARGE}", list(scene_cases(engine, args.scenes // 4, LARGE)), 2),
        ("`skimage.data.coins()`, 303 x 384", [coins_case(engine)], 2),
    ]
    ways: dict[str, Refine] = {
        "as it is": lambda maps, image, radius: maps,
        "guided": lambda maps, image, radius: refine_edges(maps, image, radius=radius),
        "random walker": lambda maps, image, radius: refine_edges(
            maps, image, method="random_walker"
        ),
    }
    print(f"Threshold {threshold}; boundary F-score / mean IoU.")
    print("| images | prompts | tolerance | " + " | ".join(ways) + " |")
    print("|---" * (3 + len(ways)) + "|")
    for title, cases, tolerance in sets:
        cells = [
            "{:.2f} / {:.2f}".format(*measured(cases, way, threshold, tolerance))
            for way in ways.values()
        ]
        print(f"| {title} | {len(cases)} | {tolerance} px | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
