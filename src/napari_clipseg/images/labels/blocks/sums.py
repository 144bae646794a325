"""What the table of objects needs of a plane, added up block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_clipseg.images.labels.blocks.store import Box
from napari_clipseg.images.labels.objects import Columns, merged_rows, object_table

Float64 = NDArray[np.float64]


class Sums:
    """Adds up the objects 1, 2, ... of a plane.

    Parameters
    ----------
    count : int
        How many there are.
    prompts : int
        How many prompts there are: classes, and maps.

    Attributes
    ----------
    pixels : ndarray of int64
        ``(count + 1,)``.
    votes : ndarray of int64
        ``(count + 1, prompts + 1)``: pixels of each class.
    """

    def __init__(self, count: int, prompts: int) -> None:
        self.pixels = np.zeros(count + 1, np.int64)
        self.votes = np.zeros((count + 1, prompts + 1), np.int64)
        self._centers = np.zeros((2, count + 1))
        self._moments = np.zeros((3, count + 1))  # about the center: rows, both, columns
        self._probability = np.zeros((prompts, count + 1))
        self._bounds = np.zeros((4, count + 1), np.int64)
        self._bounds[:2] = np.iinfo(np.int64).max

    def add(
        self,
        box: Box,
        numbers: NDArray[np.integer],
        classes: NDArray[np.integer],
        maps: NDArray[np.float32],
    ) -> None:
        """Add a block.

        Parameters
        ----------
        box : tuple of slice
            Its place.
        numbers, classes : ndarray of int
            ``(height, width)``: of objects, and of classes.
        maps : ndarray of float32
            ``(prompts, height, width)``, 0 to 1.
        """
        where = np.flatnonzero(numbers)
        if not where.size:
            return
        present, own = np.unique(numbers.ravel()[where], return_inverse=True)
        count = len(present)
        local = np.zeros(numbers.shape, np.int32)
        local.ravel()[where] = own + 1
        bounds = np.array(
            [(a.start, b.start, a.stop, b.stop) for a, b in ndimage.find_objects(local)]
        ).T
        # From the object's own corner, so that sums of integers stay exact.
        down, across = np.divmod(where, numbers.shape[1])
        down, across = down - bounds[0][own], across - bounds[1][own]

        def total(values: NDArray[Any]) -> Float64:
            return np.bincount(own, weights=values, minlength=count).astype(np.float64)

        pixels = np.bincount(own, minlength=count)
        means = np.stack([total(down), total(across)]) / pixels
        moments = np.stack([total(down * down), total(down * across), total(across * across)])
        moments -= np.stack([means[0] ** 2, means[0] * means[1], means[1] ** 2]) * pixels
        corner = np.array([[box[0].start], [box[1].start]])
        self._merge(present, pixels, means + bounds[:2] + corner, moments)
        of_class = classes.ravel()[where].astype(np.int64)
        width = self.votes.shape[1]
        votes = np.bincount(own * width + of_class, minlength=count * width).reshape(count, width)
        votes[:, 0] = 0  # background has no vote
        self.votes[present] += votes
        for k, one in enumerate(maps):
            self._probability[k, present] += total(one.ravel()[where])
        bounds += np.concatenate([corner, corner])
        self._bounds[:2, present] = np.minimum(self._bounds[:2, present], bounds[:2])
        self._bounds[2:, present] = np.maximum(self._bounds[2:, present], bounds[2:])

    def _merge(
        self, present: NDArray[Any], pixels: NDArray[Any], means: Float64, moments: Float64
    ) -> None:
        """Join the moments of two parts of each object (Chan, Golub and LeVeque 1979)."""
        before = self.pixels[present]
        both = before + pixels
        apart = means - self._centers[:, present]
        products = np.stack([apart[0] ** 2, apart[0] * apart[1], apart[1] ** 2])
        self._moments[:, present] += moments + products * (before * pixels / both)
        self._centers[:, present] += apart * (pixels / both)
        self.pixels[present] = both

    def rows(
        self, labels: NDArray[np.int32], plane: tuple[int, ...], steps: tuple[float, ...]
    ) -> Columns:
        """Return a row for each object that has a pixel.

        Parameters
        ----------
        labels : ndarray of int32
            ``(count + 1,)``: the label of each number.
        plane : tuple of int
            Which plane it is.
        steps : tuple of float
            The spacing of all axes.
        """
        here = np.flatnonzero(self.pixels)
        pixels, (dy, dx) = self.pixels[here], steps[-2:]
        rows: Columns = {
            "index": labels[here].astype(np.int64),
            "area": pixels * (dy * dx),
            "pixels": pixels,
            "votes": self.votes[here],
            "probability": self._probability[:, here].T / pixels[:, None],
        }
        first = len(plane)
        for i, (at, step) in enumerate(zip(plane, steps, strict=False)):
            rows[f"centroid-{i}"] = np.full(len(pixels), at * step)
        for i, step in enumerate((dy, dx)):
            rows[f"centroid-{first + i}"] = self._centers[i, here] * step
        top, left, bottom, right = self._bounds[:, here]
        bounds = [*plane, top, left, *(at + 1 for at in plane), bottom, right]
        for i, bound in enumerate(bounds):
            rows[f"bbox-{i}"] = np.broadcast_to(bound, len(pixels)).astype(np.int64)
        scale = np.array([[dy * dy], [dy * dx], [dx * dx]])
        spread = self._moments[:, here] * scale / pixels
        inertia = np.moveaxis(spread[[0, 1, 1, 2]].reshape(2, 2, -1), -1, 0)
        small, large = np.clip(np.linalg.eigvalsh(inertia), 0, None).T.reshape(2, -1)
        rows["axis_major_length"], rows["axis_minor_length"] = (
            4 * np.sqrt(large),
            4 * np.sqrt(small),
        )
        ratio = np.divide(small, large, out=np.ones_like(small), where=large > 0)
        rows["eccentricity"] = np.sqrt(1 - ratio)
        return rows


def table_of(
    found: list[Columns], prompts: Sequence[str], steps: tuple[float, ...], unit: str
) -> Columns:
    """Return the table of the objects of all planes, as `object_table` gives it.

    Parameters
    ----------
    found : list of dict
        The rows of each plane.
    prompts : sequence of str
        Names of the prompts.
    steps : tuple of float
        The spacing of all axes.
    unit : str
        Unit of the spacing of rows and columns.
    """
    axes = len(steps)
    if not found:
        nothing = np.zeros((0,) * axes, np.int32)
        maps = np.zeros((len(prompts), *nothing.shape), np.float32)
        return object_table(nothing, nothing, maps, prompts, steps, unit)
    rows = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    index, votes, means = rows["index"], rows.pop("votes"), rows.pop("probability")
    total = np.zeros((index.max(initial=0) + 1, votes.shape[1]), np.int64)
    np.add.at(total, index, votes)
    classes = total.argmax(axis=1).astype(np.int32)
    its = classes[index]
    of_prompt = means[np.arange(len(index)), np.maximum(its, 1) - 1]
    rows["mean_probability"] = np.where(its > 0, of_prompt, np.nan)
    return merged_rows(rows, classes, prompts, axes, unit)
