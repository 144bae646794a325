"""A large image of small things, to see what tiles are worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import draw

KINDS = ("nuclei", "rings", "squares")
SPACE = 46  # pixels of a cell of the grid on which things lie


@dataclass(frozen=True)
class SmallThings:
    """An image, ``(side, side)`` uint16, and the pixels of each kind."""

    image: NDArray[np.uint16]
    truth: dict[str, NDArray[np.bool_]]


def make_small_things(side: int = 2048, seed: int = 5_000_000) -> SmallThings:
    """Draw nuclei, rings and squares of 8 to 14 pixels' radius on uneven, noisy ground."""
    rng = np.random.default_rng(seed)
    truth = {kind: np.zeros((side, side), bool) for kind in KINDS}
    light = np.zeros((side, side))
    for row in np.arange(SPACE // 2, side - SPACE // 2, SPACE):
        for column in np.arange(SPACE // 2, side - SPACE // 2, SPACE):
            if rng.random() < 0.35:
                continue
            y, x = np.array([row, column]) + rng.uniform(-7, 7, 2)
            kind, radius = str(rng.choice(KINDS)), rng.uniform(8, 14)
            mask = _shape(rng, kind, y, x, radius, side)
            truth[kind][mask] = True
            light[mask] = rng.uniform(0.5, 0.8)
    y, x = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    ground = 0.18 + 0.08 * np.sin(3 * x + 1) * np.cos(4 * y)
    clean = np.maximum(ndimage.gaussian_filter(light, 1.0), ground)
    image = rng.poisson(clean * 900) + rng.normal(0, 8, clean.shape)
    return SmallThings(np.clip(image * 20, 0, 65535).astype(np.uint16), truth)


def _shape(
    rng: np.random.Generator, kind: str, y: float, x: float, radius: float, side: int
) -> tuple[NDArray[np.int_], ...]:
    size = (side, side)
    turn = rng.uniform(0, np.pi)
    if kind == "nuclei":
        return draw.ellipse(y, x, radius, radius * rng.uniform(0.7, 1), size, rotation=turn)
    if kind == "squares":
        corners = turn + np.pi / 2 * np.arange(4)
        return draw.polygon(y + radius * np.sin(corners), x + radius * np.cos(corners), size)
    ring = np.zeros(size, bool)
    ring[draw.disk((y, x), radius, shape=size)] = True
    ring[draw.disk((y, x), radius * 0.55, shape=size)] = False
    return ring.nonzero()
