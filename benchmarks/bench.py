"""Time and memory of the engine beside ``transformers``, on the same random weights.

``tox -e bench``, or ``python benchmarks/bench.py [--rounds N] [--cold-rounds N]``. All take turns
in one call, so that what else the machine does weighs on all; read the ratios, not the seconds.
For Linux and macOS, where the operating system tells the peak of a process's memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from cold import Cold, run_cold
from implementations import OURS, REFERENCE, Ours, Reference, new_picture, new_prompts
from machine import GIGA, MatrixRate, operations

# Random checkpoints, and scenes, are made by the maintainers' tools.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

SIZE = "rd64-refined"
MANY = 8
NEW, INT8, EIGHT, NEW_TEXT, SEEN, COLD, PEAK = (
    "one prompt, new picture",
    'the same, int8 (`precision="int8"`)',
    f"{MANY} prompts, new picture",
    "a new text, picture seen before",
    "a text seen before, picture seen before",
    "cold process to the first map",
    "peak memory of that process",
)
# How many times as fast, or which part of the memory, is wanted.
WANTED = {NEW: 1.2, INT8: 1.6, EIGHT: 8, NEW_TEXT: 15, SEEN: 40, COLD: 2.5, PEAK: 0.8}
OF_FLOOR = 1.15
SAME = 0.99  # IoU of labels

Seconds = dict[str, dict[str, list[float]]]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def warm(ours: Ours, fast: Ours, reference: Reference, rounds: int) -> tuple[Seconds, list[float]]:
    """Return the seconds of each row, and the machine's rates, of all rounds."""
    seconds: Seconds = defaultdict(lambda: defaultdict(list))
    rate = MatrixRate()
    rate()
    rates = []
    for number in range(rounds):
        picture, (prompt,) = new_picture(), new_prompts()
        rates.append(rate())
        full = timed(lambda: reference(picture, [prompt]))  # noqa: B023  run at once
        for row in (NEW, INT8, NEW_TEXT, SEEN):
            seconds[row][REFERENCE].append(full)
        seconds[NEW][OURS].append(timed(lambda: ours(picture, [prompt])))  # noqa: B023
        seconds[INT8][OURS].append(timed(lambda: fast(picture, [prompt])))  # noqa: B023
        another = new_prompts()
        seconds[NEW_TEXT][OURS].append(timed(lambda: ours(picture, another)))  # noqa: B023
        seconds[SEEN][OURS].append(timed(lambda: ours(picture, [prompt])))  # noqa: B023
        if number % 2 == 0:  # it takes as long as all others together
            picture, prompts = new_picture(), new_prompts(MANY)
            seconds[EIGHT][OURS].append(timed(lambda: ours(picture, prompts)))  # noqa: B023
            seconds[EIGHT][REFERENCE].append(timed(lambda: reference(picture, prompts)))  # noqa: B023
    return seconds, rates


def cold(folder: Path, rounds: int) -> dict[str, list[Cold]]:
    """Return what fresh processes took, in turns."""
    runs: dict[str, list[Cold]] = {OURS: [], REFERENCE: []}
    for _ in range(rounds):
        for name, taken in runs.items():
            taken.append(run_cold(name, folder))
    return runs


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--cold-rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args()

    from agreement import label_agreement
    from napari_clipseg import load
    from parity import write_random_checkpoint

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_random_checkpoint(folder, SIZE)
        processes = cold(folder, arguments.cold_rounds)
        ours, fast, reference = Ours(folder), Ours(folder, precision="int8"), Reference(folder)
        picture, prompts = new_picture(), new_prompts(2)
        compare(ours, fast, reference, picture, prompts)  # and warm up
        count = operations(ours, new_picture(), new_prompts())
        seconds, rates = warm(ours, fast, reference, arguments.rounds)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32, shape of {SIZE}")
    print_table(seconds, processes)
    print_floor(median(seconds[NEW][OURS]), count, median(rates))
    agreement = label_agreement(
        load("demo", device="cpu"), load("demo", device="cpu", precision="int8")
    )
    print(f"int8 on the bundled checkpoint: label IoU {agreement:.4f}; wanted: at least {SAME}.")


def compare(
    ours: Ours, fast: Ours, reference: Reference, picture: np.ndarray, prompts: list[str]
) -> None:
    """Print how far the logits lie apart."""
    wanted = reference(picture, prompts)
    for name, implementation in ((OURS, ours), (INT8, fast)):
        difference = np.abs(implementation(picture, prompts) - wanted).max() / np.abs(wanted).max()
        print(f"{name}: largest difference from {REFERENCE} / largest logit: {difference:.1e}")


def print_table(seconds: Seconds, processes: dict[str, list[Cold]]) -> None:
    """Print the rows of both implementations, their ratio, and what is wanted of it."""
    print(f"\n| work | {OURS} | {REFERENCE} | ratio | wanted |\n|---|---|---|---|---|")
    seconds = {**seconds, COLD: {}}
    for name, runs in processes.items():
        seconds[COLD][name] = [run.seconds for run in runs]
    for row in (NEW, INT8, EIGHT, NEW_TEXT, SEEN, COLD):
        mine, other = (median(seconds[row][name]) for name in (OURS, REFERENCE))
        print(
            f"| {row} | {mine:.3f} s | {other:.3f} s | {other / mine:.2f} times as fast "
            f"| {WANTED[row]} |"
        )
    mine, other = (median(run.peak for run in processes[name]) / GIGA for name in (OURS, REFERENCE))
    print(
        f"| {PEAK} | {mine:.2f} GB | {other:.2f} GB | {mine / other:.2f} of it | {WANTED[PEAK]} |"
    )


def print_floor(taken: float, count: float, rate: float) -> None:
    """Print what the machine's own rate allows for one prompt on a new picture."""
    floor = count / rate
    print(
        f"\n{NEW}: {count / GIGA:.1f} GFLOP; a large matrix product runs at {rate / GIGA:.0f} "
        f"GFLOP/s, so the floor is {floor:.3f} s. {OURS} / floor: {taken / floor:.2f}; wanted: at "
        f"most {OF_FLOOR}."
    )


if __name__ == "__main__":
    main()
