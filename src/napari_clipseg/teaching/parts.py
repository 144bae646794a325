"""The parts of a learned prompt: classifiers of painted pixels, and how much each is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

DECODER, PROMPT, ON_FILTERS = "decoder", "prompt", "filters"
LEAST_LEAF = 2  # pixels
RANDOM_FOREST = 0.75  # of a forest's logits; the rest is of extremely randomised trees
STRENGTH = 0.1  # of logistic regression: the inverse of its penalty
MOST_LOGIT = 4.6  # no tree is surer than 99 %
# How sure a part may be beside others: the surer, the more strokes there are. The decoder, fitted
# to few strokes, is surer than right.
LEAST_SURE, SURER = 0.5, 1 / 12  # in logits, and for each stroke
MOST_SURE = {DECODER: 0.7}
# Patches are larger than the gap between strokes: the decoder has half seen what is held out of it.
HANDICAP = {DECODER: 0.5, PROMPT: 0.5}  # of the held-out loss
# Of the softmax of minus the held-out losses: a part that is worse by this gets 1/e of the weight.
TEMPERATURE = 0.1
# So many strokes tell as much about the worth of parts as is known without any: that all are alike.
USUAL_STROKES = 10


@dataclass(frozen=True)
class Columns:
    """Which inputs are what, in the order of `Decoding.judge`."""

    filters: slice
    first: int  # the decoder's logit for the prompt that teaching began with
    fitted: int  # and for the fitted one
    components: slice
    regions: slice


Answer: TypeAlias = Callable[[Float32], Float64]  # from inputs to logits


class Part(Protocol):
    """A way to tell painted pixels apart: fitted once to all, and once for each fold."""

    def __call__(self, inputs: Float32, positive: NDArray[np.bool_], *, trees: int) -> Answer:
        """Fit to ``(pixels, inputs)``, with so many trees of each kind, if it has trees."""


def logistic(columns: NDArray[np.intp]) -> Part:
    """Return logistic regression on some standardised inputs."""

    def fit(inputs: Float32, positive: NDArray[np.bool_], *, trees: int) -> Answer:
        weight, bias = fit_logistic(inputs[:, columns], positive)
        return lambda other: np.asarray(other[:, columns] @ weight + bias, np.float64)

    return fit


def fit_logistic(inputs: Float32, positive: NDArray[np.bool_]) -> tuple[Float64, float]:
    """Return weights and bias of a balanced, penalised logistic regression on raw inputs."""
    from sklearn.linear_model import LogisticRegression

    center, spread = standard(inputs)
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=200)
    model.fit((inputs - center) / spread, positive)
    weight = model.coef_[0] / spread
    return weight, float(model.intercept_[0] - weight @ center)


def forest(columns: NDArray[np.intp]) -> Part:
    """Return a random forest and extremely randomised trees on some inputs, their logits joined."""

    def fit(inputs: Float32, positive: NDArray[np.bool_], *, trees: int) -> Answer:
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

        models = [
            kind(trees, min_samples_leaf=LEAST_LEAF, class_weight="balanced", random_state=0)
            for kind in (RandomForestClassifier, ExtraTreesClassifier)
        ]
        for model in models:
            model.fit(inputs[:, columns], positive)

        def logits(other: Float32) -> Float64:
            own = other[:, columns]
            first, second = (logit(model.predict_proba(own)[:, 1]) for model in models)
            return np.asarray(RANDOM_FOREST * first + (1 - RANDOM_FOREST) * second)

        return logits

    return fit


def parts_of(columns: Columns) -> dict[str, Part]:
    """Return the parts that are fitted, besides the decoder; the first calibrates the prompt."""
    everything = np.arange(columns.regions.stop)
    filters, components = everything[columns.filters], everything[columns.components]
    return {
        PROMPT: logistic(np.array([columns.first])),
        "linear": logistic(filters),
        ON_FILTERS: forest(filters),
        "deep": forest(np.concatenate([filters, [columns.first], components])),
        "regions": forest(np.concatenate([filters, everything[columns.regions]])),
    }


def worth(losses: Mapping[str, float], strokes: int) -> dict[str, float]:
    """Return the weight of each part, from its loss on held-out strokes; they sum to 1.

    The fewer strokes there are, the more alike are the weights.
    """
    values = np.array([loss + HANDICAP.get(part, 0.0) for part, loss in losses.items()])
    weights = np.exp(-(values - values.min()) / TEMPERATURE)
    weights /= weights.sum()
    known = strokes / (strokes + USUAL_STROKES)
    weights = known * weights + (1 - known) / len(weights)
    return dict(zip(losses, map(float, weights), strict=True))


def mixed(logits: Mapping[str, Float64], weights: Mapping[str, float], strokes: int) -> Float64:
    """Return the logits of the weighted mean of the parts' probabilities.

    The fewer strokes there are, the less counts how sure a part says that it is.
    """
    most = LEAST_SURE + SURER * strokes
    sure = {name: min(most, MOST_SURE.get(name, MOST_LOGIT)) for name in logits}
    parts = [weights[name] * expit(clipped(one, sure[name])) for name, one in logits.items()]
    return logit(np.sum(parts, axis=0))


def clipped(logits: Any, most: float = MOST_LOGIT) -> Float64:
    """Return logits within ``±most``."""
    return np.asarray(np.clip(np.asarray(logits, np.float64), -most, most))


def logit(probability: Float64) -> Float64:
    """Return the logits of probabilities, none surer than `MOST_LOGIT`."""
    least = 1 / (1 + np.exp(MOST_LOGIT))
    inside = np.clip(probability, least, 1 - least)
    return np.asarray(np.log(inside / (1 - inside)))


def balanced(positive: NDArray[np.bool_], chosen: Sequence[int] | NDArray[np.intp]) -> Float64:
    """Return weights of pixels: both sides of the chosen ones weigh a half, others nothing."""
    weights = np.zeros(len(positive))
    for side in (True, False):
        own = np.asarray(chosen)[positive[chosen] == side]
        weights[own] = 0.5 / max(len(own), 1)
    return weights


def log_loss(logits: Float64, positive: NDArray[np.bool_], weights: Float64) -> float:
    """Return the weighted mean of the binary cross-entropy."""
    losses = np.logaddexp(0, np.where(positive, -logits, logits))
    return float((losses * weights).sum() / max(weights.sum(), 1e-12))


def standard(inputs: Float32) -> tuple[Float32, Float32]:
    """Return mean and standard deviation of each input; 1 where it does not vary."""
    center = inputs.mean(axis=0, dtype=np.float64)
    spread = inputs.std(axis=0, dtype=np.float64)
    spread[spread < 1e-6] = 1
    return center.astype(np.float32), spread.astype(np.float32)
