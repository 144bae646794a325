"""What is written: a result, or a napari layer that shows the labels or one map of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import Axes
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.labels.objects import object_table
from napari_clipseg.recipe import METADATA, Recipe

Table = dict[str, NDArray[Any]]


class Written(Protocol):
    """What every format needs of what it writes; `Segmentation` has it."""

    @property
    def extent(self) -> Extent:
        """What part of the image it covers."""

    @property
    def axes(self) -> Axes:
        """Names of the image's axes."""

    @property
    def recipe(self) -> Recipe:
        """What it was made with."""

    def record(self, dtype: str) -> dict[str, Any]:
        """Return what is recorded with it."""


class Labelled(Written, Protocol):
    """What formats of labels need besides."""

    @property
    def labels(self) -> Any:
        """``(*planes, height, width)``: 0 for background."""

    @property
    def objects(self) -> Table:
        """A row an object, see `images.labels.objects.object_table`."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A part of a result, as a layer has it.

    Attributes
    ----------
    values : mapping
        What was recorded with the result.
    """

    values: Mapping[str, Any]

    @property
    def recipe(self) -> Recipe:
        """What it was made with."""
        return Recipe.of({METADATA: self.values})

    @property
    def extent(self) -> Extent:
        """What part of the image it covers."""
        return Extent.from_dict(self.values["extent"])

    @property
    def axes(self) -> Axes:
        """Names of the image's axes."""
        return tuple(self.values["axes"])

    def record(self, dtype: str) -> dict[str, Any]:
        """Return what was recorded with the result."""
        return {**self.values, "dtype": dtype}


@dataclass(frozen=True, eq=False)
class LabelsOnly(Recorded):
    """Labels without their maps.

    Attributes
    ----------
    labels : ndarray or dask array
        ``(*planes, height, width)``.
    objects : dict of ndarray
        Their table.
    """

    labels: Any
    objects: Table


@dataclass(frozen=True, eq=False)
class MapsOnly(Recorded):
    """Some of the maps of a result; the record says which, as ``maps``.

    Attributes
    ----------
    probability : ndarray or dask array
        ``(maps, *planes, height, width)``.
    """

    probability: Any


def map_numbers(recipe: Recipe, record: Mapping[str, Any]) -> list[int]:
    """Return which of a recipe's prompts each map is of, counted from 0, negative ones last."""
    every = range(len(recipe.all_prompts))
    return [int(number) for number in record.get("maps", every)]


def map_names(recipe: Recipe, record: Mapping[str, Any]) -> list[str]:
    """Return what the maps are called."""
    names = [*recipe.prompt_names, *(f"not {name}" for name in recipe.negative_names)]
    return [names[number] for number in map_numbers(recipe, record)]


def plain_table(
    labels: NDArray[np.integer[Any]], classes: Any, recipe: Recipe, extent: Extent
) -> Table:
    """Return the table of objects without a map: their mean probability is not known."""
    names = recipe.prompt_names
    unknown = np.broadcast_to(np.float32(np.nan), (len(names), *labels.shape))
    return object_table(labels, classes, unknown, names, extent.spacing, extent.unit)
