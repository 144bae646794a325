"""Print what teaching by strokes gives: ``python tools/evaluate/teach.py [--seeds N] [--jobs N]``.

On the bundled checkpoint, as the mean IoU over images and seeds of strokes, at pixels that are not
painted: ours, what it is made of, and what a user would take instead, all from the same strokes.
Then: how far the score from held-out strokes is from the true IoU; what is marked by mistake on
images that have nothing of the thing, after teaching on their background; a prompt that was taught
on one scene, on four others. It takes hours; with ``--save FILE.csv`` each figure is kept as it
comes, and what is there already is not measured again.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluate.demo import overlap
from evaluate.teach_cases import CASES, ON, SHAPES, Case, Mask, draw_strokes, shapes
from napari_clipseg.engine.loading import load
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.segmentation import segment
from napari_clipseg.teaching.parts import fit_logistic
from napari_clipseg.teaching.teach import teach

COUNTS = (2, 6, 12, 24, 48)
TREES = 100
THRESHOLDS = np.linspace(0.05, 0.95, 19)
WORD, FOREST, EXTRA, LOGISTIC, OURS = (
    "best of the words, best threshold",
    "random forest on filters",
    "extra trees on filters",
    "logistic regression on filters",
    "ours",
)
OTHERS = (FOREST, EXTRA, LOGISTIC)
ROWS = (WORD, *OTHERS, OURS)


@dataclass(frozen=True)
class Measured:
    """One row's IoU on one case from one drawing of strokes, and the seconds it took."""

    row: str
    case: str
    count: int
    seed: int
    iou: float
    seconds: float
    score: float | None = None


def beside(found: Mask, case: Case, strokes: NDArray[np.uint8]) -> float:
    """Return the IoU at the pixels that are not painted."""
    free = strokes == 0
    return overlap(found & free, case.truth & free)


def filtered(case: Case) -> NDArray[np.float32]:
    """Return scikit-image's filters of an image: ``(pixels, filters)``."""
    from skimage.feature import multiscale_basic_features

    axis = -1 if case.image.ndim == 3 else None
    found = multiscale_basic_features(case.image, channel_axis=axis, sigma_min=0.5, sigma_max=16)
    return np.asarray(found, np.float32).reshape(case.truth.size, -1)


def others(
    case: Case, inputs: NDArray[np.float32], strokes: NDArray[np.uint8]
) -> Iterator[tuple[str, Mask, float]]:
    """Yield what other classifiers find from the same strokes."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

    painted = strokes.ravel() > 0
    x, y = inputs[painted], strokes.ravel()[painted] == ON
    for name, kind in ((FOREST, RandomForestClassifier), (EXTRA, ExtraTreesClassifier)):
        start = time.perf_counter()
        model = kind(TREES, random_state=0).fit(x, y)
        found = model.predict_proba(inputs)[:, 1] > 0.5
        yield name, found.reshape(strokes.shape), time.perf_counter() - start
    start = time.perf_counter()
    weight, bias = fit_logistic(x, y)
    yield LOGISTIC, (inputs @ weight + bias > 0).reshape(strokes.shape), time.perf_counter() - start


def measured(job: tuple[int, int, Sequence[tuple[str, int]]]) -> list[Measured]:
    """Measure some rows, at some numbers of strokes, on one case with one drawing of strokes."""
    import torch

    number, seed, wanted = job
    torch.set_num_threads(1)
    case = CASES[number]()
    engine = load("demo", device="cpu")
    words = inputs = None
    rows = []
    for count in dict.fromkeys(count for _, count in wanted):
        strokes = draw_strokes(case.truth, count, seed)
        if (WORD, count) in wanted:
            if words is None:
                words = segment(case.image, list(case.words), model=engine).probability
            best = max(beside(one > t, case, strokes) for one in words for t in THRESHOLDS)
            rows.append(Measured(WORD, case.name, count, seed, best, 0.0))
        others_wanted = [row for row, n in wanted if n == count and row in OTHERS]
        if others_wanted:
            if inputs is None:
                inputs = filtered(case)
            for name, found, seconds in others(case, inputs, strokes):
                if name in others_wanted:
                    iou = beside(found, case, strokes)
                    rows.append(Measured(name, case.name, count, seed, iou, seconds))
        if (OURS, count) in wanted:
            start = time.perf_counter()
            learned = teach(case.image, strokes, model=engine)
            result = segment(case.image, learned, model=engine)
            seconds = time.perf_counter() - start
            iou = beside(result.labels > 0, case, strokes)
            rows.append(Measured(OURS, case.name, count, seed, iou, seconds, learned.score))
    return rows


def saved(path: Path | None) -> list[Measured]:
    """Return the figures of a file that an earlier run wrote; none if there is no such file."""
    if path is None or not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Measured(
                one["row"],
                one["case"],
                int(one["count"]),
                int(one["seed"]),
                float(one["iou"]),
                float(one["seconds"]),
                float(one["score"]) if one["score"] else None,
            )
            for one in csv.DictReader(file)
        ]


def save(path: Path | None, rows: Sequence[Measured]) -> None:
    """Append figures to a file."""
    if path is None:
        return
    begun = path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [one.name for one in fields(Measured)])
        if not begun:
            writer.writeheader()
        writer.writerows(asdict(one) for one in rows)


def mean(rows: Sequence[Measured], **wanted: object) -> float:
    """Return the mean IoU of the rows with these values."""
    chosen = [
        one.iou for one in rows if all(getattr(one, name) == is_ for name, is_ in wanted.items())
    ]
    return float(np.mean(chosen)) if chosen else float("nan")


def print_table(rows: Sequence[Measured], counts: Sequence[int]) -> None:
    """Print the mean of each row, then ours and the forests on each case."""
    print("| from the same strokes | " + " | ".join(f"{n} strokes" for n in counts) + " | s |")
    print("|---|" + "---|" * (len(counts) + 1))
    for name in ROWS:
        values = " | ".join(f"{mean(rows, row=name, count=n):.3f}" for n in counts)
        seconds = np.median([one.seconds for one in rows if one.row == name])
        print(f"| {name} | {values} | {seconds:.1f} |")
    print("\n| case | " + " | ".join(f"ours, forest, trees: {n}" for n in counts) + " |")
    print("|---|" + "---|" * len(counts))
    for case in dict.fromkeys(one.case for one in rows):
        cells = [
            ", ".join(
                f"{mean(rows, row=name, case=case, count=n):.3f}" for name in (OURS, FOREST, EXTRA)
            )
            for n in counts
        ]
        print(f"| {case} | " + " | ".join(cells) + " |")
    gaps = [
        max(mean(rows, row=name, case=case, count=n) for name in (FOREST, EXTRA))
        - mean(rows, row=OURS, case=case, count=n)
        for case in dict.fromkeys(one.case for one in rows)
        for n in counts
    ]
    print(f"\nLargest step below the better forest on one case: {max(gaps):.3f}")
    for n in counts:
        gain = np.mean(
            [
                mean(rows, row=OURS, case=shape, count=n)
                - mean(rows, row=FOREST, case=shape, count=n)
                for shape in SHAPES
            ]
        )
        print(f"Things that differ by shape alone, {n} strokes: {gain:+.3f} beside the forest")
    errors = [abs(one.iou - one.score) for one in rows if one.score is not None]
    told = len(errors) / max(sum(one.row == OURS for one in rows), 1)
    print(
        f"Score from held-out strokes: told in {told:.0%} of the cases, mean distance to the true "
        f"IoU {np.mean(errors):.3f}"
    )


def silence(seeds: Sequence[int]) -> float:
    """Return the share of empty images that is marked after teaching on their background."""
    shares = []
    for seed in seeds:
        scene, empty, other = (
            shapes("stars", seed),
            _empty(seed, "crosses"),
            _empty(seed, "crescents"),
        )
        strokes = draw_strokes(scene.truth, 12, seed)
        background = draw_strokes(empty.truth, 12, seed)
        learned = teach([scene.image, empty.image], [strokes, background])
        for one in (empty, other):
            found = segment(one.image, learned).labels > 0
            shares.append(found.mean())
    return float(np.mean(shares))


def _empty(seed: int, kind: str) -> Case:
    """Return a scene without any of the things that are looked for."""
    return shapes(kind, 100 + seed, wanted=0)


def transfer(seeds: Sequence[int]) -> tuple[float, float]:
    """Return the IoU on four other scenes of a prompt of one scene, and of prompts of their own."""
    there, own = [], []
    for seed in seeds:
        scene = shapes("stars", 200 + seed)
        learned = teach(scene.image, draw_strokes(scene.truth, 24, seed))
        for number in range(4):
            # The same colors and light, other places.
            other = shapes("stars", 200 + seed, layout=number + 1)
            strokes = draw_strokes(other.truth, 24, seed)
            there.append(_found(other, learned, strokes))
            own.append(_found(other, teach(other.image, strokes), strokes))
    return float(np.mean(there)), float(np.mean(own))


def _found(case: Case, learned: LearnedPrompt, strokes: NDArray[np.uint8]) -> float:
    found = segment(case.image, learned).labels > 0
    return beside(found, case, strokes)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10, help="drawings of strokes (10)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of strokes")
    parser.add_argument("--table-only", action="store_true", help="without silence and transfer")
    parser.add_argument("--save", type=Path, metavar="FILE.csv", help="keep the figures")
    options = parser.parse_args()
    seeds = range(options.seeds)
    rows = saved(options.save)
    known = {(one.row, one.case, one.count, one.seed) for one in rows}
    names = [make().name for make in CASES]
    jobs = []
    for seed in seeds:
        for i, name in enumerate(names):
            wanted = [
                (r, n) for n in options.counts for r in ROWS if (r, name, n, seed) not in known
            ]
            jobs += [(i, seed, wanted)] if wanted else []
    with ProcessPoolExecutor(options.jobs) as pool:
        for done, found in enumerate(pool.map(measured, jobs), 1):
            rows += found
            save(options.save, found)
            print(f"{done} of {len(jobs)}", file=sys.stderr, flush=True)
    rows = [one for one in rows if one.count in options.counts and one.seed in seeds]
    print_table(rows, options.counts)
    if not options.table_only:
        few = range(min(options.seeds, 4))
        print(f"Marked on images without the thing: {silence(few):.2%}")
        there, own = transfer(few)
        print(f"Taught on one scene, used on four others: {there:.3f}; taught there: {own:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
