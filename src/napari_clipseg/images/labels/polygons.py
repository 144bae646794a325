"""Outlines of objects along the edges of their pixels, as simple rings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_parts

Ring = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Polygon:
    """A part of an object, all of whose pixels are joined by their sides.

    Attributes
    ----------
    outer : ndarray of int
        ``(corners, 2)``: row and column of each corner, the first one not repeated; (0, 0) is
        the outer corner of the first pixel, and pixel (i, j) lies between i and i + 1, and j and
        j + 1.
    holes : tuple of ndarray of int
        Likewise.
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()


def polygons(labels: NDArray[np.integer[Any]]) -> dict[int, list[Polygon]]:
    """Return the outlines of all objects of a plane.

    Each ring goes along the edges of pixels and is simple: it touches neither itself nor another
    ring of its object but in single corners. So a program that fills it, by whichever rule, gets
    the very pixels of the object. Pixels of an object that touch at a corner alone are in
    two polygons.

    Parameters
    ----------
    labels : ndarray of int
        ``(height, width)``: 0 for background, otherwise the label of an object.

    Returns
    -------
    dict
        From each label, in their order, to its polygons, in reading order.

    Examples
    --------
    >>> labels = np.array([[5, 5, 5], [5, 0, 5], [5, 5, 5]])
    >>> (ring,) = polygons(labels)[5]
    >>> ring.outer.tolist(), ring.holes[0].tolist()
    ([[0, 0], [0, 3], [3, 3], [3, 0]], [[1, 1], [2, 1], [2, 2], [1, 2]])
    """
    found: dict[int, list[Polygon]] = {}
    if not labels.size or not labels.any():
        return found
    parts = connected_parts(labels, background=0, connectivity=1)
    count = int(parts.max())
    inside = parts.ravel() > 0
    # Parts are numbered in reading order of their first pixels.
    first = np.full(count + 1, parts.size)
    np.minimum.at(first, parts.ravel()[inside], np.flatnonzero(inside))
    names = labels.ravel()[first[1:]].tolist()
    outers: list[Ring | None] = [None] * count
    holes: list[list[Ring]] = [[] for _ in range(count)]
    for part, ring, is_outer in _rings(parts):
        if is_outer:
            outers[part - 1] = ring
        else:
            holes[part - 1].append(ring)
    for name, outer, its in zip(names, outers, holes, strict=True):
        assert outer is not None
        found.setdefault(name, []).append(Polygon(outer, tuple(its)))
    return dict(sorted(found.items()))


def _edges(parts: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return part, first corner and direction of each edge: right, down, left, up.

    The pixels of the part lie on its right. Edges are sorted by part, then by first corner, in
    reading order, then by direction.
    """
    padded = np.pad(parts, 1)
    center, width = padded[1:-1, 1:-1], parts.shape[1] + 1
    found = []
    # The neighbor beyond each edge, and where the edge starts, seen from the pixel.
    for side, (neighbor, row, column) in enumerate(
        (
            (padded[:-2, 1:-1], 0, 0),
            (padded[1:-1, 2:], 0, 1),
            (padded[2:, 1:-1], 1, 1),
            (padded[1:-1, :-2], 1, 0),
        )
    ):
        rows, columns = np.nonzero((center > 0) & (center != neighbor))
        start = (rows + row) * width + columns + column
        found.append((center[rows, columns], start, np.full(len(rows), side)))
    part, start, direction = (np.concatenate(one) for one in zip(*found, strict=True))
    order = np.lexsort((direction, start, part))
    return part[order], start[order], direction[order]


def _rings(parts: NDArray[Any]) -> Iterator[tuple[int, Ring, bool]]:
    """Yield the rings of all parts: number of the part, ring, whether it is the outer one."""
    part, start, direction = _edges(parts)
    corners, width = (parts.shape[0] + 1) * (parts.shape[1] + 1), parts.shape[1] + 1
    steps = np.array([1, width, -1, -width])
    # Edges of a part that start at one corner stand side by side; there are one or two.
    key = part.astype(np.int64) * corners + start
    end = part.astype(np.int64) * corners + start + steps[direction]
    following = np.searchsorted(key, end)
    twice = np.zeros(len(key), bool)
    twice[:-1] = key[1:] == key[:-1]
    pinched = twice[following]
    # Where two pixels touch at a corner, a ring turns right and stays at its own pixel.
    wrong = pinched & (direction[following] != (direction + 1) % 4)
    following = following + wrong
    turns = direction[following] != direction
    traced = list(_traced(part, end % corners, following, turns, pinched))
    every = np.array([corner for _, ring in traced for corner in ring], np.int64)
    places = np.stack(np.divmod(every, width), axis=1)
    start_of = 0
    for number, ring in traced:
        at = ring.index(min(ring))
        # From its first corner in reading order, an outer ring goes right, and a hole down.
        is_outer = ring[(at + 1) % len(ring)] < ring[at] + width
        yield number, places[start_of : start_of + len(ring)], is_outer
        start_of += len(ring)


def _traced(
    part: NDArray[Any],
    end: NDArray[Any],
    following: NDArray[Any],
    turns: NDArray[Any],
    pinched: NDArray[Any],
) -> Iterator[tuple[int, list[int]]]:
    """Yield the corners of rings, cut wherever one comes to a corner for the second time."""
    follow, ends, turn, pinch = (one.tolist() for one in (following, end, turns, pinched))
    done = bytearray(len(follow))
    for first, number in enumerate(part.tolist()):
        if done[first]:
            continue
        path: list[int] = []
        seen: dict[int, int] = {}
        edge = first
        while not done[edge]:
            done[edge] = True
            if turn[edge]:
                corner = ends[edge]
                if pinch[edge]:
                    if corner in seen:
                        start = seen[corner]
                        loop = path[start:]
                        for one in loop:
                            seen.pop(one, None)
                        del path[start:]
                        yield number, loop
                    seen[corner] = len(path)
                path.append(corner)
            edge = follow[edge]
        yield number, path
