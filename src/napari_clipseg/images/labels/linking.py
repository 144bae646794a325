"""Objects of neighbouring planes that are one: matched by their overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Labels = NDArray[np.integer]


def object_classes(instances: Labels, semantic: Labels) -> Int32:
    """Return the class that most of each object's labelled pixels have.

    Parameters
    ----------
    instances : ndarray of int
        ``(*planes, height, width)``: 0 for background, else an object's number.
    semantic : ndarray of int
        Of the same shape: 0 for background, else a class.

    Returns
    -------
    ndarray of int32
        ``(greatest number + 1,)``: the class of each number, so that ``classes[instances]`` is a
        semantic map again. 0 for background, for numbers that no object has, and for
        objects without a pixel of any class. Of equally frequent classes the first.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if instances.shape != semantic.shape:
        raise ValueError(
            f"The instances have shape {instances.shape}, their classes {semantic.shape}; "
            f"they must be equal."
        )
    classes = int(semantic.max(initial=0)) + 1
    votes = np.zeros((int(instances.max(initial=0)) + 1, classes), np.int64)
    for plane in np.ndindex(instances.shape[:-2]):
        where = (instances[plane] > 0) & (semantic[plane] > 0)
        numbers, its = instances[plane][where].astype(np.int64), semantic[plane][where]
        if numbers.size:
            first = int(numbers.min())  # a plane of a large stack holds few of its numbers
            found = np.bincount((numbers - first) * classes + its)
            found.resize(-(-len(found) // classes), classes)
            votes[first : first + len(found)] += found
    result: Int32 = votes.argmax(axis=1).astype(np.int32)
    return result


def matches(
    before: tuple[Labels, Labels], after: tuple[Labels, Labels], least_overlap: float
) -> Int32:
    """Match the objects of a plane with those of the plane before it, one to one.

    Greedily: of all pairs of one class, the two that overlap most are matched first, by
    intersection over union, then the next two that are both still free.

    Parameters
    ----------
    before, after : tuple of ndarray of int
        Instances and classes of a plane, ``(height, width)`` each.
    least_overlap : float
        Pairs with a smaller intersection over union are no match.

    Returns
    -------
    ndarray of int32
        ``(greatest number after + 1,)``: the number before of each number after; 0 for none.
    """
    old, new = before[0], after[0]
    matched = np.zeros(int(new.max(initial=0)) + 1, np.int32)
    both = (old > 0) & (new > 0)
    pairs, common = np.unique(
        old[both].astype(np.int64) * len(matched) + new[both], return_counts=True
    )
    ones, others = np.divmod(pairs, len(matched))
    sizes = [np.bincount(plane.ravel(), minlength=1) for plane in (old, new)]
    overlap = common / (sizes[0][ones] + sizes[1][others] - common)
    same = object_classes(*before)[ones] == object_classes(*after)[others]
    good = np.flatnonzero((overlap >= least_overlap) & same)
    taken: set[int] = set()
    for i in good[np.argsort(-overlap[good], kind="stable")]:
        one, other = int(ones[i]), int(others[i])
        if one not in taken and not matched[other]:
            matched[other] = one
            taken.add(one)
    return matched
