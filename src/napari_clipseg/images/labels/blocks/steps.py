"""The objects of maps that do not fit into memory, step by step, and their table."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.labels.blocks.classes import Classes
from napari_clipseg.images.labels.blocks.components import Components, Parts
from napari_clipseg.images.labels.blocks.necks import Necks
from napari_clipseg.images.labels.blocks.progress import Steps
from napari_clipseg.images.labels.blocks.store import Blocks, Box, Grid, Store
from napari_clipseg.images.labels.blocks.sums import Sums, table_of
from napari_clipseg.images.labels.instances import InstanceOptions, least_pixels, pixel_size
from napari_clipseg.images.labels.linking import best_pairs
from napari_clipseg.images.labels.objects import Columns, of_all_axes
from napari_clipseg.images.labels.splitting import peak_reach
from napari_clipseg.images.probability import as_unit

SIDE = 1024  # of a block; two chunks of a map's file
MOST_PIXELS = 2048 * 2048  # of an object's bounding box, to split it as a whole
Plane = tuple[int, ...]


class LabelsFile(Protocol):
    """Where labels are written, block by block."""

    def write(self, plane: Plane, box: Box, labels: NDArray[np.int32]) -> None:
        """Write a part of a plane."""

    def read(self, plane: Plane, box: Box) -> NDArray[np.int32]:
        """Read a part that was written."""

    def end_plane(self, plane: Plane) -> None:
        """Finish a plane that is complete."""


@dataclass(frozen=True)
class _Linked:
    """A plane that is labelled, for the link with the next: sorted labels, pixels, class."""

    labels: NDArray[np.int32]
    pixels: NDArray[np.int64]
    classes: NDArray[np.int64]


def step_count(
    shape: Sequence[int], options: InstanceOptions, passes: int = 1, side: int = SIDE
) -> int:
    """Return how many steps it takes to label maps ``(*planes, height, width)``.

    Parameters
    ----------
    shape : sequence of int
        Of a map.
    options : InstanceOptions
        How objects are told apart.
    passes : int
        How often each block is visited for its classes.
    side : int
        Of a block.
    """
    passes += Components.passes + (options.split != "none") + 2  # measured, and written
    return math.prod(shape[:-2]) * len(Grid(shape[-2], shape[-1], side)) * passes


class LabelSteps:
    """Labels the objects of maps of any size, as `instance_labels` and `object_table` do.

    A plane is read in blocks. Objects are joined where blocks meet, and split as a whole,
    so that borders of blocks leave no trace; only an object with a bounding box of more than
    `most_pixels` is split in tiles that overlap.

    Parameters
    ----------
    maps : array-like
        ``(prompts, *planes, height, width)``; negative prompts last. Read in blocks, by slices.
    classes : Classes
        How pixels get classes.
    options : InstanceOptions
        How objects are told apart.
    prompts : sequence of str
        Names of the prompts that are not negative.
    spacing : sequence of float
        Height and width of a pixel.
    unit : str
        Unit of the spacing.
    side : int
        Of a block.
    most_pixels : int
        See above.

    Attributes
    ----------
    total : int
        How many steps there are.
    done : int
        How many of them are done, or under way.
    """

    def __init__(
        self,
        maps: Any,
        classes: Classes,
        options: InstanceOptions,
        prompts: Sequence[str],
        spacing: Sequence[float] = (1, 1),
        unit: str = "pixel",
        *,
        side: int = SIDE,
        most_pixels: int = MOST_PIXELS,
    ) -> None:
        self._maps, self._classes, self._options = maps, classes, options
        self._prompts, self._unit, self._most_pixels = prompts, unit, most_pixels
        self._pixel = pixel_size(spacing)
        height, width = maps.shape[-2:]
        options.check_fits(height, width, self._pixel)
        self._grid = Grid(height, width, side)
        self._planes = list(np.ndindex(maps.shape[1:-2])) if len(self._grid) else []
        self._axes = of_all_axes(self._pixel, maps.ndim - 1)
        self._count = self.done = 0
        self._linked: dict[Plane, _Linked] = {}
        self.total = step_count(maps.shape[1:], options, classes.passes, side)

    def run(self, output: LabelsFile, scratch: Path) -> Generator[str, None, Columns]:
        """Write the labels of all planes.

        Parameters
        ----------
        output : LabelsFile
            Where.
        scratch : Path
            An empty folder for what is needed on the way: about 5 bytes a pixel of a plane.

        Yields
        ------
        str
            What comes next, before each of the `total` steps, and each tile of a huge object.

        Returns
        -------
        dict of ndarray
            The table of the objects, as `object_table` gives it; the generator's return value.
        """
        found = []
        for number, plane in enumerate(self._planes):
            many = f", plane {number + 1} of {len(self._planes)}" * (len(self._planes) > 1)
            steps = Steps(self._plane(plane, output, scratch / f"{number}"))
            for message in steps:
                yield f"{message}{many}"
            found.append(steps.value)
        return table_of(found, self._prompts, self._axes, self._unit)

    def _plane(
        self, plane: Plane, output: LabelsFile, scratch: Path
    ) -> Generator[str, None, Columns]:
        grid, options = self._grid, self._options
        area = self._pixel[0] * self._pixel[1]
        kinds = np.min_scalar_type(len(self._prompts))
        classes = Store(grid, scratch / "classes", kinds)
        objects = Store(grid, scratch / "objects", np.int32)
        read = partial(part_of, self._maps, plane)
        for _ in self._classes.steps(grid, read, classes):
            yield self._step("Labelling pixels")
        reach = round(options.smooth / self._pixel[0]), round(options.smooth / self._pixel[1])
        every = isinstance(options.fill_holes, bool)
        hole = (np.inf if every else options.fill_holes / area) if options.fill_holes else 0
        components = Components(grid, reach, hole)
        joining = Steps(components.steps(classes, objects))
        for _ in joining:
            yield self._step("Joining objects")
        parts = joining.value
        if options.split != "none":
            likelihood = None
            if options.split == "probability":
                likelihood = Blocks(grid, lambda box: np.nan_to_num(as_unit(read(box))).max(axis=0))
            apart = peak_reach(options.min_distance, self._pixel, (grid.height, grid.width))
            necks = Necks(objects, parts, likelihood, apart, self._pixel, self._most_pixels)
            for new in necks.steps(grid, scratch):
                yield self._step("Splitting objects", new)
        chosen = self._chosen(parts, area)
        sums, before, common = Sums(int(chosen.max()), len(self._prompts)), self._before(plane), []
        for box in grid:
            yield self._step("Measuring objects")
            numbers = chosen[objects.read(box)]
            sums.add(box, numbers, classes.read(box), as_unit(read(box)[: len(self._prompts)]))
            if before is not None:
                common.append(_common(output.read(before, box), numbers))
        labels = self._numbered(plane, before, sums, common)
        for box in grid:
            yield self._step("Writing labels")
            output.write(plane, box, labels[chosen[objects.read(box)]])
        output.end_plane(plane)
        objects.remove()
        classes.remove()
        return sums.rows(labels, plane, self._axes)

    def _step(self, message: str, new: bool = True) -> str:
        self.done += new
        return message

    def _chosen(self, parts: Parts, area: float) -> NDArray[np.int32]:
        """Return the number of each object that is kept, from 1 in reading order; 0 for others."""
        options = self._options
        most = np.inf if options.max_size is None else options.max_size / area
        least = least_pixels(options.min_size, area, parts.size)
        keep = (parts.size >= least) & (parts.size <= most)
        if options.drop_border:
            keep &= ~parts.edge
        chosen = np.zeros(len(keep) + 1, np.int32)
        kept = np.flatnonzero(keep)
        chosen[1 + kept[np.argsort(parts.first[kept])]] = 1 + np.arange(len(kept))
        return chosen

    def _before(self, plane: Plane) -> Plane | None:
        """Return the plane that a plane is linked to."""
        if not (self._options.link and plane and plane[0]):
            return None
        return (plane[0] - 1, *plane[1:])

    def _numbered(
        self,
        plane: Plane,
        before: Plane | None,
        sums: Sums,
        common: list[NDArray[np.int64]],
    ) -> NDArray[np.int32]:
        """Return the label of each object of a plane: that of the plane before, or a new one."""
        labels = np.zeros(len(sums.pixels), np.int32)
        classes = sums.votes.argmax(axis=1)
        if before is not None:
            old = self._linked.pop(before)
            pairs, where = np.unique(np.concatenate(common)[:, :2], axis=0, return_inverse=True)
            shared = np.bincount(where.ravel(), np.concatenate(common)[:, 2], len(pairs))
            ones, others = pairs.T
            at = np.searchsorted(old.labels, ones)
            overlap = shared / (old.pixels[at] + sums.pixels[others] - shared)
            same = old.classes[at] == classes[others]
            labels = best_pairs(
                ones[same], others[same], overlap[same], len(labels), self._options.least_overlap
            )
        new = 1 + np.flatnonzero(labels[1:] == 0)
        labels[new] = self._count + 1 + np.arange(len(new))
        self._count += len(new)
        if self._options.link and plane:
            order = 1 + np.argsort(labels[1:])
            self._linked[plane] = _Linked(labels[order], sums.pixels[order], classes[order])
        return labels


def _common(old: NDArray[np.int32], new: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return ``(pairs, 3)``: labels in two planes that overlap, and pixels that they share."""
    both = (old > 0) & (new > 0)
    pairs = np.stack([old[both], new[both]], axis=1).astype(np.int64)
    pairs, counts = np.unique(pairs, axis=0, return_counts=True)
    return np.concatenate([pairs.reshape(-1, 2), counts[:, None]], axis=1)


def class_table(
    maps: Any,
    classes: Classes,
    prompts: Sequence[str],
    spacing: Sequence[float],
    unit: str,
    scratch: Path,
    side: int = SIDE,
) -> Columns:
    """Return the table of the classes themselves, one row for each that has a pixel.

    Parameters
    ----------
    maps, classes, prompts, spacing, unit, side
        See `LabelSteps`.
    scratch : Path
        An empty folder for what is needed on the way.
    """
    grid = Grid(maps.shape[-2], maps.shape[-1], side)
    axes = of_all_axes(pixel_size(spacing), maps.ndim - 1)
    numbers = np.arange(len(prompts) + 1, dtype=np.int32)
    found = []
    for number, plane in enumerate(np.ndindex(maps.shape[1:-2])):
        stored = Store(grid, scratch / f"{number}", numbers.dtype)
        read = partial(part_of, maps, plane)
        for _ in classes.steps(grid, read, stored):
            pass
        sums = Sums(len(prompts), len(prompts))
        for box in grid:
            its = stored.read(box)
            sums.add(box, its, its, as_unit(read(box)[: len(prompts)]))
        stored.remove()
        found.append(sums.rows(numbers, plane, axes))
    return table_of(found, prompts, axes, unit)


def part_of(maps: Any, plane: Plane, box: Box) -> NDArray[Any]:
    """Return a part of a plane of all maps: ``(prompts, height, width)``."""
    return np.asarray(maps[(slice(None), *plane, *box)])
