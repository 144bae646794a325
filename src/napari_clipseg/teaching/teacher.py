"""A teacher: one image that is painted on, and answers while it is painted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from napari_clipseg.cache import ByteCache
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Progress, Segmentation
from napari_clipseg.segmentation import segment_steps
from napari_clipseg.teaching.parts import fit_logistic
from napari_clipseg.teaching.score import best_cut, threshold_offset
from napari_clipseg.teaching.strokes import UNPAINTED, class_values, read_strokes
from napari_clipseg.teaching.teach import Lesson, lesson
from napari_clipseg.teaching.views import Views

Float32 = NDArray[np.float32]

QUICK_PIXELS = 512**2  # of a plane, that the first answer is given at
SOME_PIXELS = 16_384  # that tell where to cut
CACHE_BYTES = 2**31
STROKE_WIDTH = 3.0  # cells of the grid of doubts over which doubt is summed up


@dataclass(frozen=True, eq=False)
class Grid:
    """Values at a regular grid of a plane's pixels.

    Attributes
    ----------
    values : ndarray of float32
        ``(classes, rows, columns)``, 0 to 1.
    step : int
        Pixels from one to the next; the first lies at pixel 0.
    """

    values: Float32
    step: int


class Teacher:
    """Answers to strokes on one image: at once roughly, then well.

    Everything that depends on the image alone is computed once and cached.

    Parameters
    ----------
    image : image, layer or Source
        As `segment` takes it.
    engine : Engine
        The checkpoint.
    prompt, detail, appearance, level, axes
        See `teach`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.sample_data import load_sample
    >>> from napari_clipseg.engine import load
    >>> from napari_clipseg.teaching.teacher import Teacher
    >>> image = load_sample("shapes").image
    >>> teacher = Teacher(image, load("demo", device="cpu"))
    >>> strokes = np.zeros(image.shape[:2], np.uint8)
    >>> strokes[40:44, 20:60], strokes[100:140, 88:92] = 1, 2
    >>> teacher.first_answer(strokes, ()).values.shape == (1, *image.shape[:2])
    True
    """

    def __init__(
        self,
        image: Any,
        engine: Engine,
        *,
        prompt: Any = None,
        detail: Detail | str | float = "whole",
        appearance: Appearance | None = None,
        level: int | None = None,
        axes: str | Sequence[str] | None = None,
    ) -> None:
        self.engine, self.level = engine, level
        self.prompt = prompt
        self.detail = detail if isinstance(detail, Detail) else Detail(detail)  # type: ignore[arg-type]
        self.appearance = appearance or Appearance()
        self.views = Views(
            image,
            engine,
            detail=self.detail,
            appearance=self.appearance,
            level=level,
            axes=axes,
        )
        self._cache: ByteCache[Any] = ByteCache(CACHE_BYTES)
        self._last: Lesson | None = None
        self._grids: dict[tuple[int, ...], tuple[Float32, int, tuple[int, int]]] = {}

    def prepare(self, plane: tuple[int, ...]) -> None:
        """Compute what the first answer on a plane needs of the image."""
        if plane in self._grids:
            return
        height, width = self.views.source.shape_of(self.views.plan.level)
        step = max(1, int(np.ceil(np.sqrt(height * width / QUICK_PIXELS))))
        rows, columns = np.mgrid[0:height:step, 0:width:step]
        inputs = self.views.responses_at(plane, rows.ravel(), columns.ravel())
        self._grids = {plane: (inputs, step, rows.shape)}  # of one plane: it is large

    def first_answer(self, strokes: Any, plane: tuple[int, ...]) -> Grid:
        """Return a rough answer on one plane: by linear classifiers of filtered pixels.

        Parameters
        ----------
        strokes : array-like of int, or a Labels layer
            See `teach`.
        plane : tuple of int
            Index along the image's axes of planes.

        Raises
        ------
        ValueError, TypeError
            See `teach`.
        """
        self.prepare(plane)
        painted = read_strokes(strokes, self.views.source, self.views.plan.level)
        painted = painted.of(self.views.finite(painted))
        values = class_values([painted])
        if not values or len(np.unique(painted.values)) < 2:
            raise ValueError(
                "Only one side is painted; paint some of what you look for (2), and some of the "
                "background (1)."
            )
        at_strokes = self.views.responses_at_strokes(painted)
        inputs, step, shape = self._grids[plane]
        answers = []
        count = len(np.unique(painted.groups))
        for value in values:
            weight, bias = fit_logistic(at_strokes, painted.values == value)
            logits = inputs @ weight.astype(np.float32) + np.float32(bias)
            some = logits[:: max(1, len(logits) // SOME_PIXELS)]
            cut = best_cut(some.astype(float), count)
            offset = cut.offset + threshold_offset(self.engine.config.default_threshold)
            answers.append(expit(cut.slope * logits + offset).reshape(shape))
        return Grid(np.stack(answers).astype(np.float32), step)

    def teach(
        self,
        strokes: Any,
        *,
        classes: Sequence[str] | Mapping[int, str] | None = None,
        at_once: bool = False,
        step: Callable[[str], Any] = lambda message: None,
    ) -> Lesson:
        """Learn a prompt from all strokes; see `teach`.

        Parameters
        ----------
        strokes, classes
            See `teach`.
        at_once : bool
            Whether somebody waits. Then no strokes are held out to weigh the parts and to tell a
            score, and the fits go on from the lesson before.
        step : callable
            Called with what comes next; it may raise to stop.
        """
        self._last = lesson(
            self.engine,
            [self.views],
            [strokes],
            prompt=self.prompt,
            classes=classes,
            at_once=at_once,
            earlier_lesson=self._last,
            step=step,
        )
        return self._last

    def answer(
        self, learned: LearnedPrompt, planes: Mapping[str, Any] | None = None, **fields: Any
    ) -> Generator[Progress, None, Segmentation]:
        """Segment the image with a learned prompt, step by step, from what is cached.

        Parameters
        ----------
        learned : LearnedPrompt
            What `teach` gave.
        planes : mapping, optional
            Which planes; see `Recipe`.
        **fields
            Other fields of the recipe.
        """
        recipe = Recipe(
            learned,
            model=self.engine.name,
            detail=self.detail,
            appearance=self.appearance,
            level=self.level,
            planes=planes,
            **fields,
        )
        return segment_steps(self.views.source, recipe, engine=self.engine, cache=self._cache)

    def close(self) -> None:
        """Drop what is cached."""
        self._grids.clear()
        self._cache.clear()
        self.views.close()


def doubt(found: Lesson, views: Views, plane: tuple[int, ...]) -> Grid:
    """Return where the parts of a prompt disagree on a plane, 0 to 1; 0 where nothing is known."""
    height, width = views.source.shape_of(views.plan.level)
    step = max((rows_step(rows) for one in found.results for _, rows, _, _ in one.doubt), default=1)
    shape = -(-height // step), -(-width // step)
    values = np.zeros((len(found.results), *shape), np.float32)
    for out, one in zip(values, found.results, strict=True):
        for view, rows, columns, disagreement in one.doubt:
            if view.plane == plane:
                out[rows // step, columns // step] = disagreement
    return Grid(values, step)


def rows_step(rows: NDArray[np.intp]) -> int:
    """Return the distance between neighbouring rows of a grid."""
    distinct = np.unique(rows)
    return int(np.diff(distinct).min()) if len(distinct) > 1 else 1


def where_next(
    found: Lesson, views: Views, strokes: Any
) -> tuple[tuple[int, ...], int, int] | None:
    """Return the plane, row and column where the next stroke would teach most; None if nowhere.

    That is where the parts disagree most over the width of a stroke, away from all strokes.

    Parameters
    ----------
    found : Lesson
        What `Teacher.teach` gave.
    views : Views
        Its image.
    strokes : array-like of int, or a Labels layer
        What was painted.
    """
    from scipy import ndimage

    painted = read_strokes(strokes, views.source, views.plan.level)
    best: tuple[float, tuple[tuple[int, ...], int, int]] | None = None
    planes = sorted({view.plane for one in found.results for view, *_ in one.doubt})
    for plane in planes:
        grid = doubt(found, views, plane)
        summed = ndimage.gaussian_filter(grid.values.max(axis=0), STROKE_WIDTH)
        rows, columns = painted.places[painted.on(plane), -2:].T // grid.step
        free = np.ones(summed.shape, bool)
        free[rows, columns] = UNPAINTED
        far = ndimage.distance_transform_edt(free) > 2 * STROKE_WIDTH
        if far.any():
            row, column = np.unravel_index(np.argmax(np.where(far, summed, -1)), summed.shape)
            here = (plane, int(row) * grid.step, int(column) * grid.step)
            if best is None or summed[row, column] > best[0]:
                best = float(summed[row, column]), here
    return None if best is None else best[1]
