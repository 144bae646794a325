"""From images and strokes to a learned prompt: `teach`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.prompts import as_prompts, resolved
from napari_clipseg.teaching.decoder import Fitted, best_start
from napari_clipseg.teaching.effort import AT_ONCE, FULL, GOING_ON
from napari_clipseg.teaching.fitting import Result, fit_class
from napari_clipseg.teaching.parts import balanced
from napari_clipseg.teaching.pixels import Older, Taught, columns_of, joined, painted_in_tiles
from napari_clipseg.teaching.record import older_of, record_of, samples_of
from napari_clipseg.teaching.strokes import FIRST_CLASS, class_values, read_strokes
from napari_clipseg.teaching.views import Views

Float32 = NDArray[np.float32]

# Words to begin with where none is given: the one that tells the strokes apart best.
WORDS = (
    "object", "thing", "cell", "nuclei", "spots", "rings", "filaments", "squares", "triangles",
    "bright", "dark", "red", "green", "blue", "white", "texture",
)  # fmt: skip
COMPONENTS = 8


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a teaching gives: the prompt, and where the next stroke would help.

    Attributes
    ----------
    prompt : LearnedPrompt
        What was learned.
    results : tuple of Result
        Of each class.
    tested : bool
        Whether strokes were held out where there are enough.
    """

    prompt: LearnedPrompt
    results: tuple[Result, ...]
    tested: bool


def teach(
    image: Any,
    strokes: Any,
    *,
    prompt: Any = None,
    model: str | Path | Engine = "demo",
    classes: Sequence[str] | Mapping[int, str] | None = None,
    detail: Detail | str | float = "whole",
    appearance: Appearance | None = None,
    level: int | None = None,
    axes: str | Sequence[str] | None = None,
) -> LearnedPrompt:
    """Teach a prompt by a few strokes: like this, not like that.

    Parameters
    ----------
    image : image, or list of images
        As `segment` takes it. A list needs a list of strokes, one for each image.
    strokes : array-like of int, Labels layer, or list of these
        Of the image's shape without its channels: 0 unpainted, 1 background, 2 and up what you
        look for, one class each. An image with background alone teaches silence.
    prompt : prompt or LearnedPrompt, optional
        What to begin with: a text, an image, one for each class, or an earlier learned prompt,
        whose strokes then count, too. By default the word that fits best.
    model : str, Path or Engine
        The checkpoint.
    classes : sequence of str, or mapping from value to str, optional
        What the classes are called, from value 2 on.
    detail, appearance, level, axes
        As for `segment`; use the same there.

    Returns
    -------
    LearnedPrompt
        For `segment`, alone or beside other prompts.

    Raises
    ------
    ValueError
        If strokes do not fit the image, nothing or only one side is painted, or all painted
        pixels are NaN.
    TypeError
        If the strokes are no whole numbers.
    CheckpointError
        If `prompt` was taught with another checkpoint.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg import teach
    >>> from napari_clipseg.sample_data import load_sample
    >>> image = load_sample("shapes").image
    >>> strokes = np.zeros(image.shape[:2], np.uint8)
    >>> strokes[40:44, 20:60], strokes[100:140, 88:92] = 1, 2
    >>> learned = teach(image, strokes, classes=["rings"])
    >>> learned.names, learned.score  # too few strokes for a score
    (('rings',), None)
    """
    images, all_strokes = _pairs(image, strokes)
    engine = model if isinstance(model, Engine) else load(model)
    detail = detail if isinstance(detail, Detail) else Detail(detail)  # type: ignore[arg-type]
    views = [
        Views(
            one,
            engine,
            detail=detail,
            appearance=appearance or Appearance(),
            level=level,
            axes=axes,
        )
        for one in images
    ]
    try:
        return lesson(engine, views, all_strokes, prompt=prompt, classes=classes).prompt
    finally:
        for view in views:
            view.close()


def _pairs(image: Any, strokes: Any) -> tuple[list[Any], list[Any]]:
    if not isinstance(image, list):
        return [image], [strokes]
    if not isinstance(strokes, list | tuple) or len(strokes) != len(image):
        count = len(strokes) if isinstance(strokes, list | tuple) else 1
        raise ValueError(
            f"Got {len(image)} images and {count} strokes; wanted a list with one array of "
            f"strokes for each image."
        )
    return image, list(strokes)


def lesson(
    engine: Engine,
    views: Sequence[Views],
    all_strokes: Sequence[Any],
    *,
    prompt: Any = None,
    classes: Sequence[str] | Mapping[int, str] | None = None,
    at_once: bool = False,
    earlier_lesson: Lesson | None = None,
    step: Callable[[str], Any] = lambda message: None,
) -> Lesson:
    """Do what `teach` does, with images that are open already.

    Parameters
    ----------
    engine : Engine
        Of the views.
    views : sequence of Views
        The images.
    all_strokes : sequence
        Strokes on each of them.
    prompt, classes
        See `teach`.
    at_once : bool
        Whether somebody waits: then nothing is held out, and there is no score.
    earlier_lesson : Lesson, optional
        One on the same images a few strokes ago, to go on from if somebody waits.
    step : callable
        Called with what comes next, for a progress bar; it may raise to stop.
    """
    step("Reading the strokes")
    earlier = prompt if isinstance(prompt, LearnedPrompt) else None
    if earlier is not None:
        earlier.require_engine(engine)
    taught = [
        _taught(view, one, i)
        for i, (view, one) in enumerate(zip(views, all_strokes, strict=True), 1)
    ]
    channels = {one.views.image_channels for one in taught}
    channels |= {earlier.image_channels} if earlier is not None else set()
    if len(channels) > 1:
        raise ValueError(
            f"Got images with {sorted(channels)} channels; wanted the same number in all. Teach a "
            f"prompt for each kind of image."
        )
    older = None if earlier is None else older_of(earlier)
    values = _values(taught, earlier)
    names = _names(values, classes, earlier)
    before = _results_before(earlier_lesson if at_once else None, names)
    if earlier is not None:
        components = earlier.components
    elif before is not None and earlier_lesson is not None:
        components = earlier_lesson.prompt.components
    else:
        components = _components(taught)
    columns = columns_of(channels.pop(), len(components) - 1)
    if before is not None and prompt is None:
        starts = [Fitted.plain(one.learned.vectors[0], engine) for one in before]
    else:
        starts = _starts(engine, prompt, values, taught, older)
    effort = FULL
    if at_once:
        effort = AT_ONCE if before is None else GOING_ON
    results = tuple(
        fit_class(
            engine,
            name,
            value,
            start,
            taught,
            components,
            columns,
            older,
            effort=effort,
            earlier=of_before,
            step=step,
        )
        for value, name, start, of_before in zip(
            values, names, starts, before or [None] * len(values), strict=True
        )
    )
    known = [one.score for one in results if one.score is not None]
    learned = LearnedPrompt(
        tuple(one.learned for one in results),
        engine.name,
        engine.weights,
        taught[0].views.image_channels,
        True,
        components,
        float(np.mean(known)) if len(known) == len(results) else None,
        record_of(taught, values, results, earlier, tested=not at_once),
        samples_of(taught, results, older),
    )
    return Lesson(learned, results, not at_once)


def _taught(views: Views, strokes: Any, number: int) -> Taught:
    name = views.name if views.name != "image" else f"image {number}"
    found = read_strokes(strokes, views.source, views.plan.level, name)
    finite = views.finite(found)
    if not finite.any():
        raise ValueError(
            f"All painted pixels of {name} are NaN or infinite. Paint where the image has values."
        )
    found = found.of(finite)
    return Taught(views, found, views.of(found))


def _values(taught: Sequence[Taught], earlier: LearnedPrompt | None) -> list[int]:
    """Return the values of the classes; raise ValueError unless both sides are painted."""
    painted = class_values([one.strokes for one in taught])
    background = any((one.strokes.values < FIRST_CLASS).any() for one in taught)
    if earlier is not None:
        known = [int(value) for value in earlier.record["values"]]
        if new := sorted(set(painted) - set(known)):
            raise ValueError(
                f"The strokes have the value {new[0]}, which the learned prompt does not know; it "
                f"has {', '.join(map(str, known))}. Teach a new prompt for a new class."
            )
        return known
    if not painted:
        raise ValueError(
            "Only background is painted (1); paint some of what you look for, too, with 2."
        )
    if not background and len(painted) == 1:
        raise ValueError(
            f"Only what you look for is painted ({painted[0]}); paint some of the background, too, "
            f"with 1: it tells what not to find."
        )
    return painted


def _names(
    values: Sequence[int],
    classes: Sequence[str] | Mapping[int, str] | None,
    earlier: LearnedPrompt | None,
) -> list[str]:
    if classes is None:
        if earlier is not None:
            return list(earlier.names)
        return ["learned"] if len(values) == 1 else [f"class {value}" for value in values]
    if isinstance(classes, str):
        raise TypeError(f"classes is {classes!r}; wanted a list of names, such as [{classes!r}].")
    if isinstance(classes, Mapping):
        missing = [value for value in values if value not in classes]
        if missing:
            raise ValueError(f"classes has no name for the value {missing[0]} of the strokes.")
        return [str(classes[value]) for value in values]
    if len(classes) != len(values):
        raise ValueError(
            f"Got {len(classes)} names of classes; the strokes have {len(values)}: "
            f"{', '.join(map(str, values))}. Give one name each."
        )
    return [str(one) for one in classes]


def _starts(
    engine: Engine,
    prompt: Any,
    values: Sequence[int],
    taught: Sequence[Taught],
    older: Older | None,
) -> list[Fitted]:
    """Return how the decoder is asked at first, for each class."""
    if isinstance(prompt, LearnedPrompt):
        return [Fitted(one.vectors[1], one.scale, one.shift) for one in prompt.classes]
    if prompt is not None:
        given = [resolved(one, i) for i, one in enumerate(as_prompts(prompt), 1)]
        if len(given) not in (1, len(values)):
            raise ValueError(
                f"Got {len(given)} prompts to begin with for {len(values)} classes; give one, or "
                f"one for each class."
            )
        vectors = engine.embed(given * (len(values) // len(given)))
        return [Fitted.plain(vector, engine) for vector in vectors]
    vectors = engine.embed(WORDS)
    strokes = joined(taught, older)
    starts = []
    for value in values:
        positive = strokes.values == value
        weights = balanced(positive, np.arange(len(strokes)))[None]
        painted = painted_in_tiles(taught, positive, weights)
        starts.append(Fitted.plain(vectors[best_start(engine, vectors, painted)], engine))
    return starts


def _results_before(lesson: Lesson | None, names: Sequence[str]) -> tuple[Result, ...] | None:
    """Return the results of a lesson to go on from; None if it had other classes."""
    if lesson is None or [one.learned.name for one in lesson.results] != list(names):
        return None
    return lesson.results


def _components(taught: Sequence[Taught]) -> Float32:
    """Return mean and principal components of the activations of all tiles."""
    patches = np.concatenate([view.features.patches() for one in taught for view in one.tiles])
    mean = patches.mean(axis=0)
    covariance = np.cov((patches - mean).T.astype(np.float64))
    _, vectors = np.linalg.eigh(covariance)
    found = vectors[:, ::-1][:, :COMPONENTS].T
    # Their sign is a matter of chance: the largest entry is positive.
    largest = np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], axis=1)
    # In C order, as it will be read from a file: BLAS rounds by the order in memory.
    joined = np.concatenate([mean[None], found * np.sign(largest)])
    return np.ascontiguousarray(joined, np.float32)
