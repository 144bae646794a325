"""A table of the objects: position, size, shape and mean probability of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from napari_clipseg.images.labels.linking import object_classes
from napari_clipseg.images.probability import Maps, as_unit

Labels = NDArray[np.integer]
Columns = dict[str, NDArray[Any]]

# For an object in several planes these are measured in the plane where it is largest.
SHAPE = ("axis_major_length", "axis_minor_length", "eccentricity")


def object_table(
    instances: Labels,
    semantic: Labels,
    probability: Maps,
    prompts: Sequence[str],
    spacing: Sequence[float] | None = None,
    unit: str = "pixel",
) -> Columns:
    """Measure each object.

    Parameters
    ----------
    instances : ndarray of int
        ``(*planes, height, width)``: 0 for background, otherwise the label of an object. Labels
        may have gaps.
    semantic : ndarray of int
        Of the same shape: 0 for background, k for the k-th of `prompts`, counted from 1.
    probability : ndarray
        ``(prompts, *planes, height, width)`` as `semantic_labels` takes them, without those of
        negative prompts.
    prompts : sequence of str
        Name of the prompt of each map.
    spacing : sequence of float, optional
        Spacing of planes, rows and columns, or of the last two only; the default is 1.
    unit : str
        Unit of the spacing of rows and columns.

    Returns
    -------
    dict of ndarray
        Columns of equal length with one row per object, sorted by label, as
        ``napari.layers.Labels(features=...)`` takes them:

        - ``index``: the label.
        - ``prompt``: the prompt of most of its pixels; empty if there is none.
        - ``area``: in `unit` squared; the sum over its planes.
        - ``planes``: number of planes it lies in; only for images with planes.
        - ``centroid-0``, ...: along each axis, in the unit of its spacing.
        - ``axis_major_length``, ``axis_minor_length``, ``eccentricity``: of the ellipse with the
          same second moments, in `unit`; in the plane where the object is largest.
        - ``mean_probability``: mean of the map of its prompt over its pixels.
        - ``bbox-0``, ...: first index along each axis, then the end (exclusive) along each.
        - ``unit``: unit of lengths.

    Raises
    ------
    ValueError
        If shapes, labels or prompts do not fit each other.

    Examples
    --------
    >>> labels = np.zeros((20, 20), int)
    >>> labels[2:6, 3:8] = 1
    >>> table = object_table(labels, labels, np.ones((1, 20, 20)), ["cells"], (0.5, 0.5), "um")
    >>> table["prompt"].tolist(), table["area"].tolist(), table["centroid-0"].tolist()
    (['cells'], [5.0], [1.75])
    """
    axes = instances.ndim
    if probability.shape != (len(prompts), *instances.shape):
        raise ValueError(
            f"The probability maps have shape {probability.shape}; wanted "
            f"{(len(prompts), *instances.shape)} for {len(prompts)} prompts and these instances."
        )
    steps = of_all_axes(spacing, axes)
    classes = object_classes(instances, semantic)
    if len(classes) and classes.max() > len(prompts):
        raise ValueError(
            f"The labels name prompt {classes.max()}, but there are {len(prompts)} prompts. "
            f"Give one for each class."
        )
    if not instances.size:  # scikit-image measures no empty array; a blank one has the same columns
        instances = np.zeros((1,) * axes, np.int32)
        probability = np.zeros((len(prompts), *instances.shape), np.float32)
    found = [
        _of_plane(instances[plane], probability[(slice(None), *plane)], classes, plane, steps)
        for plane in np.ndindex(instances.shape[:-2])
    ]
    rows = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return merged_rows(rows, classes, prompts, axes, unit)


def of_all_axes(spacing: Sequence[float] | None, axes: int) -> tuple[float, ...]:
    """Return the spacing of all axes; planes lie 1 apart unless it says so.

    Raises
    ------
    ValueError
        If it is neither that of all axes nor of the last two, or a value is not positive.
    """
    given = (1.0, 1.0) if spacing is None else tuple(map(float, spacing))
    if len(given) not in (2, axes) or not all(0 < one < np.inf for one in given):
        raise ValueError(
            f"Got the spacing {given}; wanted 2 or {axes} positive numbers: "
            f"the height and width of a pixel, after the steps between planes."
        )
    return (1.0,) * (axes - len(given)) + given


def _of_plane(
    objects: Labels,
    maps: Maps,
    classes: NDArray[np.int32],
    plane: tuple[int, ...],
    steps: tuple[float, ...],
) -> Columns:
    """Return a row for each object in a plane ``(height, width)``; maps ``(prompts, ...)``."""
    present = np.flatnonzero(np.bincount(objects.ravel(), minlength=1))
    present = present[present > 0]
    # Renumbered from 1: scikit-image visits each number up to the greatest.
    own = np.zeros(int(objects.max(initial=0)) + 1, np.int32)
    own[present] = 1 + np.arange(len(present))
    table = regionprops_table(
        own[objects],
        intensity_image=np.moveaxis(as_unit(maps), 0, -1),
        spacing=steps[-2:],
        properties=("area", "num_pixels", "centroid", "bbox", "intensity_mean", *SHAPE),
    )
    means = np.stack([table[f"intensity_mean-{k}"] for k in range(len(maps))])
    its = classes[present]
    of_prompt = means[np.maximum(its, 1) - 1, np.arange(len(present))]
    rows = {"index": present, "area": table["area"], "pixels": table["num_pixels"]}
    rows["mean_probability"] = np.where(its > 0, of_prompt, np.nan)
    for i, (at, step) in enumerate(zip(plane, steps, strict=False)):
        rows[f"centroid-{i}"] = np.full(len(present), at * step)
    first = len(plane)
    for i in (0, 1):
        rows[f"centroid-{first + i}"] = table[f"centroid-{i}"]
    bounds = [*plane, table["bbox-0"], table["bbox-1"]]
    bounds += [*(at + 1 for at in plane), table["bbox-2"], table["bbox-3"]]
    for i, bound in enumerate(bounds):
        rows[f"bbox-{i}"] = np.broadcast_to(bound, len(present)).astype(np.int64)
    return rows | {name: table[name] for name in SHAPE}


def merged_rows(
    rows: Columns, classes: NDArray[np.int32], prompts: Sequence[str], axes: int, unit: str
) -> Columns:
    """Merge the rows of each object in several planes into one."""
    index, where = np.unique(rows["index"], return_inverse=True)
    count, pixels = len(index), rows["pixels"]

    def total(column: NDArray[Any]) -> NDArray[np.float64]:
        # Without rows, NumPy's sums would be integers.
        return np.bincount(where, weights=column, minlength=count).astype(np.float64)

    by_size = np.lexsort((-pixels, where))
    largest = by_size[np.searchsorted(where[by_size], np.arange(count))]
    names = np.array(["", *prompts])
    table: Columns = {"index": index, "prompt": names[classes[index]], "area": total(rows["area"])}
    if axes > 2:
        table["planes"] = np.bincount(where, minlength=count)
    weighted = [f"centroid-{i}" for i in range(axes)]
    for name in (*weighted, *SHAPE, "mean_probability"):
        if name in SHAPE:
            table[name] = rows[name][largest]
        else:
            table[name] = total(rows[name] * pixels) / total(pixels)
    for i in range(2 * axes):
        bound = f"bbox-{i}"
        table[bound] = rows[bound][largest]
        (np.minimum if i < axes else np.maximum).at(table[bound], where, rows[bound])
    table["unit"] = np.full(count, unit)
    return table
