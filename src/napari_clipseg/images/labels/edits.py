"""Objects corrected by hand: kept, removed, joined, cut; and each of it undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import line as pixels_of_line

Labels = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
Box = tuple[slice, ...]
Array = Callable[[], Labels | None]

MOST_BYTES = 1 << 28  # of what can be undone
FIRST_REACH = 32  # pixels around a point in which its object is looked for first


@dataclass(frozen=True, eq=False)
class Object:
    """An object in an array of labels.

    Attributes
    ----------
    label : int
        Its label.
    box : tuple of slice
        Where it lies.
    mask : ndarray of bool
        Its pixels in the box.
    """

    label: int
    box: Box
    mask: Mask


class Edit(Protocol):
    """What can be undone and done again."""

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""

    def undo(self) -> None:
        """Bring back what was before."""

    def redo(self) -> None:
        """Do it again."""


class Change:
    """Other labels at some pixels of an array, not made yet.

    Parameters
    ----------
    array : ndarray of int
        Which array.
    box : tuple of slice
        Where.
    mask : ndarray of bool
        Which pixels of the box; it is not changed afterwards.
    after : int or ndarray of int
        Their new label, or one each.
    current : callable, optional
        Returns the array that is in use, of which `array` may be a view. Where it is another one
        by then, nothing is changed.
    """

    def __init__(
        self, array: Labels, box: Box, mask: Mask, after: Any, current: Array | None = None
    ) -> None:
        self._array, self._box, self._current = array, box, current
        self._in_use = None if current is None else current()
        before = array[box][mask]
        after = np.broadcast_to(np.asarray(after, array.dtype), before.shape)
        differ = before != after
        self._flat = np.flatnonzero(mask)[differ].astype(np.int64)
        self._before, self._after = before[differ], after[differ]

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        return int(self._flat.nbytes + 2 * self._before.nbytes)

    @property
    def is_nothing(self) -> bool:
        """Whether no pixel changes."""
        return not len(self._flat)

    @property
    def stale(self) -> bool:
        """Whether the array is not in use any more."""
        return self._current is not None and self._current() is not self._in_use

    def redo(self) -> None:
        """Set the new labels."""
        self._set(self._after)

    def undo(self) -> None:
        """Set the labels that were there."""
        self._set(self._before)

    def _set(self, values: Labels) -> None:
        if self.stale:
            return
        part = self._array[self._box]
        part[np.unravel_index(self._flat, part.shape)] = values


class Several:
    """Some edits that are one.

    Parameters
    ----------
    name : str
        What it is called.
    edits : sequence of Edit
        In their order.
    about : sequence
        What they change, such as layers.
    """

    def __init__(self, name: str, edits: Sequence[Edit], about: Sequence[Any] = ()) -> None:
        self.name, self.edits, self.about = name, tuple(edits), tuple(about)

    @property
    def nbytes(self) -> int:
        """What they hold in memory."""
        return sum(edit.nbytes for edit in self.edits)

    def redo(self) -> None:
        """Do them."""
        for edit in self.edits:
            edit.redo()

    def undo(self) -> None:
        """Undo them, the last one first."""
        for edit in reversed(self.edits):
            edit.undo()


class History:
    """Edits, to be undone and done again.

    Parameters
    ----------
    most_bytes : int
        Of what is remembered; the oldest edits are forgotten first.

    Examples
    --------
    >>> labels = np.array([[1, 1, 0, 2]])
    >>> history = History()
    >>> found = object_at(labels, (0, 3))
    >>> history.do(Several("remove", removed(labels, found)))
    >>> labels.tolist()
    [[1, 1, 0, 0]]
    >>> history.undo().name
    'remove'
    >>> labels.tolist()
    [[1, 1, 0, 2]]
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._done: list[Several] = []
        self._undone: list[Several] = []

    @property
    def edits(self) -> tuple[Several, ...]:
        """What can be undone, and what can be done again."""
        return (*self._done, *self._undone)

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to do again."""
        return bool(self._undone)

    def do(self, edit: Several) -> None:
        """Do something new; what was undone is forgotten."""
        edit.redo()
        self.add(edit)

    def add(self, edit: Several) -> None:
        """Take something that is done already."""
        self._undone = []
        self._done.append(edit)
        while len(self._done) > 1 and sum(one.nbytes for one in self._done) > self._most_bytes:
            del self._done[0]

    def undo(self) -> Several | None:
        """Undo the last edit, and return it; None if there is none."""
        return self._move(self._done, self._undone, "undo")

    def redo(self) -> Several | None:
        """Do the last edit that was undone again, and return it; None if there is none."""
        return self._move(self._undone, self._done, "redo")

    def clear(self) -> None:
        """Forget everything."""
        self._done, self._undone = [], []

    def forget(self, thing: Any) -> None:
        """Forget all edits that are about something, such as a layer that is gone."""
        for edits in (self._done, self._undone):
            edits[:] = [edit for edit in edits if thing not in edit.about]

    @staticmethod
    def _move(one: list[Several], other: list[Several], how: str) -> Several | None:
        if not one:
            return None
        edit = one.pop()
        getattr(edit, how)()
        other.append(edit)
        return edit


def object_at(labels: Labels, point: Sequence[int], *, connected: bool = False) -> Object | None:
    """Return the object at a pixel.

    Parameters
    ----------
    labels : ndarray of int
        Of any number of axes.
    point : sequence of int
        A pixel; one outside has no object.
    connected : bool
        Whether only the pixels of that label count that are connected to the point, in its plane
        of the last two axes: for labels that are classes.

    Returns
    -------
    Object, optional
        None on background.

    Examples
    --------
    >>> object_at(np.array([[3, 0, 3]]), (0, 0)).mask.tolist()
    [[True, False, True]]
    >>> object_at(np.array([[3, 0, 3]]), (0, 0), connected=True).mask.tolist()
    [[True]]
    """
    if not all(0 <= at < n for at, n in zip(point, labels.shape, strict=True)):
        return None
    label = int(labels[tuple(point)])
    if not label:
        return None
    if connected:
        return _connected(labels, tuple(point), label)
    return object_of(labels, label)


def object_of(labels: Labels, label: int) -> Object | None:
    """Return the object of a label; None if there is no such.

    Parameters
    ----------
    labels : ndarray of int
        Of any number of axes.
    label : int
        Not 0.
    """
    mask = labels == label
    box: list[slice] = []
    for axis in range(labels.ndim):
        others = tuple(i for i in range(labels.ndim) if i != axis)
        where = np.flatnonzero(mask.any(axis=others))
        if not len(where):
            return None
        box.append(slice(int(where[0]), int(where[-1]) + 1))
    return Object(label, tuple(box), mask[tuple(box)].copy())


def _connected(labels: Labels, point: tuple[int, ...], label: int) -> Object:
    """Return the connected part of a label around a point, within its plane."""
    *plane, row, column = point
    whole = labels[tuple(plane)]
    reach = FIRST_REACH
    while True:
        top, left = max(0, row - reach), max(0, column - reach)
        part = whole[top : row + reach + 1, left : column + reach + 1] == label
        numbers = ndimage.label(part, np.ones((3, 3)))[0]
        mask = numbers == numbers[row - top, column - left]
        open_at = (
            (top > 0 and mask[0].any())
            or (left > 0 and mask[:, 0].any())
            or (top + len(part) < len(whole) and mask[-1].any())
            or (left + part.shape[1] < whole.shape[1] and mask[:, -1].any())
        )
        if not open_at:
            break
        reach *= 4
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    down = slice(int(rows[0]), int(rows[-1]) + 1)
    across = slice(int(columns[0]), int(columns[-1]) + 1)
    box = (
        *(slice(at, at + 1) for at in plane),
        slice(top + down.start, top + down.stop),
        slice(left + across.start, left + across.stop),
    )
    found = mask[down, across]
    return Object(label, box, found.reshape((1,) * len(plane) + found.shape))


def removed(labels: Labels, found: Object, current: Array | None = None) -> list[Change]:
    """Return the change that removes an object; `current` as for `Change`."""
    return [Change(labels, found.box, found.mask, 0, current)]


def kept(kept: Labels, found: Object, label: int, current: Array | None = None) -> list[Change]:
    """Return the change that copies an object into other labels; what is there stays.

    Parameters
    ----------
    kept : ndarray of int
        On the grid of the object.
    found : Object
        The object.
    label : int
        Its label there; see `fresh`.
    current : callable, optional
        As for `Change`.
    """
    free = found.mask & (kept[found.box] == 0)
    return [Change(kept, found.box, free, label, current)]


def joined(
    labels: Labels, one: Object, other: Object, current: Array | None = None
) -> list[Change]:
    """Return the change that gives an object the label of another one.

    Raises
    ------
    ValueError
        If they are the same.
    """
    if one.label == other.label and one.box == other.box:
        raise ValueError("These are one object. Point at two objects to join them.")
    return [Change(labels, other.box, other.mask, one.label, current)]


def cut(
    labels: Labels,
    found: Object,
    points: Sequence[Sequence[int]],
    current: Array | None = None,
) -> list[Change]:
    """Return the change that cuts an object in two, or more, along a line.

    Parameters
    ----------
    labels : ndarray of int
        Of any number of axes; the line lies in one plane of the last two.
    found : Object
        The object. Only its part in that plane is cut.
    points : sequence of sequence of int
        Two pixels or more, from one end of the line to the other.
    current : callable, optional
        As for `Change`.

    Raises
    ------
    ValueError
        If the line does not cross the object.

    Notes
    -----
    The largest part keeps the label, as what the line does not touch; the others get fresh ones.
    Pixels of the line join the part that is nearest.

    Examples
    --------
    >>> labels = np.ones((3, 5), int)
    >>> for change in cut(labels, object_at(labels, (0, 0)), [(0, 1), (2, 1)]):
    ...     change.redo()
    >>> labels[1].tolist()
    [2, 2, 1, 1, 1]
    """
    place = tuple(points[0][:-2])
    at = tuple(p - s.start for p, s in zip(place, found.box, strict=False))
    if any(not 0 <= i < s.stop - s.start for i, s in zip(at, found.box, strict=False)):
        raise ValueError("The line does not cross the object. Draw it from one side to the other.")
    mask = found.mask[at]
    rows, columns = found.box[-2:]
    blocked = np.zeros(mask.shape, np.bool_)
    for one, other in pairwise(points):
        r, c = pixels_of_line(*(int(i) for i in (*one[-2:], *other[-2:])))
        inside = (r >= rows.start) & (r < rows.stop) & (c >= columns.start) & (c < columns.stop)
        blocked[r[inside] - rows.start, c[inside] - columns.start] = True
    whole = ndimage.label(mask, np.ones((3, 3)))[0]
    crossed = np.isin(whole, np.unique(whole[blocked & mask])) & mask
    # Through edges alone: an oblique line is open at its corners.
    parts, count = ndimage.label(crossed & ~blocked)
    if count <= len(np.unique(whole[crossed])):
        raise ValueError("The line does not cross the object. Draw it from one side to the other.")
    nearest = ndimage.distance_transform_edt(
        parts == 0, return_distances=False, return_indices=True
    )
    parts = np.where(crossed, parts[tuple(nearest)], 0)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable") + 1
    numbers = np.full(count + 1, found.label, labels.dtype)
    numbers[order[1:]] = fresh(labels) + np.arange(count - 1)
    box = (*(slice(i, i + 1) for i in place), rows, columns)
    shape = (1,) * len(place) + mask.shape
    return [Change(labels, box, mask.reshape(shape), numbers[parts[mask]], current)]


def fresh(labels: Labels) -> int:
    """Return a label that no object has.

    Raises
    ------
    ValueError
        If the type of the labels holds no greater one.
    """
    new = int(labels.max(initial=0)) + 1
    if new > np.iinfo(labels.dtype).max:
        raise ValueError(
            f"Labels of type {labels.dtype} hold no number above {new - 1}. Convert the layer to "
            f"a larger type: Layers > Data > Convert data type."
        )
    return new
