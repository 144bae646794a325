"""The outlines of what lies in a scene: signed distances to discs, rings, curves, corners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Thing:
    """One object before it is drawn: its place in units and its looks."""

    kind: str
    colour: str
    radius: float
    y: float
    x: float
    named: bool = True


@lru_cache(maxsize=256)
def _stretch(length: int, cells: int) -> Floats:
    """Give the (length, cells) matrix that interpolates `cells` values linearly over `length`."""
    at = np.linspace(0, cells - 1, length)
    weights = 1 - np.abs(at[:, None] - np.arange(cells)[None])
    return np.clip(weights, 0, None).astype(np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Floats:
    """Give (height, width) noise in -1..1 whose bumps are about `cell` pixels wide."""
    rows, columns = (max(2, round(n / cell) + 1) for n in shape)
    coarse = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return _stretch(shape[0], rows) @ coarse @ _stretch(shape[1], columns).T


def _polygon(y: Floats, x: Floats, corners: Sequence[tuple[float, float]]) -> Floats:
    """Give the (outer) distance to a convex polygon, corners (y, x) in order of angle."""
    edges = []
    for (y0, x0), (y1, x1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        dy, dx = y1 - y0, x1 - x0
        edges.append(((x - x0) * dy - (y - y0) * dx) / np.hypot(dy, dx))
    return np.max(edges, axis=0)


def distance(rng: np.random.Generator, thing: Thing, y: Floats, x: Floats) -> Floats:
    """Give the signed distance in units, negative inside, to a thing at the origin."""
    r = thing.radius
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    y, x = cos * y - sin * x, sin * y + cos * x
    if thing.kind == "squares":
        half = 0.9 * r
        longer = rng.uniform(1.0, 1.3) ** 0.5
        return np.maximum(np.abs(y) - half * longer, np.abs(x) - half / longer)
    if thing.kind == "triangles":
        turns = 2 * np.pi * (np.arange(3) + rng.uniform(-0.06, 0.06, 3)) / 3
        return _polygon(y, x, [(r * np.sin(t), r * np.cos(t)) for t in turns])
    if thing.kind == "cross":
        arm = 0.28 * r
        one = np.maximum(np.abs(y) - r, np.abs(x) - arm)
        return np.minimum(one, np.maximum(np.abs(x) - r, np.abs(y) - arm))
    if thing.kind == "half":
        return np.maximum(np.hypot(y, x) - r, y)
    if thing.kind == "star":
        rho, theta = np.hypot(y, x), np.arctan2(y, x)
        fold = np.abs((theta * 5 / (2 * np.pi)) % 1 - 0.5) * 2  # 1 at a tip, 0 between two
        return 0.6 * (rho - r * (0.36 + 0.64 * fold**1.5))
    longer = rng.uniform(1.0, {"nuclei": 1.6, "rings": 1.25}.get(thing.kind, 1.1)) ** 0.5
    y, x = y / longer, x * longer
    rho = np.hypot(y, x)
    if thing.kind == "rings":
        width = max(2.4, rng.uniform(0.22, 0.40) * r)
        return np.abs(rho - (r - width / 2)) - width / 2
    if thing.kind == "nuclei":
        theta = np.arctan2(y, x)
        for waves in (2, 3):
            rho = rho + r * rng.uniform(0, 0.05) * np.cos(waves * theta + rng.uniform(0, 6.3))
    return rho - r


def filament_distance(
    rng: np.random.Generator, thing: Thing, y: Floats, x: Floats, pitch: float
) -> Floats:
    """Give the signed distance in units to a curve of even width through (thing.y, thing.x).

    `y` (height, 1) and `x` (1, width) are the pixels' centres, `pitch` units apart. Only pixels
    within 5 units of the curve get their distance; the others get a large number.
    """
    steps = max(2, int(rng.uniform(25, 90) / (0.7 * pitch)))
    bend = np.cumsum(rng.normal(0, 0.05, steps)) * rng.uniform(0.1, 0.9) * (0.7 * pitch) ** 0.5
    course = rng.uniform(0, 2 * np.pi) + bend + np.linspace(0, rng.uniform(-1.2, 1.2), steps)
    track = np.stack([np.sin(course), np.cos(course)]).cumsum(1) * 0.7 * pitch
    track += np.array([[thing.y], [thing.x]]) - track.mean(1, keepdims=True)
    reach = int(np.ceil((thing.radius + 2.0) / pitch))
    offsets = np.arange(-reach, reach + 1)
    shape = (y.size, x.size)
    rows = np.round((track[0] - y[0, 0]) / pitch).astype(int)[:, None, None] + offsets[:, None]
    columns = np.round((track[1] - x[0, 0]) / pitch).astype(int)[:, None, None] + offsets[None]
    rows, columns = np.broadcast_arrays(rows, columns)
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    away = np.hypot(
        rows * pitch + y[0, 0] - track[0][:, None, None],
        columns * pitch + x[0, 0] - track[1][:, None, None],
    )
    out = np.full(y.size * x.size, 1e3, np.float32)
    np.minimum.at(out, (rows * shape[1] + columns)[inside], away[inside].astype(np.float32))
    return out.reshape(shape) - thing.radius
