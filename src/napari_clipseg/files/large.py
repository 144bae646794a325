"""The maps of large images among many: in a file, and found again after a kill."""

from __future__ import annotations

import hashlib
import math
import shutil
from contextlib import suppress
from pathlib import Path

from napari_clipseg.files.jobs import Job
from napari_clipseg.files.ledger import part_path
from napari_clipseg.images.io.source import Source
from napari_clipseg.images.tiling.plan import FLOAT32
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Segmentation

LARGE = 1 << 29  # bytes of a map


def is_large(source: Source, recipe: Recipe) -> bool:
    """Return whether a map is better in a file: one of an image that is not in memory, too."""
    pixels = math.prod((*source.planes_shape, *source.shape))
    large = pixels * len(recipe.all_prompts) * FLOAT32 > LARGE
    return large and not source.in_memory and not recipe.refine_edges


def map_path(job: Job, key: str, stat: tuple[int, ...]) -> Path:
    """Return where the map of an image is, the same for the same image and recipe.

    Parameters
    ----------
    job : Job
        Of the image.
    key : str
        That of the order.
    stat : tuple of int
        Size and time of the image's file.
    """
    token = hashlib.sha256(f"{key} {stat}".encode()).hexdigest()
    return part_path(job, "map.zarr", token[:16])


def whole_map(path: Path) -> Segmentation | None:
    """Return the whole map that a killed run left; what it left half is removed."""
    import psutil

    if not path.exists():
        return None
    with suppress(OSError, ValueError, KeyError, ModuleNotFoundError):
        found = Segmentation.load(path)
        # If the machine went off, what was written last may never have reached the disk.
        on_disk = (path / "zarr.json").stat().st_mtime > psutil.boot_time()
        if found.complete and on_disk:
            return found
    shutil.rmtree(path, ignore_errors=True)
    return None
