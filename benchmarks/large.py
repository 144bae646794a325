"""Print what large images cost: ``python benchmarks/large.py``.

The peak memory of a run over a lazy image of 20,000 x 20,000 pixels above that of the engine by
itself, with the map in OME-Zarr, and over one of 4096 x 4096 with the map in memory; and the share
of the time that is not spent in the model, with a model of the published size.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CASES: dict[str, tuple[int, str | float, bool]] = {
    # name: side of the image in pixels, detail, whether the map goes into a file
    "20,000 x 20,000, OME-Zarr": (20_000, 1000.0, True),
    "20,000 x 20,000, whole, OME-Zarr": (20_000, "whole", True),
    "4096 x 4096, fine, memory": (4096, "fine", False),
}


def lazy_image(side: int) -> Any:
    """Return a uint16 dask image of blobs, made when it is read."""
    import dask.array as da

    def block(block_info: Any = None) -> np.ndarray:
        (top, bottom), (left, right) = block_info[None]["array-location"]
        y, x = np.ogrid[top:bottom, left:right]
        waves = np.sin(y / 11.0) * np.sin(x / 13.0) + 0.3 * np.sin(y / 301.0 + x / 407.0)
        return ((waves + 2) * 9000).astype(np.uint16)

    chunk = 1000
    chunks = [(chunk,) * (side // chunk) + ((side % chunk,) if side % chunk else ())] * 2
    return da.map_blocks(block, chunks=chunks, dtype=np.uint16, meta=np.empty((0, 0), np.uint16))


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return the function, its seconds added to `spent`."""

    def run(*arguments: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[0] += time.perf_counter() - start

    return run


def one(name: str, model: str) -> None:
    """Run one case in this process and print its row."""
    from napari_clipseg import load, segment

    side, detail, in_file = CASES[name]
    engine = load(model)
    # The engine by itself, at the batch that a run uses.
    image = np.random.default_rng(0).integers(0, 255, (*engine.size, 3), dtype=np.uint8)
    batch = [image] * engine.batch_size
    engine.decode(engine.encode(batch, cache=False), engine.embed(["nuclei"]))
    before = peak_bytes()
    spent = [0.0]
    for method in ("encode", "embed", "decode"):
        setattr(engine, method, timed(getattr(engine, method), spent))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        segment(
            lazy_image(side),
            "nuclei",
            model=engine,
            detail=detail,
            output=Path(folder) / "map.zarr" if in_file else None,
            dtype="uint8" if in_file else "float32",
        )
        seconds = time.perf_counter() - start
    print(
        f"{name:<38}{before / 2**20:>11,.0f}{(peak_bytes() - before) / 2**20:>11,.0f}"
        f"{seconds:>10.1f}{seconds - spent[0]:>10.1f}{(seconds - spent[0]) / spent[0]:>8.1%}",
        flush=True,
    )


def main() -> int:
    """Run each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo", help="checkpoint; default: %(default)s")
    parser.add_argument("--case", choices=CASES, help="only this one, in this process")
    arguments = parser.parse_args()
    if arguments.case:
        one(arguments.case, arguments.model)
        return 0
    print(f"model {arguments.model}")
    titles = ("engine, MB", "above, MB", "seconds", "besides", "share")
    print(f"{'image':<38}" + "{:>11}{:>11}{:>10}{:>10}{:>8}".format(*titles), flush=True)
    for name in CASES:
        command = [sys.executable, __file__, "--model", arguments.model, "--case", name]
        subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
