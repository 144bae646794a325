"""Print what the objects of large maps cost: ``python benchmarks/large_labels.py``.

Maps in OME-Zarr, labelled block by block: the peak memory of the process above that before, the
time, and the number of objects. "apart": spots of which some touch; "a layer": all touch, so that
all are one connected part, far too large to be split as a whole. The same map is labelled in memory
where it fits ("both"), and compared.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CASES: dict[str, tuple[int, float, bool]] = {
    # name: side in pixels, radius of a spot over the step between spots, whether in memory, too
    "20,000 x 20,000, apart": (20_000, 0.4, False),
    "10,000 x 10,000, a layer": (10_000, 0.56, False),
    "4096 x 4096, apart, both": (4096, 0.4, True),
    "4096 x 4096, a layer, both": (4096, 0.56, True),
}
STEP = 40  # pixels from one spot to the next


def band(top: int, bottom: int, side: int, radius: float) -> np.ndarray:
    """Return rows of a map of spots in a grid, each moved a little: float32, 0 to 1."""
    made = np.zeros((bottom - top + 8 * STEP, side + 8 * STEP), np.float32)
    reach = np.arange(-STEP, STEP + 1)
    for i in range(top // STEP - 1, bottom // STEP + 2):
        for j in range(-1, side // STEP + 2):
            # As good as random, and the same wherever a band begins.
            moved = [
                (i * a + j * b) * 2654435761 % 2**32 / 2**32 - 0.5 for a, b in ((7, 3), (5, 11))
            ]
            row, column = (
                (n + 0.5 + 0.3 * one) * STEP for n, one in zip((i, j), moved, strict=True)
            )
            down, across = round(row) + reach, round(column) + reach
            far = np.hypot(down[:, None] - row, across - column)
            first = down[0] - top + 4 * STEP, across[0] + 4 * STEP
            here = made[tuple(slice(one, one + len(reach)) for one in first)]
            np.maximum(here, 1 - far / (2 * radius * STEP), out=here)
    return made[4 * STEP : 4 * STEP + bottom - top, 4 * STEP : 4 * STEP + side]


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def one(name: str, folder: Path) -> None:
    """Write a map, or label it in this process and print its row."""
    from napari_clipseg.images.io.extent import Extent
    from napari_clipseg.images.io.maps import create_map
    from napari_clipseg.images.labels.instances import InstanceOptions
    from napari_clipseg.recipe import Recipe
    from napari_clipseg.results import Segmentation

    side, radius, both = CASES[name]
    extent = Extent(height=side, width=side)
    written = create_map(extent, 1, output=folder / "map.zarr", dtype="uint8")
    for top in range(0, side, 512):
        rows = slice(top, min(top + 512, side))
        written.write((), rows, band(rows.start, rows.stop, side, radius)[None])
    options = InstanceOptions(split="distance", min_distance=8, min_size=20, fill_holes=9.0)
    recipe = Recipe("spots", threshold=0.5, instances=options)
    result = Segmentation(written.data, 0.5, recipe, extent, path=folder / "map.zarr")
    before, start = peak_bytes(), time.perf_counter()
    for _ in result.label_steps():
        pass
    seconds, above = time.perf_counter() - start, peak_bytes() - before
    count, equal = len(result.objects["index"]), ""
    if both:
        in_memory = Segmentation(np.asarray(written.data), 0.5, recipe, extent)
        equal = str(bool((np.asarray(result.labels) == in_memory.labels).all()))
    print(
        f"{name:<30}{count:>10,}{before / 2**20:>12,.0f}{above / 2**20:>11,.0f}{seconds:>10.1f}"
        f"{equal:>8}",
        flush=True,
    )


def main() -> int:
    """Run each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, help="only this one, in this process")
    parser.add_argument("--folder", type=Path, help="where the maps are written for a while")
    arguments = parser.parse_args()
    if arguments.case:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            one(arguments.case, Path(folder))
        return 0
    titles = ("objects", "before, MB", "above, MB", "seconds", "equal")
    print(f"{'map':<30}" + "{:>10}{:>12}{:>11}{:>10}{:>8}".format(*titles), flush=True)
    for name in CASES:
        folder_option = ["--folder", str(arguments.folder)] if arguments.folder else []
        subprocess.run([sys.executable, __file__, "--case", name, *folder_option], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
