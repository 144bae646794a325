"""The labels of a result, made anew: plain values in, plain values out, in any thread."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.cache import content_digest
from napari_clipseg.images.geometry import outline_mask
from napari_clipseg.images.io.layers import from_layer_order, to_layer_order
from napari_clipseg.images.labels.linking import object_classes
from napari_clipseg.images.labels.threshold import semantic_labels
from napari_clipseg.labelling import classes_of
from napari_clipseg.results import Segmentation, Table
from napari_clipseg.widgets.newest import Step

if TYPE_CHECKING:
    from napari_clipseg.widgets.kept import KeptPixels

# Values that are made at once, without a thread: it takes some milliseconds.
SMALL, SMALL_OBJECTS = 1 << 19, 1 << 17
COUNTED = 1 << 22  # pixels at a time


@dataclass(frozen=True, eq=False)
class Wanted:
    """Labels that are wanted.

    Attributes
    ----------
    segmentation : Segmentation
        Of these maps, with its threshold and its objects.
    current : ndarray, optional
        What the layer shows now, in its order of axes; read to see whether it was edited.
    digest : str, optional
        Of what was written into it; None where it is known to be ours.
    plane : tuple of int, optional
        Place in the map of the plane that is made first.
    kept : KeptPixels, optional
        Where nothing is labelled.
    made : Made, optional
        The labels, if they are made already; then only `current` is looked at.
    """

    segmentation: Segmentation
    current: NDArray[Any] | None = None
    digest: str | None = None
    plane: tuple[int, ...] | None = None
    kept: KeptPixels | None = None
    made: Made | None = None

    @property
    def small(self) -> bool:
        """Whether it is made in a moment."""
        maps = self.segmentation.probability
        if self.segmentation.recipe.instances is not None:
            return bool(maps[0].size <= SMALL_OBJECTS)
        return bool(maps.size <= SMALL)


@dataclass(frozen=True, eq=False)
class PlaneMade:
    """The labels of one plane, before all others are made.

    Attributes
    ----------
    plane : tuple of int
        Its place in the map.
    labels : ndarray of int32
        ``(height, width)``.
    """

    plane: tuple[int, ...]
    labels: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Made:
    """Labels that were made.

    Attributes
    ----------
    segmentation : Segmentation
        What they were made of; it does not hold them.
    labels : ndarray of int32
        In the order of the layer's axes, to be painted on.
    digest : str
        Of `labels`.
    summary : str
        A line for each prompt: what part it covers.
    edited : bool
        Whether the layer's labels are not those that were written.
    objects : dict of ndarray, optional
        Their table, if they were measured.
    """

    segmentation: Segmentation
    labels: NDArray[np.int32]
    digest: str
    summary: str
    edited: bool = False
    objects: Table | None = None


def make(wanted: Wanted, step: Step = lambda _: None) -> Made:
    """Make labels; see `Wanted`.

    Parameters
    ----------
    wanted : Wanted
        What is wanted.
    step : callable
        Called before each part, once with a `PlaneMade`; what it raises stops the work.
    """
    step(None)
    one = replace(wanted.segmentation)  # else its labels would stay in memory
    edited = wanted.current is not None and wanted.digest not in (None, digest_of(wanted.current))
    if wanted.made is not None:
        return replace(wanted.made, edited=edited)
    kept = None if wanted.kept is None else wanted.kept.mask()
    if wanted.plane is not None and not edited and math.prod(one.extent.planes_shape) > 1:
        step(PlaneMade(wanted.plane, _of_plane(one, wanted.plane, kept, step)))
    one.make_labels(lambda: step(None))
    classes, labels = one.classes, one.labels
    if kept is not None:
        labels = np.where(kept, 0, labels).astype(np.int32)
    step(None)
    summary = summary_of(one, classes, labels, step)
    laid_out = to_layer_order(labels, one.axes)
    return Made(replace(one), laid_out, digest_of(laid_out), summary, edited)


def measure(segmentation: Segmentation, data: NDArray[np.integer[Any]]) -> Table:
    """Return the table of the objects of a result.

    Parameters
    ----------
    segmentation : Segmentation
        What they were made of.
    data : ndarray of int
        The labels in the order of the layer's axes.
    """
    return segmentation.with_labels(from_layer_order(data, segmentation.axes)).objects


def digest_of(data: NDArray[Any]) -> str:
    """Return the digest by which labels that were edited are told from those that were written."""
    return content_digest(np.asarray(data)).hex()


def summary_of(
    segmentation: Segmentation, classes: Any, labels: Any, step: Callable[[Any], None]
) -> str:
    """Return a line for each prompt: what part its label covers, and of what."""
    names = segmentation.prompt_names
    pixels = np.zeros(len(names) + 1, np.int64)
    flat = classes.reshape(-1)
    for start in range(0, flat.size, COUNTED):
        step(None)
        pixels += np.bincount(flat[start : start + COUNTED], minlength=len(pixels))
    by_object = segmentation.recipe.instances is not None
    objects = object_classes(labels, classes)[np.unique(labels)] if by_object else None
    whole, of_what = _area(segmentation)
    lines = []
    for k, name in enumerate(names, start=1):
        line = f"{name}: {pixels[k] / max(whole, 1):.1%} of {of_what}"
        if objects is not None:
            line += f", {np.count_nonzero(objects == k)} objects"
        lines.append(line)
    return "\n".join(lines)


def _area(segmentation: Segmentation) -> tuple[int, str]:
    """Return how many pixels were asked for, and what they are called."""
    extent, recipe = segmentation.extent, segmentation.recipe
    count = len(extent.planes)
    pixels = extent.height * extent.width
    planes = ""
    if count > 1:
        planes = f"{count} planes"
    elif extent.axes:
        at = zip(extent.axes, extent.planes[0], strict=True)
        planes = "plane " + ", ".join(f"{axis} {index}" for axis, index in at)
    if recipe.region is None:
        return count * pixels, planes or "the image"
    if len(recipe.region) > 2:
        corners = (recipe.region - np.array(extent.origin)) / np.array(extent.factor)
        pixels = int(np.count_nonzero(outline_mask((extent.height, extent.width), corners)))
    return count * pixels, f"the region in {planes}" if planes else "the region"


def _of_plane(
    segmentation: Segmentation,
    plane: tuple[int, ...],
    kept: NDArray[np.bool_] | None,
    step: Step,
) -> NDArray[np.int32]:
    """Return ``(height, width)``: the labels of one plane, numbered by themselves."""
    maps = segmentation.probability[(slice(None), *plane)]
    how = classes_of(segmentation.recipe, segmentation.threshold)
    options = {"low_threshold": how.low_threshold, "negative": how.negative}
    labels = semantic_labels(maps, how.threshold, **options)  # type: ignore[arg-type]
    if segmentation.recipe.instances is not None:
        from napari_clipseg.images.labels.instances import instance_labels

        labels = instance_labels(
            labels,
            maps,
            segmentation.recipe.instances,
            segmentation.extent.spacing,
            step=lambda: step(None),
        )
    if kept is not None:
        labels[kept[plane]] = 0
    return labels
