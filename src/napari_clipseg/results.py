"""What a run gives: a probability map, and the labels, objects and doubts that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import Axes
from napari_clipseg.images.labels.instances import InstanceOptions, instance_labels
from napari_clipseg.images.labels.threshold import semantic_labels
from napari_clipseg.images.labels.objects import object_table
from napari_clipseg.images.uncertainty import disagreement

Table = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Labelling:
    """How labels follow from a probability map.

    Attributes
    ----------
    threshold : float or sequence of float
        Probability above which a pixel is labelled; for all prompts, or one each.
    low : float, optional
        For hysteresis: pixels above this are labelled, too, where they touch one above the
        threshold.
    instances : InstanceOptions, optional
        How to make one label an object; without it, one label a prompt.
    """

    threshold: float | Sequence[float]
    low: float | None = None
    instances: InstanceOptions | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a run gives.

    Attributes
    ----------
    probability : ndarray, or dask array where the map is in a file
        ``(prompts, *planes, height, width)``, 0 to 1, or 0 to 255 in uint8; unwanted prompts
        come last. Pixels that were not finite, or lie outside the region, have 0.
    labelling : Labelling
        How labels follow from it.
    prompts : tuple of str
        The texts; "image prompt 1" and so on for reference images. Unwanted ones come last.
    model : str
        Name of the checkpoint.
    unwanted : int
        How many of the prompts are.
    axes : tuple of str
        Along which planes lie.
    planes : tuple of tuple of int
        Where each plane lies in the image, in the order of the map's.
    origin : tuple of float
        Where the map's first pixel has its centre, in pixels of the full image: row, column.
    factor : tuple of float
        Pixels of the full image under one of the map, down and across.
    spacing : tuple of float
        Height and width of a pixel of the map, in units.
    unit : str
        Of the spacing.
    path : Path, optional
        Where the map is, if in a file.
    complete : bool
        False for what a run that was stopped had done; the rest is 0.
    """

    probability: Any
    labelling: Labelling
    prompts: tuple[str, ...]
    model: str
    unwanted: int = 0
    axes: Axes = ()
    planes: tuple[tuple[int, ...], ...] = ((),)
    origin: tuple[float, float] = (0.0, 0.0)
    factor: tuple[float, float] = (1.0, 1.0)
    spacing: tuple[float, float] = (1.0, 1.0)
    unit: str = "pixel"
    path: Path | None = None
    complete: bool = True

    @property
    def threshold(self) -> float | Sequence[float]:
        """What `labels` are made with."""
        return self.labelling.threshold

    @cached_property
    def classes(self) -> Any:
        """``(*planes, height, width)`` int32: 0 for nothing, k where wanted prompt k wins.

        The likeliest prompt above its threshold wins; what an unwanted one wins is 0. A dask
        array where the map is one.
        """
        how = self.labelling
        label = partial(
            semantic_labels,
            threshold=how.threshold,
            low=how.low,
            unwanted=range(len(self.prompts) - self.unwanted, len(self.prompts)),
        )
        if isinstance(self.probability, np.ndarray):
            return label(self.probability)
        # Hysteresis follows a path anywhere in a plane.
        whole = self.probability.rechunk({0: -1} | ({} if how.low is None else {-1: -1, -2: -1}))
        return whole.map_blocks(label, drop_axis=0, dtype=np.int32, meta=np.empty(0, np.int32))

    @cached_property
    def labels(self) -> Any:
        """``(*planes, height, width)`` int32: `classes`, or one label an object."""
        if self.labelling.instances is None:
            return self.classes
        if not isinstance(self.probability, np.ndarray):
            raise ValueError(
                f"Objects are told apart in memory, and this map of shape "
                f"{self.probability.shape} is in {self.path}. Segment a region, or take a coarser "
                f"level, or work on `classes`."
            )
        return instance_labels(
            self.classes, self.probability, self.labelling.instances, self.spacing
        )

    @cached_property
    def objects(self) -> Table:
        """One row an object: label, prompt, area and place in units, mean probability.

        A table as `Labels.features` takes it; see `images.objects.object_table`.
        """
        wanted = len(self.prompts) - self.unwanted
        return object_table(
            np.asarray(self.labels),
            np.asarray(self.classes),
            np.asarray(self.probability[:wanted]),
            self.prompts[:wanted],
            self.spacing,
            self.unit,
        )

    @property
    def disagreement(self) -> NDArray[np.float32]:
        """``(*planes, height, width)``, 0 to 1: where the wanted prompts say different things.

        Of use where they are wordings of one thing; see `images.uncertainty.disagreement`.
        """
        return disagreement(np.asarray(self.probability[: len(self.prompts) - self.unwanted]))
