"""What a batch will take: tiles, time and disk, from the headers of its images."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.files.batch import Batch
from napari_clipseg.files.failures import explain, in_the_way
from napari_clipseg.files.jobs import Job
from napari_clipseg.files.one import FAILED, FileReport
from napari_clipseg.files.readers import read_image
from napari_clipseg.images.io.source import as_source
from napari_clipseg.plans import plan_of
from napari_clipseg.recipe import Recipe
from napari_clipseg.segmentation import segment

BYTES = 4  # of a pixel of labels, or of a map


@dataclass(frozen=True)
class Estimate:
    """What a batch will take.

    Attributes
    ----------
    images, already, tiles : int
        Images to do, images that are done, and tiles of those to do.
    seconds : float
        Time on this machine in one process: that of one tile, times their number.
    nbytes, free : int
        Disk that labels and maps take before they are compressed, and what is free.
    problems : tuple of FileReport
        Images that will fail.
    """

    images: int
    already: int
    tiles: int
    seconds: float
    nbytes: int
    free: int
    problems: tuple[FileReport, ...]


def estimate(batch: Batch) -> Estimate:
    """Return what a batch will take; of its images, only headers are read."""
    recipe, engine = batch.order.recipe, load(batch.order.recipe.model)
    tiles, pixels, problems = 0, 0, []
    for job in batch.to_do:
        try:
            if not batch.order.overwrite:
                _require_free(batch, job)
            source = read_image(job.image, headers=True)
            if batch.order.axes is not None:
                source = as_source(source, axes=batch.order.axes)
            plan = plan_of(source, recipe, engine)
        except Exception as error:
            said, cure = explain(error)
            problems.append(FileReport(job.image, FAILED, error=said, cure=cure))
            continue
        tiles += plan.tile_count
        pixels += plan.map_bytes // BYTES // plan.maps
    formats = batch.jobs[0].formats if batch.jobs else ()
    maps = sum(
        len(recipe.all_prompts) if name.startswith("probability") else name.startswith("labels")
        for name in formats
    )
    return Estimate(
        len(batch.to_do) - len(problems),
        len(batch.already),
        tiles,
        tiles * seconds_of_tile(engine, recipe) if tiles else 0.0,
        BYTES * pixels * maps,
        shutil.disk_usage(_existing(batch.output)).free,
        tuple(problems),
    )


def _require_free(batch: Batch, job: Job) -> None:
    known = batch.entries.get(job.id)
    ours = known is not None and known.key == batch.order.key
    for name in job.formats:
        for path in job.outputs(name):
            if path.exists() and not (ours and known is not None and path.name in known.parts):
                raise in_the_way(path)


def seconds_of_tile(engine: Engine, recipe: Recipe) -> float:
    """Return how long a tile takes here: that of a second one, when all is loaded."""
    side = max(engine.size)
    image = np.tile(np.arange(side, dtype=np.uint8), (side, 1))
    plain = Recipe(recipe.prompts, negative_prompts=recipe.negative_prompts, model=recipe.model)
    for _ in range(2):
        started = time.perf_counter()
        segment(image[None], plain, axes="zyx", model=engine)
    return time.perf_counter() - started


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())
