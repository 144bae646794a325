"""One class of a learned prompt, fitted to strokes on any number of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.decoding import class_maps
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.descriptors import FILTERS, REGIONS
from napari_clipseg.learned import MAPS, LearnedClass
from napari_clipseg.teaching.decoder import Fit, Fitted, Painted, fit_decoder
from napari_clipseg.teaching.network import distill
from napari_clipseg.teaching.parts import (
    ON_FILTERS,
    PROMPT,
    TREES,
    TREES_AT_ONCE,
    TREES_HELD_OUT,
    Columns,
    balanced,
    clipped,
    log_loss,
    mixed,
    parts_of,
    standard,
    worth,
)
from napari_clipseg.teaching.score import (
    Cut,
    best_cut,
    enough_to_tell,
    held_out_slope,
    threshold_offset,
)
from napari_clipseg.teaching.strokes import Strokes, held_out
from napari_clipseg.teaching.views import View, Views

Float32 = NDArray[np.float32]

SAMPLED = 16_000  # pixels of all tiles, that show the network what the parts answer
SAMPLED_AT_ONCE = 8_000
MOST_TILES = 4  # that the decoder is fitted on; those with the most strokes
DECODER = "decoder"
PAINTED_SHARE = 0.25  # of the pixels drawn for the network, those that are painted


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


@dataclass(frozen=True, eq=False)
class Result:
    """What was fitted for one class.

    Attributes
    ----------
    learned : LearnedClass
        The class.
    score : float, optional
        Expected IoU; None if there are too few strokes to tell.
    beside : dict
        The same of the prompt that teaching began with, calibrated ("prompt"), and of a forest on
        filters ("filters"), both from the same strokes.
    weights, losses : dict
        Of each part: how much it counts, and its loss on held-out strokes.
    doubt : list of (View, rows, columns, values)
        For each tile how much the parts disagree at some pixels, 0 to 1.
    inputs : ndarray of float32
        ``(pixels, inputs)`` of the painted pixels, to go on from.
    fit : Fit
        Of the decoder.
    cut : Cut
        Of the parts together.
    """

    learned: LearnedClass
    score: float | None
    beside: dict[str, float | None]
    weights: dict[str, float]
    losses: dict[str, float]
    doubt: list[tuple[View, NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]
    inputs: Float32
    fit: Fit
    cut: Cut


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


def fit_class(
    engine: Engine,
    name: str,
    value: int,
    start: Fitted,
    taught: Sequence[Taught],
    components: Float32,
    columns: Columns,
    older: Older | None = None,
    *,
    at_once: bool = False,
    earlier: Result | None = None,
    step: Callable[[str], Any] = lambda message: None,
) -> Result:
    """Fit the decoder, the parts and the network of one class.

    Parameters
    ----------
    engine : Engine
        What decodes.
    name : str
        What the class is called.
    value : int
        Its value in the strokes; all other painted pixels are beside it.
    start : Fitted
        The prompt to begin with.
    taught : sequence of Taught
        The images.
    components : ndarray of float32
        See `LearnedPrompt.components`.
    columns : Columns
        Which inputs are what.
    older : Older, optional
        Pixels of an earlier teaching.
    at_once : bool
        Whether somebody waits. Then no strokes are held out, so that there is no score, the parts
        are small, and the fits go on from `earlier`.
    earlier : Result, optional
        Of a few strokes ago, on the same images.
    step : callable
        Called with what comes next; it may raise to stop.
    """
    strokes = joined(taught, older)
    positive = strokes.values == value
    folds = [] if at_once else list(held_out(strokes, positive))
    earlier = earlier if at_once else None
    everywhere = np.arange(len(strokes))
    weights = np.stack(
        [balanced(positive, everywhere), *(balanced(positive, train) for train, _ in folds)]
    )
    fits = _fit_decoder(
        engine,
        start,
        taught,
        positive,
        weights,
        None if earlier is None else earlier.fit,
        lambda: step("Fitting the decoder"),
    )
    step("Reading the pixels")
    count = SAMPLED_AT_ONCE if at_once else SAMPLED
    at_strokes, sampled, places = _inputs(engine, start, fits[0].asked, taught, components, count)
    inputs = at_strokes if older is None else np.concatenate([at_strokes, older.inputs])
    parts = parts_of(columns)
    tests = {part: np.zeros(len(strokes)) for part in (DECODER, *parts)}
    for (train, test), fit in zip(folds, fits[1:], strict=True):
        step("Testing the decoder")
        decoded = _decoder_logits(engine, taught, fit, inputs[:, columns.fitted], len(at_strokes))
        tests[DECODER][test] = decoded[test]
        for part, how in parts.items():
            step("Testing the classifiers")
            answer = how(inputs[train], positive[train], trees=TREES_HELD_OUT)
            tests[part][test] = answer(inputs[test])
    tested = np.unique(np.concatenate([test for _, test in folds])) if folds else np.empty(0, int)
    counted = balanced(positive, tested) if len(tested) else np.zeros(len(strokes))
    losses = {part: log_loss(clipped(one), positive, counted) for part, one in tests.items()}
    known = len(np.unique(strokes.groups[tested]))
    shares = worth(losses, known) if earlier is None else earlier.weights
    answers: dict[str, Any] = {
        DECODER: lambda other: other[:, columns.fitted] * fits[0].slope + fits[0].offset
    }
    for part, how in parts.items():
        step("Fitting the classifiers")
        answers[part] = how(inputs, positive, trees=TREES_AT_ONCE if at_once else TREES)
    step("Joining the parts")
    logits = {part: clipped(answer(sampled)) for part, answer in answers.items()}
    own = mixed({part: answer(inputs) for part, answer in answers.items()}, shares)
    teacher = mixed(logits, shares)

    def cut_of(held: NDArray[np.float64], everywhere: NDArray[np.float64]) -> Cut:
        slope = 1.0
        if len(tested):
            slope = held_out_slope(held[tested], positive[tested], counted[tested])
        return best_cut(everywhere, slope)

    if earlier is None:
        cut = cut_of(mixed(tests, shares), teacher)
    else:
        cut = best_cut(teacher, earlier.cut.slope)
    at_threshold = cut.offset + threshold_offset(engine.config.default_threshold)
    center, spread = standard(sampled)
    if earlier is not None:
        center, spread = earlier.learned.center, earlier.learned.spread
    network = distill(
        np.concatenate([(sampled - center) / spread, (inputs - center) / spread]),
        _probability(cut.slope * np.concatenate([teacher, own]) + at_threshold).astype(np.float32),
        _draws(len(sampled), len(inputs)),
        earlier=None if earlier is None else earlier.learned.network,
        step=lambda: step("Joining the parts"),
    )
    learned = LearnedClass(
        name,
        np.stack([start.vector, fits[0].asked.vector]),
        fits[0].asked.scale,
        fits[0].asked.shift,
        center,
        spread,
        network,
    )
    score: float | None = None
    beside: dict[str, float | None] = dict.fromkeys((PROMPT, ON_FILTERS))
    if len(tested) and enough_to_tell(strokes.of(tested), positive[tested]):
        score = cut.iou
        beside = {
            part: cut_of(clipped(tests[part]), logits[part]).iou for part in (PROMPT, ON_FILTERS)
        }
    spreads = _disagreement(logits, shares, cut)
    doubt = [(view, *at, spreads[part]) for view, at, part in places]
    return Result(learned, score, beside, dict(shares), losses, doubt, inputs, fits[0], cut)


def _fit_decoder(
    engine: Engine,
    start: Fitted,
    taught: Sequence[Taught],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64],
    earlier: Fit | None,
    step: Callable[[], Any],
) -> list[Fit]:
    painted = painted_in_tiles(taught, positive, weights)
    painted.sort(key=lambda one: -len(one.positive))
    if not painted:
        return [Fit(start, 1.0, 0.0)] * len(weights)
    return fit_decoder(engine, start, painted[:MOST_TILES], earlier=earlier, step=step)


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


def _inputs(
    engine: Engine,
    start: Fitted,
    fitted: Fitted,
    taught: Sequence[Taught],
    components: Float32,
    count: int,
) -> tuple[Float32, Float32, list[tuple[View, Any, slice]]]:
    """Return the inputs of painted pixels, those of `count` others, and where those lie."""
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


def _decoder_logits(
    engine: Engine,
    taught: Sequence[Taught],
    fit: Fit,
    others: Float32,
    count: int,
) -> NDArray[np.float64]:
    """Return the calibrated logits of a fit of the decoder at all painted pixels.

    Of an earlier teaching's pixels they are those that were found then: `others` from `count` on.
    """
    from napari_clipseg.images.tiling.stitch import on_pixels

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


def _disagreement(
    logits: Mapping[str, NDArray[np.float64]], shares: Mapping[str, float], cut: Cut
) -> NDArray[np.float64]:
    """Return the parts' weighted standard deviation of the probability, times 2: 0 to 1."""
    each = {part: _probability(cut.slope * one + cut.offset) for part, one in logits.items()}
    mean = np.sum([shares[part] * one for part, one in each.items()], axis=0)
    variance = np.sum([shares[part] * (one - mean) ** 2 for part, one in each.items()], axis=0)
    return np.asarray(2 * np.sqrt(variance))


def _draws(sampled: int, painted: int) -> Float32:
    """Return how often each pixel is drawn for the network."""
    first = np.full(sampled, (1 - PAINTED_SHARE) / sampled)
    second = np.full(painted, PAINTED_SHARE / painted)
    return np.concatenate([first, second]).astype(np.float32)


def _probability(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
