"""Print what tiles give: ``python tools/evaluate/tiles.py``.

On the bundled checkpoint: the same answer where a tile is the image, the seams, the shift of an
image against that of its map, and the worth of tiles on a large image of small things.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluate.demo import overlap
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.tiling.plan import Detail, Plan
from napari_clipseg.images.tiling.planning import make_plan
from napari_clipseg.segmentation import segment
from scenes.scenes import make_scene
from scenes.small_things import make_small_things

FIRST_SEED = 6_000_000  # of no other set
PROMPTS = ("nuclei", "rings", "squares")
Mask = NDArray[np.bool_]


def agreement(a: NDArray[np.int32], b: NDArray[np.int32]) -> float:
    """Return the mean IoU of the labels that are in one of two label images."""
    found = [k for k in np.union1d(a, b) if k]
    return float(np.mean([overlap(a == k, b == k) for k in found])) if found else 1.0


def seam(probability: NDArray[np.float32], plan: Plan) -> float:
    """Return the mean step across the tiles' borders over the mean step elsewhere."""
    ratios = []
    for axis, starts in (
        (0, {tile.top for tile in plan.tiles}),
        (1, {tile.left for tile in plan.tiles}),
    ):
        steps = np.abs(np.diff(probability.astype(np.float64), axis=axis))
        first = plan.tiles[0]
        side = (first.height, first.width)[axis]
        edges = {s for s in starts if s > 0} | {s + side for s in starts}
        borders = sorted(edge - 1 for edge in edges if 0 < edge <= steps.shape[axis])
        profile = steps.mean(axis=1 - axis)
        ratios.append(profile[borders].mean() / np.delete(profile, borders).mean())
    return float(np.mean(ratios))


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="checkpoint; the bundled one by default")
    parser.add_argument("--scenes", type=int, default=20)
    arguments = parser.parse_args()
    engine = load(arguments.folder or "demo")
    side = max(engine.size)
    print(f"model {engine.name!r}, its square {side} pixels, {arguments.scenes} scenes")

    # No tile begins at the border of another one's patches: there each map has steps of its own.
    extent = 4 * side + side // 12
    same, seams, shifts = [], [], []
    for seed in range(FIRST_SEED, FIRST_SEED + arguments.scenes):
        image = make_scene(seed, shape=(extent, extent)).image
        one = segment(image, PROMPTS, model=engine)
        tiled = segment(image, PROMPTS, model=engine, detail=extent)
        same.append(agreement(one.labels, tiled.labels))
        detail = Detail("medium")
        plan = make_plan(as_source(image), side=side, detail=detail)
        found = segment(image, PROMPTS, model=engine, detail=detail)
        seams += [seam(one, plan) for one in found.probability if one.max() > 0.2]
        k = side // 8 + 3
        moved = segment(image[k:, k:], PROMPTS, model=engine, detail=detail)
        shifts.append(agreement(moved.labels, found.labels[k:, k:]))
    print(f"label IoU, tile as large as the image against the whole plane: {np.mean(same):.3f}")
    print(f"step across tile borders over that elsewhere: {np.mean(seams):.3f}")
    print(f"label IoU, image shifted by {k} pixels against map shifted: {np.mean(shifts):.3f}")

    things = make_small_things()
    print(f"small things, {things.image.shape[0]} x {things.image.shape[1]} pixels, IoU:")
    print(f"{'detail':<28}{'tiles':>6}{'seconds':>9}" + "".join(f"{p:>9}" for p in PROMPTS))
    for detail in (
        Detail("whole"),
        Detail("medium"),
        Detail("fine"),
        Detail("fine", overview=0.1),
        Detail("fine", overview=0.3),
    ):
        print_row(engine, detail, things.image, things.truth)
    return 0


def print_row(
    engine: Engine, detail: Detail, image: NDArray[np.uint16], truth: dict[str, Mask]
) -> None:
    """Print the IoU of each prompt at one level of detail."""
    start = time.perf_counter()
    result = segment(image, PROMPTS, model=engine, detail=detail)
    seconds = time.perf_counter() - start
    plan = make_plan(as_source(image), side=max(engine.size), detail=detail)
    name = f"{detail.tile_size}" + (f", overview {detail.overview:g}" if detail.overview else "")
    found = result.labels
    scores = [overlap(found == k, truth[p]) for k, p in enumerate(PROMPTS, start=1)]
    print(
        f"{name:<28}{plan.tile_count:>6}{seconds:>9.1f}"
        + "".join(f"{score:>9.3f}" for score in [*scores])
        + f"   mean {np.mean(scores):.3f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
