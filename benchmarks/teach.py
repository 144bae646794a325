"""Time of the answers while somebody paints: ``python benchmarks/teach.py [--rounds N]``.

With random weights of the published size, on a scene made by code, of 512 x 512 and 2048 x 2048
pixels: the first answer after a stroke, then the learned prompt and its map. What depends on the
image alone is computed before, and its time is given, too. Medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A script finds what lies beside it; the tools lie in a folder of their own.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

from napari_clipseg.engine.loading import load
from napari_clipseg.teaching.teacher import Teacher
from parity import write_random_checkpoint
from scenes.scenes import make_scene, truth_mask

SIDES = (512, 2048)
STROKES = 12
LENGTH = 24  # pixels


def painted(truth: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    """Return straight strokes, half of them begun on the thing, half beside it."""
    rng = np.random.default_rng(seed)
    strokes = np.zeros(truth.shape, np.uint8)
    for number in range(STROKES):
        own = truth if number % 2 else ~truth
        row, column = np.argwhere(own)[rng.integers(own.sum())]
        part = np.s_[row : row + 3, column : column + LENGTH]
        strokes[part][own[part]] = 1 + number % 2
    return strokes


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run_to_end(steps: object) -> None:
    """Exhaust a generator."""
    for _ in steps:  # type: ignore[attr-defined]
        pass


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    rounds = parser.parse_args().rounds
    print(
        "| seconds | image seen first | first answer | learned prompt | its map | with its score |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        write_random_checkpoint(Path(folder), "rd64-refined")
        engine = load(folder, device="cpu")
        for side in SIDES:
            scene = make_scene(7, style="photo", shape=(side, side))
            truth = truth_mask(scene, scene.kinds[0], None)
            teacher = Teacher(scene.image, engine)
            first = painted(truth, 0)
            once = seconds(lambda: teacher.prepare(()))  # noqa: B023  # called at once
            once += seconds(lambda: run_to_end(teacher.answer(teacher.teach(first).prompt)))  # noqa: B023
            times: dict[str, list[float]] = {"first": [], "learned": [], "map": [], "scored": []}
            for seed in range(1, rounds + 1):
                strokes = painted(truth, seed)
                times["first"].append(seconds(lambda: teacher.first_answer(strokes, ())))  # noqa: B023
                start = time.perf_counter()
                lesson = teacher.teach(strokes, at_once=True)
                times["learned"].append(time.perf_counter() - start)
                times["map"].append(seconds(lambda: run_to_end(teacher.answer(lesson.prompt))))  # noqa: B023
                times["scored"].append(seconds(lambda: teacher.teach(strokes)))  # noqa: B023
            medians = " | ".join(f"{statistics.median(one):.2f}" for one in times.values())
            print(f"| {side} x {side} | {once:.1f} | {medians} |", flush=True)
            teacher.close()


if __name__ == "__main__":
    main()
