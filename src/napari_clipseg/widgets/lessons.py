"""Strokes and their answers in threads: a rough one, a better one, then one with a score."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.source import Source
from napari_clipseg.images.labels.threshold import semantic_labels
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.results import Segmentation
from napari_clipseg.widgets.newest import Newest, Step
from napari_clipseg.widgets.worker import Failure

if TYPE_CHECKING:  # they load torch
    from napari_clipseg.teaching.teach import Lesson
    from napari_clipseg.teaching.teacher import Teacher
    from napari_clipseg.teaching.views import Views

Plane = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Question:
    """Strokes on an image, and how it is to be answered: plain values and arrays.

    Attributes
    ----------
    source : Source
        The image.
    name : str
        Of the image.
    strokes : ndarray of int
        ``(*planes, height, width)``; may be painted on while it is read.
    plane : tuple of int
        The plane that is shown.
    model, detail : str
        See `teach`.
    start : LearnedPrompt or str, optional
        What to go on from, or a text to begin with.
    classes : mapping of int to str
        What each value of the strokes is called.
    fields : mapping
        Other fields of the answer's recipe.
    only_if_new : bool
        Whether the same strokes as before need no answer.
    """

    source: Source
    name: str
    strokes: NDArray[Any]
    plane: Plane
    model: str
    detail: str
    start: LearnedPrompt | str | None
    classes: Mapping[int, str]
    fields: Mapping[str, Any]
    only_if_new: bool = False


@dataclass(frozen=True, eq=False)
class Grid:
    """Values at a grid of pixels of a plane.

    Attributes
    ----------
    values : ndarray
        ``(rows, columns)``.
    extent : Extent
        Where they lie.
    """

    values: NDArray[Any]
    extent: Extent


@dataclass(frozen=True, eq=False)
class FirstAnswer:
    """What comes at once.

    Attributes
    ----------
    strokes : ndarray of int, optional
        As they were read; None if they are the same as before.
    labels : Grid, optional
        Labels of the plane shown; None if the strokes do not tell yet.
    values : tuple of int
        What is painted; 0 is not among them.
    """

    strokes: NDArray[Any] | None
    labels: Grid | None = None
    values: tuple[int, ...] = ()

    def teaches(self, start: LearnedPrompt | str | None) -> bool:
        """Whether both sides are painted, or were in what it goes on from."""
        return len(self.values) > (0 if isinstance(start, LearnedPrompt) else 1)


@dataclass(frozen=True, eq=False)
class Answer:
    """What was learned, and what it gives on the image.

    Attributes
    ----------
    prompt : LearnedPrompt
        What was learned.
    result : Segmentation
        What it gives.
    doubt : Grid
        0 to 1: where it is not sure, on the plane shown.
    place : tuple of (plane, row, column), optional
        Where the next stroke would teach most, in pixels of the image.
    tested : bool
        Whether strokes were held out, to weigh what it is made of and to tell a score.
    """

    prompt: LearnedPrompt
    result: Segmentation
    doubt: Grid
    place: tuple[Plane, float, float] | None
    tested: bool


class Lessons:
    """Answers to strokes, in threads; the newest question wins.

    While somebody paints, what is learned goes on from the stroke before. Once they rest, it is
    learned anew, with strokes held out.

    Parameters
    ----------
    told : callable
        Called with what comes next.
    first : callable
        Called with a question and its `FirstAnswer`, or a `Failure`.
    answered : callable
        Called with a question and its `Answer`, or a `Failure`; twice, if the first answer was
        not tested.
    """

    def __init__(
        self,
        *,
        told: Callable[[str], None],
        first: Callable[[Question, FirstAnswer | Failure], None],
        answered: Callable[[Question, Answer | Failure], None],
    ) -> None:
        self._first_called, self._answered = first, answered
        self._first = Newest(self._answer_first, told=told, returned=self._on_first)
        self._refined = Newest(
            partial(self._answer, at_once=True), told=told, returned=self._on_refined
        )
        self._tested = Newest(
            partial(self._answer, at_once=False), told=lambda _: None, returned=answered
        )
        self._lock = threading.Lock()
        self._teacher: tuple[Question, Teacher] | None = None
        self._seen: NDArray[Any] | None = None
        self._lesson: tuple[Teacher, Question, Lesson] | None = None

    @property
    def busy(self) -> bool:
        """Whether an answer is to come."""
        return self._first.busy or self._refined.busy or self._tested.busy

    def ask(self, question: Question) -> None:
        """Answer to these strokes, and to no older ones."""
        if question.only_if_new and self._first.busy:
            question = replace(question, only_if_new=False)  # that one is not answered any more
        if not question.only_if_new:
            self._refined.stop()
            self._tested.stop()
        self._first.ask(question)

    def stop(self) -> None:
        """Drop what is asked for."""
        self._first.stop()
        self._refined.stop()
        self._tested.stop()
        self._seen = None

    def forget(self) -> None:
        """Drop what is asked for, and what is cached of the image."""
        self.stop()
        self._teacher = self._lesson = None

    # --- in threads ---------------------------------------------------------------------

    def _answer_first(self, question: Question, step: Step) -> FirstAnswer:
        teacher = self._teacher_for(question, step)
        teacher.prepare(question.plane)
        strokes = question.strokes.copy()
        seen = self._seen
        if question.only_if_new and seen is not None and np.array_equal(seen, strokes):
            return FirstAnswer(None)
        values = tuple(int(value) for value in np.unique(strokes) if value)
        if len(values) < 2:
            return FirstAnswer(strokes, None, values)
        step("Answering roughly")
        try:
            grid = teacher.first_answer(strokes, question.plane)
        except ValueError:  # the lesson says why
            return FirstAnswer(strokes, None, values)
        labels = semantic_labels(grid.values, teacher.engine.config.default_threshold)
        extent = grid_extent(teacher.views, question.plane, labels.shape, grid.step)
        return FirstAnswer(strokes, Grid(labels, extent), values)

    def _answer(self, question: Question, step: Step, *, at_once: bool) -> Answer:
        from napari_clipseg.teaching.teacher import doubt, where_next

        teacher = self._teacher_for(question, step)
        lesson = self._lesson_for(teacher, question, step, at_once=at_once)
        steps = teacher.answer(lesson.prompt, **question.fields)
        while True:
            try:
                step(next(steps).message)
            except StopIteration as stop:
                result: Segmentation = stop.value
                break
        # Cached by the result and its recipe: the GUI thread is not to wait for them.
        _ = result.labels, result.objects, result.highest, result.recipe.to_dict()
        views = teacher.views
        grid = doubt(lesson, views, question.plane)
        values = grid.values.max(axis=0)
        place = where_next(lesson, views, question.strokes)
        return Answer(
            lesson.prompt,
            result,
            Grid(values, grid_extent(views, question.plane, values.shape, grid.step)),
            None if place is None else (place[0], *_on_image(views, *place[1:])),
            lesson.tested,
        )

    def _teacher_for(self, question: Question, step: Step) -> Teacher:
        """Return the teacher of an image; what it knows of the image is used again."""
        from napari_clipseg.engine.loading import load
        from napari_clipseg.teaching.teacher import Teacher

        with self._lock:
            known = self._teacher
            if known is not None and _same_lesson(known[0], question):
                return known[1]
            step("Looking at the image")
            teacher = Teacher(
                question.source,
                load(question.model),
                prompt=question.start,
                detail=question.detail,
            )
            self._teacher = question, teacher
            return teacher

    def _lesson_for(
        self, teacher: Teacher, question: Question, step: Step, *, at_once: bool
    ) -> Lesson:
        """Return what strokes teach; with other settings of the answer, it is not learned anew."""
        if self._lesson is not None:
            of, asked, lesson = self._lesson
            same = of is teacher and asked.classes == question.classes
            same = same and (at_once or lesson.tested)
            if same and np.array_equal(asked.strokes, question.strokes):
                return lesson
        lesson = teacher.teach(
            question.strokes, classes=question.classes, at_once=at_once, step=step
        )
        self._lesson = teacher, question, lesson
        return lesson

    # --- on the GUI thread --------------------------------------------------------------

    def _on_first(self, question: Question, outcome: FirstAnswer | Failure) -> None:
        if isinstance(outcome, FirstAnswer):
            if outcome.strokes is None:
                return
            self._seen = outcome.strokes
            if outcome.teaches(question.start):
                self._refined.ask(replace(question, strokes=outcome.strokes))
            else:
                self._refined.stop()
            self._tested.stop()
        self._first_called(question, outcome)

    def _on_refined(self, question: Question, outcome: Answer | Failure) -> None:
        if isinstance(outcome, Answer) and not outcome.tested:
            self._tested.ask(question)
        self._answered(question, outcome)


def grid_extent(views: Views, plane: Plane, shape: tuple[int, ...], step: int) -> Extent:
    """Return where a grid lies that begins at the first pixel of a plane's level."""
    extent = views.plan.extent
    down, across = extent.factor
    return replace(
        extent,
        planes=(plane,),
        planes_shape=(1,) * len(plane),
        height=shape[0],
        width=shape[1],
        factor=(down * step, across * step),
    )


def _on_image(views: Views, row: int, column: int) -> tuple[float, float]:
    """Return a place in pixels of the image's finest level."""
    (top, left), (down, across) = views.plan.extent.origin, views.plan.extent.factor
    return top + row * down, left + column * across


def _same_lesson(one: Question, other: Question) -> bool:
    return (
        one.model == other.model
        and one.detail == other.detail
        and (one.start is other.start or (isinstance(one.start, str) and one.start == other.start))
        and same_source(one.source, other.source)
    )


def same_source(one: Source, other: Source) -> bool:
    """Return whether two sources are the same image, shown alike."""
    levels = len(one.levels) == len(other.levels) and all(
        a is b for a, b in zip(one.levels, other.levels, strict=True)
    )
    return (
        levels
        and one.axes == other.axes
        and one.contrast_limits == other.contrast_limits
        and one.gamma == other.gamma
        and np.array_equal(one.colormap, other.colormap)  # type: ignore[arg-type]
    )
