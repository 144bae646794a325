"""Time to write 10,000 objects in each format, and size of the file.

``python benchmarks/formats.py [--objects N]``. The labels are made by code: discs with a hole, on
a grid. The time of a format is that of `Format.write`, with the table of objects measured anew each
time and the intensities of the image. ``CPU`` is what the process itself worked.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_clipseg import InstanceOptions, Recipe, Segmentation
from napari_clipseg.files.formats import FORMATS
from napari_clipseg.images.io.extent import Extent

CELL = 32  # pixels between two objects
RADII = (6, 15)
HOLE = 3  # radius
LIMIT = 10  # seconds


def result_of(objects: int) -> tuple[Segmentation, np.ndarray]:
    """Return a result with so many objects, and an image of two channels."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(objects)))
    rows, columns = np.ogrid[:CELL, :CELL]
    far = np.hypot(rows - CELL / 2 + 0.5, columns - CELL / 2 + 0.5)
    radii = np.where(np.arange(side * side) < objects, rng.uniform(*RADII, side * side), 0)
    discs = (far < radii[:, None, None]) & (far >= HOLE)
    mask = discs.reshape(side, side, CELL, CELL).swapaxes(1, 2).reshape(side * CELL, side * CELL)
    maps = (0.9 * mask).astype(np.float32)[None]
    image = rng.integers(0, 4096, (2, *mask.shape), np.uint16)
    recipe = Recipe("discs", threshold=0.5, instances=InstanceOptions())
    extent = Extent(height=mask.shape[0], width=mask.shape[1], spacing=(0.5, 0.5), unit="um")
    return Segmentation(maps, 0.5, recipe, extent, ("c", "y", "x")), image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    objects = parser.parse_args().objects
    result, image = result_of(objects)
    labels = result.labels
    print(f"{int(labels.max()):,} objects on {labels.shape[0]} x {labels.shape[1]} pixels")
    print(f"{'format':<22} {'seconds':>8} {'CPU':>8} {'MB':>8}   (goal: under {LIMIT} s)")
    with tempfile.TemporaryDirectory() as folder:
        for name, one in FORMATS.items():
            fresh = replace(result)  # its table is not measured yet
            vars(fresh)["labels"] = labels
            path = Path(folder) / f"cells{one.suffix}"
            began, worked = time.perf_counter(), time.process_time()
            one.write(fresh, path, image=image)
            took, work = time.perf_counter() - began, time.process_time() - worked
            files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
            size = sum(file.stat().st_size for file in files) / 1e6
            print(f"{name:<22} {took:8.2f} {work:8.2f} {size:8.2f}{'   too slow' * (took > LIMIT)}")
            if path.is_dir():
                path.rename(path.with_name(f"{name}.done"))


if __name__ == "__main__":
    main()
