"""Links the parts of an object in neighboring planes, by their overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Labels = NDArray[np.integer]


def object_classes(instances: Labels, semantic: Labels) -> Int32:
    """Return the class of each object: the most frequent class of its pixels.

    Parameters
    ----------
    instances : ndarray of int
        ``(*planes, height, width)``: 0 for background, otherwise the label of an object.
    semantic : ndarray of int
        Of the same shape: 0 for background, otherwise a class.

    Returns
    -------
    ndarray of int32
        ``(greatest label + 1,)``: the class of each label, so that ``classes[instances]`` are
        semantic labels again. 0 for background, for labels without object, and for objects
        without a pixel of any class. If classes are equally frequent, the first one.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> object_classes(np.array([[1, 1, 0, 2]]), np.array([[3, 3, 0, 1]])).tolist()
    [0, 3, 1]
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
            first = int(numbers.min())  # a plane of a large stack has few of its labels
            found = np.bincount((numbers - first) * classes + its)
            found.resize(-(-len(found) // classes), classes)
            votes[first : first + len(found)] += found
    result: Int32 = votes.argmax(axis=1).astype(np.int32)
    return result


def matches(
    before: tuple[Labels, Labels], after: tuple[Labels, Labels], least_overlap: float
) -> Int32:
    """Match the objects of a plane with those of the plane before it, one to one.

    Greedily: of all pairs of the same class, the pair with the greatest intersection over union
    is matched first, then the next pair whose objects are both still free.

    Parameters
    ----------
    before, after : tuple of ndarray of int
        Instances and classes of a plane, ``(height, width)`` each.
    least_overlap : float
        Pairs with a smaller intersection over union are not matched.

    Returns
    -------
    ndarray of int32
        ``(greatest label after + 1,)``: the label before of each label after; 0 for none.
    """
    old, new = before[0], after[0]
    count = int(new.max(initial=0)) + 1
    both = (old > 0) & (new > 0)
    pairs, common = np.unique(old[both].astype(np.int64) * count + new[both], return_counts=True)
    ones, others = np.divmod(pairs, count)
    sizes = [np.bincount(plane.ravel(), minlength=1) for plane in (old, new)]
    overlap = common / (sizes[0][ones] + sizes[1][others] - common)
    same = object_classes(*before)[ones] == object_classes(*after)[others]
    return best_pairs(ones[same], others[same], overlap[same], count, least_overlap)


def best_pairs(
    ones: NDArray[np.int64],
    others: NDArray[np.int64],
    overlap: NDArray[np.float64],
    count: int,
    least_overlap: float,
) -> Int32:
    """Match pairs of objects greedily, the greatest overlap first, one to one.

    Parameters
    ----------
    ones, others : ndarray of int64
        ``(pairs,)``: the label in the plane before, and that in the plane, of each pair; sorted
        by the first, then by the second: so equal overlaps have an order.
    overlap : ndarray of float64
        ``(pairs,)``: intersection over union.
    count : int
        One more than the greatest label in the plane.
    least_overlap : float
        Pairs with less are not matched.

    Returns
    -------
    ndarray of int32
        ``(count,)``: the label before of each label of the plane; 0 for none.
    """
    matched = np.zeros(count, np.int32)
    good = np.flatnonzero(overlap >= least_overlap)
    taken: set[int] = set()
    for i in good[np.argsort(-overlap[good], kind="stable")]:
        one, other = int(ones[i]), int(others[i])
        if one not in taken and not matched[other]:
            matched[other] = one
            taken.add(one)
    return matched
