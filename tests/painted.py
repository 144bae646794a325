"""An image with two kinds of things, and strokes on it, for tests of teaching."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_clipseg.teaching import teach
from napari_clipseg.teaching.effort import FULL

SIDE = 96
APART = 5  # rows from the middle of a thing: no stroke is a neighbor of another


LITTLE = replace(
    FULL,
    folds=2,
    trees=4,
    trees_held_out=2,
    decoder_steps=4,
    sampled=1500,
    network_steps=100,
)


@contextmanager
def hurried():
    """Fewer trees and steps: what is tested here is not how good the answers are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teach, "FULL", LITTLE)
        patch.setattr(teach, "AT_ONCE", replace(LITTLE, folds=0))
        patch.setattr(teach, "GOING_ON", replace(LITTLE, folds=0, decoder_steps=2))
        yield


def scene(seed=0, side=SIDE, channels=3):
    """Red disks and blue disks on gray, and where each lie; of one channel bright and dark ones."""
    rng = np.random.default_rng(seed)
    image = rng.normal(110, 8, (side, side, channels))
    y, x = np.mgrid[:side, :side]
    masks = np.zeros((2, side, side), bool)
    colors = ([210, 60, 60], [60, 60, 210]) if channels == 3 else ([220], [20])
    for number in range(8):
        row, column = divmod(number, 3)
        cy, cx = (row + 0.5) * side / 3, (column + 0.5) * side / 3
        disk = np.hypot(y - cy, x - cx) < rng.uniform(0.09, 0.13) * side
        masks[number % 2] |= disk
        image[disk] = colors[number % 2] + rng.normal(0, 8, (disk.sum(), channels))
    image = np.clip(image, 0, 255).astype(np.uint8)
    return (image if channels == 3 else image[..., 0]), masks


def paint(masks, things=4, classes=(0,)):
    """Two strokes on each thing of some classes (values 2, 3, …), and as many beside them (1)."""
    strokes = np.zeros(masks.shape[1:], np.uint8)
    for value, number in enumerate(classes, start=2):
        labels, count = ndimage.label(ndimage.binary_erosion(masks[number], iterations=2))
        for one in range(1, min(things, count) + 1):
            rows, columns = np.nonzero(labels == one)
            for row in (int(rows.mean()) - APART, int(rows.mean()) + APART):
                strokes[row, columns[rows == row]] = value
    free = ~masks[list(classes)].any(axis=0)
    others = [number for number in range(len(masks)) if number not in classes]
    for number in others[:1]:
        labels, count = ndimage.label(masks[number])
        for one in range(1, count):
            rows, columns = np.nonzero(labels == one)
            strokes[int(rows.mean()), columns[rows == int(rows.mean())]] = 1
    side = len(strokes)
    for row in np.linspace(2, side - 3, 2 * things).astype(int):
        part = free[row] & (np.arange(side) < side // 2)
        strokes[row, part] = 1
    return strokes


def iou(found, truth):
    return (found & truth).sum() / max((found | truth).sum(), 1)
