"""Strokes as users paint them: checked, and brought to pixels of planes with their values."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.source import Source

UNPAINTED, BACKGROUND, FIRST_CLASS = 0, 1, 2
MOST_PIXELS = 2000  # of a class, or of the background, that are fitted in one image
BLOCK = 64  # pixels; a painted area that is larger is held out block by block
GAP = 8  # pixels between what is trained on and what is held out
NEIGHBORS = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Strokes:
    """Painted pixels of one image, sampled evenly where there are very many.

    Attributes
    ----------
    places : ndarray of int
        ``(pixels, axes)``: index along each axis of planes, then row and column, all in pixels
        of the level that is taught on.
    values : ndarray of int
        ``(pixels,)``: 1 for the background, from 2 on the classes.
    groups : ndarray of int
        ``(pixels,)``: which stroke, or block of a large one, each belongs to.
    """

    places: NDArray[np.intp]
    values: NDArray[np.intp]
    groups: NDArray[np.intp]

    def __len__(self) -> int:
        """Return the number of pixels."""
        return len(self.values)

    @property
    def planes(self) -> list[tuple[int, ...]]:
        """The planes that are painted on."""
        return sorted({tuple(map(int, place)) for place in self.places[:, :-2]})

    def on(self, plane: tuple[int, ...]) -> NDArray[np.intp]:
        """Return the numbers of the pixels on a plane."""
        return np.flatnonzero((self.places[:, :-2] == plane).all(axis=1))

    def of(self, chosen: NDArray[Any]) -> Strokes:
        """Return some of the pixels."""
        return Strokes(self.places[chosen], self.values[chosen], self.groups[chosen])


def read_strokes(strokes: Any, source: Source, level: int = 0, name: str = "image") -> Strokes:
    """Check strokes, and return their pixels.

    Parameters
    ----------
    strokes : array-like of int, or a Labels layer
        Of the image's shape without its channels: 0 unpainted, 1 background, from 2 on classes.
    source : Source
        The image.
    level : int
        Which of its levels is taught on.
    name : str
        What the image is called, for errors.

    Raises
    ------
    TypeError
        If they are no whole numbers.
    ValueError
        If they have another shape, a value below 0, or nothing is painted.
    """
    data = np.asarray(getattr(strokes, "data", strokes) if _is_layer(strokes) else strokes)
    if data.dtype.kind not in "iub":
        raise TypeError(
            f"The strokes on {name} are {data.dtype}; wanted whole numbers: 0 unpainted, "
            f"1 background, 2 and up what you look for."
        )
    wanted = (*source.planes_shape, *source.shape_of(0))
    if data.shape != wanted:
        raise ValueError(
            f"The strokes on {name} have shape {data.shape}; wanted {wanted}, that of the image "
            f"without its channels."
        )
    if data.dtype.kind == "i" and data.min(initial=0) < 0:
        raise ValueError(
            f"The strokes on {name} have the value {data.min()}; wanted 0 unpainted, 1 "
            f"background, 2 and up what you look for."
        )
    places = np.argwhere(data)
    if not len(places):
        raise ValueError(f"Nothing is painted on {name}; paint 1 on the background, 2 on a thing.")
    values = data[tuple(places.T)].astype(np.intp)
    groups = np.empty(len(places), np.intp)
    first = 0
    for plane in sorted({tuple(map(int, place)) for place in places[:, :-2]}):
        on = np.flatnonzero((places[:, :-2] == plane).all(axis=1))
        groups[on] = first + _groups(data[plane], places[on, -2:])
        first = int(groups[on].max()) + 1
    if level:
        fine, coarse = source.shape_of(0), source.shape_of(level)
        for axis, (a, b) in enumerate(zip(fine, coarse, strict=True)):
            places[:, axis - 2] = places[:, axis - 2] * b // a
        _, kept = np.unique(np.column_stack([places, values]), axis=0, return_index=True)
        places, values, groups = places[kept], values[kept], groups[kept]
    found = Strokes(places, values, groups)
    return found.of(np.concatenate([_sample(values, value) for value in np.unique(values)]))


def _is_layer(value: Any) -> bool:
    return hasattr(value, "data") and hasattr(value, "data_to_world")


def _groups(plane: NDArray[Any], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the strokes of a plane, and the blocks of large ones."""
    from scipy import ndimage

    numbers = np.zeros(len(places), np.int64)
    first = 0
    rows, columns = places.T
    top, left = places.min(axis=0)
    bottom, right = places.max(axis=0) + 1
    part = plane[top:bottom, left:right]
    for value in np.unique(part[part > 0]):
        labels, count = ndimage.label(part == value, NEIGHBORS)
        own = labels[rows - top, columns - left]
        numbers[own > 0] = own[own > 0] + first
        first += count
    blocks = np.column_stack([numbers, rows // BLOCK, columns // BLOCK])
    small = np.array(
        [
            np.ptp(places[numbers == n], axis=0).max() < BLOCK
            for n in range(first + 1)
            if (numbers == n).any()
        ]
    )
    known = np.unique(numbers)
    for number in known[small]:
        blocks[numbers == number, 1:] = 0
    _, groups = np.unique(blocks, axis=0, return_inverse=True)
    return groups.reshape(-1)


def _sample(values: NDArray[np.intp], value: int) -> NDArray[np.intp]:
    """Return numbers of pixels of a value, evenly spread over them if there are very many."""
    own = np.flatnonzero(values == value)
    if len(own) <= MOST_PIXELS:
        return own
    spread = np.linspace(0, len(own) - 1, MOST_PIXELS).round().astype(int)
    return np.asarray(own[spread])


def held_out(strokes: Strokes, positive: NDArray[np.bool_], most: int) -> Iterator[tuple[Any, Any]]:
    """Yield pixels to train on and pixels to test on, whole strokes held out.

    Nothing is yielded if a side has fewer than two strokes.

    Parameters
    ----------
    strokes : Strokes
        All of them.
    positive : ndarray of bool
        ``(pixels,)``: on the thing.
    most : int
        How many parts the strokes are divided into, if there are enough; each is held out once.

    Yields
    ------
    train, test : ndarray of int
        Numbers of pixels; none of the first lies within `GAP` pixels of one of the second.
    """
    from scipy.spatial import cKDTree

    sides = [np.unique(strokes.groups[positive == side]) for side in (True, False)]
    folds = min(most, *map(len, sides))
    if folds < 2:
        return
    for fold in range(folds):
        out = np.concatenate([groups[fold::folds] for groups in sides])
        tested = np.isin(strokes.groups, out)
        test = np.flatnonzero(tested)
        far = np.ones(len(strokes), bool)
        for plane in strokes.planes:
            on = strokes.on(plane)
            there = on[tested[on]]
            if len(there):
                tree = cKDTree(strokes.places[there, -2:])
                away, _ = tree.query(strokes.places[on, -2:], distance_upper_bound=GAP)
                far[on] = np.isinf(away)
        train = np.flatnonzero(~tested & far)
        if len(np.unique(positive[train])) == 2:
            yield train, test


def to_record(strokes: Strokes) -> dict[str, Any]:
    """Return the painted pixels as JSON values, compressed."""
    table = np.column_stack([strokes.places, strokes.values]).astype("<i4")
    packed = base64.b64encode(zlib.compress(table.tobytes(), 9)).decode()
    return {"columns": table.shape[1], "pixels": packed}


def from_record(values: dict[str, Any]) -> NDArray[np.int32]:
    """Return ``(pixels, axes + 1)``: the places, then the values, of a record."""
    packed = base64.b64decode(values["pixels"])
    table = np.frombuffer(zlib.decompress(packed), "<i4").reshape(-1, int(values["columns"]))
    return np.array(table, np.int32)


def class_values(all_strokes: Sequence[Strokes]) -> list[int]:
    """Return the values of the classes that are painted in any image."""
    values = np.unique(np.concatenate([one.values for one in all_strokes]))
    return [int(value) for value in values if value >= FIRST_CLASS]
