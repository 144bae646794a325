"""The objects of a map in a file, block by block: labels beside the map, and their table."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_clipseg.images.io.disk import hidden
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.label_files import new_labels
from napari_clipseg.images.labels.blocks.classes import Classes
from napari_clipseg.images.labels.blocks.steps import LabelSteps, class_table, step_count
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.labels.objects import Columns
from napari_clipseg.recipe import OTSU, Recipe


def classes_of(recipe: Recipe, threshold: float | Sequence[float]) -> Classes:
    """Return how pixels get classes, with the threshold in numbers."""
    low_threshold: Any = recipe.low_threshold
    if low_threshold is not None and recipe.threshold == OTSU:
        low_threshold = np.minimum(low_threshold, threshold)  # it was found after the run
    count = len(recipe.prompts)
    negative = range(count, count + len(recipe.negative_prompts))
    return Classes(threshold, low_threshold, negative)


def label_total(recipe: Recipe, extent: Extent) -> int:
    """Return how many steps it takes to label the objects of a map in a file."""
    passes = Classes(0.5, recipe.low_threshold).passes
    return step_count(extent.shape, recipe.instances or InstanceOptions(), passes)


def write_labels(
    maps: Any,
    threshold: float | Sequence[float],
    recipe: Recipe,
    extent: Extent,
    path: Path,
    metadata: Mapping[str, Any],
) -> Generator[tuple[int, int, str], None, tuple[Any, Columns]]:
    """Write the labels of the objects of a map beside it.

    Parameters
    ----------
    maps : array-like
        ``(prompts, *planes, height, width)``; negative prompts last.
    threshold : float or sequence of float
        In numbers.
    recipe : Recipe
        With `instances`.
    extent : Extent
        Of the map.
    path : Path
        Of the map; see `images.io.label_files.new_labels`.
    metadata : mapping
        What is recorded with the labels.

    Yields
    ------
    tuple of (int, int, str)
        Steps done, all steps, and what comes next. Closed there, it leaves nothing behind.

    Returns
    -------
    memory map or dask array
        The labels, ``(*planes, height, width)`` int32.
    dict of ndarray
        The table of the objects.
    """
    steps = LabelSteps(
        maps,
        classes_of(recipe, threshold),
        recipe.instances or InstanceOptions(),
        recipe.prompt_names,
        extent.spacing,
        extent.unit,
    )
    with new_labels(path, extent, metadata) as (file, scratch):
        running = steps.run(file, scratch)
        while True:
            try:
                message = next(running)
            except StopIteration as stop:
                return file.finish(), stop.value
            yield steps.done - 1, steps.total, message


def class_objects(
    maps: Any, threshold: float | Sequence[float], recipe: Recipe, extent: Extent, path: Path
) -> Columns:
    """Return the table of one label a prompt, of a map in a file."""
    with tempfile.TemporaryDirectory(prefix=f"{hidden(path)}.", dir=path.parent) as folder:
        classes = classes_of(recipe, threshold)
        names, spacing = recipe.prompt_names, extent.spacing
        return class_table(maps, classes, names, spacing, extent.unit, Path(folder))
