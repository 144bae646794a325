"""Labels to be written: a result's, or those of a napari layer that one was shown in."""

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


class Labelled(Protocol):
    """What formats need of a result; `Segmentation` has it."""

    @property
    def labels(self) -> Any:
        """``(*planes, height, width)``: 0 for background."""

    @property
    def objects(self) -> Table:
        """A row an object, see `images.labels.objects.object_table`."""

    @property
    def extent(self) -> Extent:
        """What part of the image they cover."""

    @property
    def axes(self) -> Axes:
        """Names of the image's axes."""

    @property
    def recipe(self) -> Recipe:
        """What they were made with."""

    def record(self, dtype: str) -> dict[str, Any]:
        """Return what is recorded with them."""


@dataclass(frozen=True, eq=False)
class LabelsOnly:
    """Labels without their maps, as a layer or a file has them.

    Attributes
    ----------
    labels : ndarray or dask array
        ``(*planes, height, width)``.
    objects : dict of ndarray
        Their table.
    values : mapping
        What was recorded with them.
    """

    labels: Any
    objects: Table
    values: Mapping[str, Any]

    @property
    def recipe(self) -> Recipe:
        """What they were made with."""
        return Recipe.of({METADATA: self.values})

    @property
    def extent(self) -> Extent:
        """What part of the image they cover."""
        return Extent.from_dict(self.values["extent"])

    @property
    def axes(self) -> Axes:
        """Names of the image's axes."""
        return tuple(self.values["axes"])

    def record(self, dtype: str) -> dict[str, Any]:
        """Return what was recorded with them, for values of another type."""
        return {**self.values, "dtype": dtype}


def plain_table(
    labels: NDArray[np.integer[Any]], classes: Any, recipe: Recipe, extent: Extent
) -> Table:
    """Return the table of objects without a map: their mean probability is not known."""
    names = recipe.prompt_names
    unknown = np.broadcast_to(np.float32(np.nan), (len(names), *labels.shape))
    return object_table(labels, classes, unknown, names, extent.spacing, extent.unit)
