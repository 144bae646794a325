"""Semantic labels to instances: one label per object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from napari_clipseg.images.labels.linking import matches
from napari_clipseg.images.labels.regions import fill_holes, majority, select
from napari_clipseg.images.labels.splitting import split_touching
from napari_clipseg.images.probability import Maps, as_unit

Int32 = NDArray[np.int32]
Split = Literal["none", "distance", "probability"]
CRUMB = 0.1  # the least size of an object, as a share of that of others


@dataclass(frozen=True)
class InstanceOptions:
    """How objects are separated, and which of them are kept.

    Lengths are in the unit of the spacing, areas in its square: pixels where the spacing is 1.

    Attributes
    ----------
    split : {"none", "distance", "probability"}
        Objects are connected components (8 neighbors). A watershed splits them further, at
        necks ("distance") or at minima of the probability ("probability").
    min_distance : float or None
        Of two peaks nearer than this along both axes, only the higher one is a seed. None stands
        for half of the thickness of the object, whatever the unit.
    min_size : float or None
        Smallest area of an object in its plane. None stands for a tenth of the size of the plane's
        objects: half of what they cover belongs to objects that are at least so large.
    max_size : float or None
        Largest area of an object in its plane; None stands for no limit.
    fill_holes : bool or float
        Whether holes are filled, or the largest area of a hole that is filled.
    smooth : float
        Distance from the center of a square window to its edge: a class keeps a pixel where it
        has the majority of the window. 0 does not change outlines.
    drop_border : bool
        Whether objects that touch the edge of their plane are removed.
    link : bool
        Whether objects that overlap in neighboring planes, along the first axis of planes,
        get the same label.
    least_overlap : float
        Least intersection over union of two linked objects.

    Examples
    --------
    >>> InstanceOptions(split="distance", min_size=20).min_size
    20
    >>> InstanceOptions(split="shape")
    Traceback (most recent call last):
    ...
    ValueError: Got split='shape'; wanted one of 'none', 'distance', 'probability'.
    """

    split: Split = "none"
    min_distance: float | None = None
    min_size: float | None = 0.0
    max_size: float | None = None
    fill_holes: bool | float = False
    smooth: float = 0.0
    drop_border: bool = False
    link: bool = False
    least_overlap: float = 0.25

    def __post_init__(self) -> None:
        """Check the values.

        Raises
        ------
        ValueError
            If a value is not possible.
        """
        if self.split not in get_args(Split):
            wanted = ", ".join(map(repr, get_args(Split)))
            raise ValueError(f"Got split={self.split!r}; wanted one of {wanted}.")
        for name in ("min_distance", "min_size", "fill_holes", "smooth"):
            value = getattr(self, name)
            if value is None and name.startswith("min"):
                continue
            if not 0 <= value < np.inf:
                raise ValueError(f"Got {name}={value}; wanted a number that is not negative.")
        if self.max_size is not None and not self.max_size >= (self.min_size or 0):
            raise ValueError(
                f"Got max_size={self.max_size} and min_size={self.min_size}; wanted a greatest "
                f"size that is not below the least. None stands for no limit."
            )
        if not 0 < self.least_overlap <= 1:
            raise ValueError(
                f"Got least_overlap={self.least_overlap}; wanted a part above 0 and up to 1."
            )

    def check_fits(self, height: int, width: int, spacing: Sequence[float] = (1, 1)) -> None:
        """Check the lengths against the planes that they are for.

        Parameters
        ----------
        height, width : int
            Of a plane, in pixels.
        spacing : sequence of float
            Height and width of a pixel.

        Raises
        ------
        ValueError
            If the window of `smooth` reaches farther than the plane.
        """
        most = max(height, width) * min(pixel_size(spacing))
        if self.smooth > most:
            raise ValueError(
                f"Got smooth={self.smooth}; on planes of {height} x {width} pixels wanted at most "
                f"{most:g}, the longer side."
            )


def instance_labels(
    semantic: NDArray[np.integer],
    probability: Maps | None = None,
    options: InstanceOptions | None = None,
    spacing: Sequence[float] = (1, 1),
    *,
    step: Callable[[], None] = lambda: None,
) -> Int32:
    """Give each object of semantic labels a label of its own.

    Objects of different classes never merge. Each plane is labelled separately; `options.link`
    joins the parts of an object afterwards.

    Parameters
    ----------
    semantic : ndarray of int
        ``(*planes, height, width)``: 0 for background, else a class.
    probability : ndarray, optional
        ``(prompts, *planes, height, width)`` as `semantic_labels` takes them; needed only for
        ``split="probability"``, which uses the greatest probability of each pixel.
    options : InstanceOptions, optional
        By default all connected components.
    spacing : sequence of float
        Height and width of a pixel; of a longer sequence the last two values.
    step : callable, optional
        Called before each plane, and before each object that may be split; what it raises stops
        the work.

    Returns
    -------
    ndarray of int32
        ``(*planes, height, width)``: 0 for background, otherwise the label of the object, from
        1 without gaps, in the order of first pixels: by plane, then row, then column.

    Raises
    ------
    ValueError
        If the shapes do not fit, a spacing is not positive, the split needs a probability and
        none is given, or the window of `smooth` reaches farther than the plane.

    Examples
    --------
    >>> instance_labels(np.array([[1, 1, 0, 1, 2]])).tolist()
    [[1, 1, 0, 2, 3]]
    """
    options = options or InstanceOptions()
    pixel = pixel_size(spacing)
    if semantic.ndim < 2:
        raise ValueError(
            f"The labels have shape {semantic.shape}; wanted (*planes, height, width)."
        )
    options.check_fits(semantic.shape[-2], semantic.shape[-1], pixel)
    if options.split == "probability":
        _check_probability(probability, semantic.shape)
    result = np.zeros(semantic.shape, np.int32)
    if not semantic.size:
        return result
    count = 0
    for plane in np.ndindex(semantic.shape[:-2]):
        step()
        likelihood = None
        if options.split == "probability" and probability is not None:
            likelihood = np.nan_to_num(as_unit(probability[(slice(None), *plane)])).max(axis=0)
        objects = _of_plane(semantic[plane], likelihood, options, pixel, step)
        numbers = np.zeros(objects.max(initial=0) + 1, np.int32)
        if options.link and plane and plane[0]:
            before = (plane[0] - 1, *plane[1:])
            numbers = matches(
                (result[before], semantic[before]),
                (objects, semantic[plane]),
                options.least_overlap,
            )
        new = np.flatnonzero(numbers[1:] == 0) + 1
        numbers[new] = count + 1 + np.arange(len(new))
        count += len(new)
        # No index is out of range; without the mode NumPy would make a copy to check.
        np.take(numbers, objects, out=result[plane], mode="clip")
    return result


def pixel_size(spacing: Sequence[float]) -> tuple[float, float]:
    """Return height and width of a pixel: the last two values of a spacing.

    Raises
    ------
    ValueError
        If there are fewer, or one of them is not positive.
    """
    if len(spacing) < 2 or not all(0 < one < np.inf for one in spacing):
        raise ValueError(
            f"Got the spacing {tuple(spacing)}; wanted the positive height and width of a pixel."
        )
    return float(spacing[-2]), float(spacing[-1])


def _of_plane(
    semantic: NDArray[np.integer],
    likelihood: NDArray[np.float32] | None,
    options: InstanceOptions,
    pixel: tuple[float, float],
    step: Callable[[], None],
) -> Int32:
    """Return ``(height, width)``: the objects of a plane, numbered from 1 in reading order."""
    area = pixel[0] * pixel[1]
    if options.smooth:
        rows, columns = (round(options.smooth / one) for one in pixel)
        semantic = majority(semantic, (rows, columns))
    objects: Int32 = measure.label(semantic, background=0, connectivity=2).astype(np.int32)
    if options.fill_holes:
        every = isinstance(options.fill_holes, bool)
        most = np.inf if every else options.fill_holes / area
        objects = fill_holes(objects, most)
    if options.split != "none":
        objects = split_touching(objects, likelihood, options.min_distance, pixel, step)
    most = np.inf if options.max_size is None else options.max_size / area
    every = options.min_size == 0 and not options.drop_border and most == np.inf
    if options.split == "none" and every:
        return objects  # scikit-image has numbered them in reading order
    least = least_pixels(options.min_size, area, np.bincount(objects.ravel())[1:])
    return select(objects, least, most, options.drop_border)


def least_pixels(min_size: float | None, area: float, sizes: NDArray[np.integer]) -> float:
    """Return how many pixels the smallest object of a plane has.

    Parameters
    ----------
    min_size : float, optional
        Its area; by default a share of the size of the plane's objects.
    area : float
        Of a pixel.
    sizes : ndarray of int
        Pixels of each object, or 0.
    """
    if min_size is not None:
        return min_size / area
    ordered = np.sort(sizes)
    covered = np.cumsum(ordered)
    if not len(covered) or not covered[-1]:
        return 0.0
    return CRUMB * float(ordered[np.searchsorted(2 * covered, covered[-1])])


def _check_probability(probability: Maps | None, shape: tuple[int, ...]) -> None:
    if probability is None:
        raise ValueError(
            "Splitting by probability needs the probability maps; give them, or split by distance."
        )
    if probability.shape[1:] != shape or not len(probability):
        raise ValueError(
            f"The probability maps have shape {probability.shape}, the labels {shape}; "
            f"wanted (prompts, {', '.join(map(str, shape))})."
        )
