"""One class of a learned prompt, fitted to strokes on any number of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from napari_clipseg.engine.engine import Engine
from napari_clipseg.learned import LearnedClass
from napari_clipseg.teaching.decoder import Fit, Fitted, fit_decoder
from napari_clipseg.teaching.effort import Effort
from napari_clipseg.teaching.network import distill
from napari_clipseg.teaching.parts import (
    DECODER,
    ON_FILTERS,
    PROMPT,
    Columns,
    balanced,
    clipped,
    log_loss,
    mixed,
    parts_of,
    standard,
    worth,
)
from napari_clipseg.teaching.pixels import (
    Older,
    Taught,
    decoder_logits,
    inputs_of,
    joined,
    painted_in_tiles,
)
from napari_clipseg.teaching.score import (
    Cut,
    best_cut,
    enough_to_tell,
    held_out_slope,
    silenced,
    threshold_offset,
)
from napari_clipseg.teaching.strokes import FIRST_CLASS, held_out
from napari_clipseg.teaching.views import View

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MOST_TILES = 4  # that the decoder is fitted on; those with the most strokes
PAINTED_SHARE = 0.25  # of the pixels drawn for the network, those that are painted


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


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """What each part says of strokes that it did not learn from.

    Attributes
    ----------
    logits : dict
        Of each part: ``(painted pixels,)``; 0 where nothing was held out.
    tested : ndarray of int
        Numbers of the pixels that were held out once.
    positive : ndarray of bool
        ``(painted pixels,)``: on the thing.
    weights : ndarray of float
        ``(painted pixels,)``: how much each counts.
    strokes : int
        How many were painted.
    enough : bool
        Whether there are enough strokes to tell a score.
    """

    logits: dict[str, Float64]
    tested: NDArray[np.intp]
    positive: NDArray[np.bool_]
    weights: Float64
    strokes: int
    enough: bool

    def losses(self) -> dict[str, float]:
        return {
            part: log_loss(clipped(one), self.positive, self.weights)
            for part, one in self.logits.items()
        }

    def cut(self, held: Float64, everywhere: Float64) -> Cut:
        """Return where to cut logits that are `everywhere` in the image, and `held` at strokes."""
        slope, at = 1.0, self.tested
        if len(at):
            slope = held_out_slope(held[at], self.positive[at], self.weights[at])
        return best_cut(everywhere, self.strokes, slope)


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
    effort: Effort,
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
    effort : Effort
        How much is computed. If no strokes are held out, there is no score.
    earlier : Result, optional
        Of a few strokes ago, on the same images, to go on from. It says how much each part counts.
    step : callable
        Called with what comes next; it may raise to stop.
    """
    strokes = joined(taught, older)
    positive = strokes.values == value
    count = len(np.unique(strokes.groups))
    folds = list(held_out(strokes, positive, effort.folds))
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
        effort,
        None if earlier is None else earlier.fit,
        lambda: step("Fitting the decoder"),
    )
    step("Reading the pixels")
    at_strokes, sampled, places = inputs_of(
        engine, start, fits[0].asked, taught, components, effort.sampled
    )
    inputs = at_strokes if older is None else np.concatenate([at_strokes, older.inputs])
    parts = parts_of(columns)

    tests = {part: np.zeros(len(strokes)) for part in (DECODER, *parts)}
    for (train, test), fit in zip(folds, fits[1:], strict=True):
        step("Testing the decoder")
        decoded = decoder_logits(engine, taught, fit, inputs[:, columns.fitted], len(at_strokes))
        tests[DECODER][test] = decoded[test]
        for part, how in parts.items():
            step("Testing the classifiers")
            answer = how(inputs[train], positive[train], trees=effort.trees_held_out)
            tests[part][test] = answer(inputs[test])
    tested = np.unique(np.concatenate([test for _, test in folds])) if folds else np.empty(0, int)
    held = _HeldOut(
        tests,
        tested,
        positive,
        balanced(positive, tested) if len(tested) else np.zeros(len(strokes)),
        count,
        enough_to_tell(strokes.of(tested), positive[tested]),
    )
    losses = held.losses()
    known = len(np.unique(strokes.groups[tested]))
    shares = worth(losses, known) if earlier is None else earlier.weights

    answers: dict[str, Callable[[Float32], Float64]] = {
        DECODER: lambda other: np.asarray(
            other[:, columns.fitted] * fits[0].slope + fits[0].offset, np.float64
        )
    }
    for part, how in parts.items():
        step("Fitting the classifiers")
        answers[part] = how(inputs, positive, trees=effort.trees)
    step("Joining the parts")
    logits = {part: clipped(answer(sampled)) for part, answer in answers.items()}
    own = mixed({part: answer(inputs) for part, answer in answers.items()}, shares, count)
    teacher = mixed(logits, shares, count)
    if earlier is None:
        cut = held.cut(mixed(tests, shares, count), teacher)
    else:
        cut = best_cut(teacher, count, earlier.cut.slope)
    cut = silenced(cut, teacher[_silent(taught, places)], own[positive])
    at_threshold = cut.offset + threshold_offset(engine.config.default_threshold)
    if earlier is None:
        center, spread = standard(sampled)
    else:
        center, spread = earlier.learned.center, earlier.learned.spread
    network = distill(
        (np.concatenate([sampled, inputs]) - center) / spread,
        expit(cut.slope * np.concatenate([teacher, own]) + at_threshold).astype(np.float32),
        _draws(len(sampled), len(inputs)),
        steps=effort.network_steps,
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
    beside = {
        part: held.cut(clipped(tests[part]), logits[part]).iou if held.enough else None
        for part in (PROMPT, ON_FILTERS)
    }
    spreads = _disagreement(logits, shares, cut)
    doubt = [(view, *at, spreads[part]) for view, at, part in places]
    return Result(
        learned,
        cut.iou if held.enough else None,
        beside,
        dict(shares),
        losses,
        doubt,
        inputs,
        fits[0],
        cut,
    )


def _fit_decoder(
    engine: Engine,
    start: Fitted,
    taught: Sequence[Taught],
    positive: NDArray[np.bool_],
    weights: NDArray[np.float64],
    effort: Effort,
    earlier: Fit | None,
    step: Callable[[], Any],
) -> list[Fit]:
    painted = painted_in_tiles(taught, positive, weights)
    painted.sort(key=lambda one: -len(one.positive))
    if not painted:
        return [Fit(start, 1.0, 0.0)] * len(weights)
    return fit_decoder(
        engine,
        start,
        painted[:MOST_TILES],
        steps=effort.decoder_steps,
        rate=effort.decoder_rate,
        earlier=earlier,
        step=step,
    )


def _silent(
    taught: Sequence[Taught], places: Sequence[tuple[View, Any, slice]]
) -> NDArray[np.intp]:
    """Return which of the sampled pixels lie in images with background strokes only."""
    quiet = {
        id(view) for one in taught if (one.strokes.values < FIRST_CLASS).all() for view in one.tiles
    }
    found = [np.arange(part.start, part.stop) for view, _, part in places if id(view) in quiet]
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _disagreement(
    logits: Mapping[str, NDArray[np.float64]], shares: Mapping[str, float], cut: Cut
) -> NDArray[np.float64]:
    """Return the parts' weighted standard deviation of the probability, times 2: 0 to 1."""
    each = {part: expit(cut.slope * one + cut.offset) for part, one in logits.items()}
    mean = np.sum([shares[part] * one for part, one in each.items()], axis=0)
    variance = np.sum([shares[part] * (one - mean) ** 2 for part, one in each.items()], axis=0)
    return np.asarray(2 * np.sqrt(variance))


def _draws(sampled: int, painted: int) -> Float32:
    """Return how often each pixel is drawn for the network."""
    first = np.full(sampled, (1 - PAINTED_SHARE) / sampled)
    second = np.full(painted, PAINTED_SHARE / painted)
    return np.concatenate([first, second]).astype(np.float32)
