"""Time of labels when the threshold changes, on a map of 2048 x 2048 pixels.

``python benchmarks/labels.py [--rounds N]``. The map is made by code: some 500 blobs of three
prompts, many of them touching, with soft edges and a little noise. Prints the median and the
slowest of the rounds, whose threshold moves a little each time, as a slider's does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_clipseg.images.labels.instances import InstanceOptions, instance_labels
from napari_clipseg.images.labels.threshold import otsu_threshold, semantic_labels

SIDE = 2048
BLOBS = 500
RADII = (10, 40)  # pixels, from and to
SOFTNESS = 4.0  # pixels over which a probability falls off
NOISE = 0.05
THRESHOLD = 0.45
STEP = 0.005
SEMANTIC_LIMIT, INSTANCE_LIMIT = 16, 250  # ms

Work = Callable[[float], np.ndarray]


def probability_map(prompts: int) -> np.ndarray:
    """Return ``(prompts, SIDE, SIDE)`` float32, always the same."""
    rng = np.random.default_rng(0)
    far = np.full((prompts, SIDE, SIDE), 1e3, np.float32)  # beyond the edge of the nearest blob
    for _ in range(BLOBS):
        radius = rng.uniform(*RADII)
        centre = rng.uniform(0, SIDE, 2)
        reach = radius + 8 * SOFTNESS
        rows, columns = (
            np.arange(max(0, int(c - reach)), min(SIDE, int(c + reach))) for c in centre
        )
        here = np.hypot((rows - centre[0])[:, None], columns - centre[1]) - radius
        part = far[rng.integers(prompts), rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        np.minimum(part, here, out=part)
    # A model's map of some hundred pixels, made larger: no noise is as fine as a pixel.
    noise = gaussian_filter(rng.standard_normal(far.shape, np.float32), (0, 6, 6))
    probability = 1 / (1 + np.exp(np.clip(far / SOFTNESS, -30, 30)))
    return np.clip(probability + NOISE / noise.std() * noise, 0, 1).astype(np.float32)


def timed(work: Work, rounds: int) -> tuple[float, float]:
    """Return the median and the slowest of some rounds, in ms."""
    work(THRESHOLD)
    times = []
    for i in range(rounds):
        began = time.perf_counter()
        work(THRESHOLD + STEP * (i % 5))
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times), max(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11, help="default: %(default)s")
    rounds = parser.parse_args().rounds
    three = probability_map(3)
    one = three.max(axis=0, keepdims=True)

    def instances(maps: np.ndarray, **options: object) -> Work:
        chosen = InstanceOptions(**options)
        return lambda t: instance_labels(semantic_labels(maps, t), maps, chosen)

    cleaned = {"min_size": 50, "fill_holes": True, "drop_border": True}
    limits = (SEMANTIC_LIMIT, INSTANCE_LIMIT)
    rows: list[tuple[str, Work, int | None]] = [
        ("labels, one prompt", lambda t: semantic_labels(one, t), limits[0]),
        ("labels, three prompts", lambda t: semantic_labels(three, t), limits[0]),
        ("the same, one of them negative", lambda t: semantic_labels(three, t, negative=[1]), None),
        ("the same, of half precision", _stored(three, np.float16), None),
        ("the same, of bytes", _stored(three, np.uint8), None),
        ("the same, hysteresis", lambda t: semantic_labels(three, t, low_threshold=t / 2), None),
        ("Otsu's threshold of three prompts", lambda _: np.array(otsu_threshold(three)), None),
        ("instances, one prompt", instances(one), limits[1]),
        ("instances, three prompts", instances(three), limits[1]),
        ("the same, small and cut ones out, holes filled", instances(three, **cleaned), limits[1]),
        ("the same, split at necks", instances(three, split="distance"), limits[1]),
        ("the same, split at dips", instances(three, split="probability"), limits[1]),
        ("the same, smoothed by 3 pixels", instances(three, smooth=3), None),
        (
            "all of it, split at necks",
            instances(three, split="distance", smooth=3, **cleaned),
            None,
        ),
    ]
    count = int(instance_labels(semantic_labels(three, THRESHOLD)).max())
    print(f"{SIDE} x {SIDE} pixels, {count} objects, {os.cpu_count()} cores, {rounds} rounds")
    print("| work | median | slowest | wanted |")
    print("|---|---|---|---|")
    for title, work, limit in rows:
        median, slowest = timed(work, rounds)
        wanted = f"≤ {limit} ms" if limit else ""
        print(f"| {title} | {median:.1f} ms | {slowest:.1f} ms | {wanted} |", flush=True)


def _stored(maps: np.ndarray, dtype: type) -> Work:
    stored = (maps * 255).astype(dtype) if dtype is np.uint8 else maps.astype(dtype)
    return lambda t: semantic_labels(stored, t)


if __name__ == "__main__":
    main()
