"""The painted pixels of all images that are taught, and what classifiers are told of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.decoding import class_maps
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.descriptors import FILTERS, REGIONS
from napari_clipseg.images.tiling.stitch import on_pixels
from napari_clipseg.learned import MAPS, LearnedClass
from napari_clipseg.teaching.decoder import Fit, Fitted, Painted
from napari_clipseg.teaching.parts import Columns
from napari_clipseg.teaching.strokes import Strokes
from napari_clipseg.teaching.views import View, Views

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Taught:
    """An image, its strokes, and the tiles that they lie on."""

    views: Views
    strokes: Strokes
    tiles: list[View] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Older:
    """Painted pixels of an earlier teaching, whose images are not at hand."""

    inputs: Float32
    values: NDArray[np.intp]
    groups: NDArray[np.intp]


def columns_of(image_channels: int, components: int) -> Columns:
    """Return which inputs are what."""
    filters = FILTERS * image_channels
    regions = filters + MAPS + components
    return Columns(
        slice(0, filters),
        filters,
        filters + 1,
        slice(filters + MAPS, regions),
        slice(regions, regions + REGIONS),
    )


def joined(taught: Sequence[Taught], older: Older | None) -> Strokes:
    """Return the pixels of all images as one; planes are told apart by the image's number."""
    axes = max((one.strokes.places.shape[1] for one in taught), default=2) + 1
    places, values, groups = [], [], []
    first = 0
    for number, one in enumerate(taught):
        own = np.zeros((len(one.strokes), axes), np.intp)
        own[:, 0] = number
        own[:, axes - one.strokes.places.shape[1] :] = one.strokes.places
        places.append(own)
        values.append(one.strokes.values)
        groups.append(one.strokes.groups + first)
        first = int(groups[-1].max(initial=first)) + 1
    if older is not None:
        own = np.zeros((len(older.values), axes), np.intp)
        own[:, 0] = -1
        # Their places are not known; apart from each other they are no neighbours.
        own[:, -2] = 1_000_000 * (1 + older.groups)
        places.append(own)
        values.append(older.values)
        groups.append(older.groups + first)
    return Strokes(np.concatenate(places), np.concatenate(values), np.concatenate(groups))


def painted_in_tiles(
    taught: Sequence[Taught], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> list[Painted]:
    """Return the painted pixels of each tile.

    Parameters
    ----------
    taught : sequence of Taught
        The images.
    positive : ndarray of bool
        ``(pixels,)``: on the thing; pixels in the order of `joined`.
    weights : ndarray of float
        ``(fits, pixels)``.
    """
    found, first = [], 0
    for one in taught:
        for view in one.tiles:
            numbers = first + view.painted
            rows, columns = one.strokes.places[view.painted, -2:].T
            found.append(
                Painted(
                    view.features, view.tile, rows, columns, positive[numbers], weights[:, numbers]
                )
            )
        first += len(one.strokes)
    return found


def inputs_of(
    engine: Engine,
    start: Fitted,
    fitted: Fitted,
    taught: Sequence[Taught],
    components: Float32,
    count: int,
) -> tuple[Float32, Float32, list[tuple[View, Any, slice]]]:
    """Return the inputs of painted pixels, those of `count` others, and where those lie.

    Parameters
    ----------
    engine : Engine
        What decodes.
    start, fitted : Fitted
        The prompt that teaching began with, and the fitted one.
    taught : sequence of Taught
        The images.
    components : ndarray of float32
        See `LearnedPrompt.components`.
    count : int
        About how many pixels are drawn evenly from all tiles; 500 of each at least.

    Returns
    -------
    painted, sampled : ndarray of float32
        ``(pixels, inputs)``; the first in the order of `joined`.
    places : list of (View, (rows, columns), slice)
        For each tile where its pixels of `sampled` lie, and which those are.
    """
    asked = LearnedClass(
        "",
        np.stack([start.vector, fitted.vector]),
        fitted.scale,
        fitted.shift,
        np.empty(0, np.float32),
        np.empty(0, np.float32),
        (),
    )
    tiles = sum(len(one.tiles) for one in taught)
    painted, sampled, places = [], [], []
    done = 0
    for one in taught:
        own: Float32 | None = None
        for view in one.tiles:
            maps = class_maps(engine, view.features, asked)[0]
            rows, columns = one.strokes.places[view.painted, -2:].T
            values = one.views.inputs(view, rows, columns, maps, components)
            if own is None:
                own = np.empty((len(one.strokes), values.shape[1]), np.float32)
            own[view.painted] = values
            at = one.views.sample(view, one.strokes, max(count // max(tiles, 1), 500))
            sampled.append(one.views.inputs(view, *at, maps, components))
            places.append((view, at, slice(done, done + len(at[0]))))
            done += len(at[0])
        assert own is not None  # an image without strokes was refused
        painted.append(own)
    return np.concatenate(painted), np.concatenate(sampled), places


def decoder_logits(
    engine: Engine,
    taught: Sequence[Taught],
    fit: Fit,
    others: Float32,
    count: int,
) -> NDArray[np.float64]:
    """Return the calibrated logits of a fit of the decoder at all painted pixels.

    Of an earlier teaching's pixels they are those that were found then: `others` from `count` on.
    """
    asked = fit.asked
    found = np.array(others, np.float64)
    first = 0
    for one in taught:
        for view in one.tiles:
            features = view.features.modulated(1 + asked.scale, asked.shift)
            logits = engine.decode(features, asked.vector[None])[0]
            y, x = one.strokes.places[view.painted, -2:].T
            part = slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1)
            near = on_pixels(logits, view.tile, *part)[0]
            found[first + view.painted] = near[y - part[0].start, x - part[1].start]
        first += len(one.strokes)
    assert first == count
    return fit.slope * found + fit.offset
