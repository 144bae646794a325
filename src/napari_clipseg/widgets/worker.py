"""The run in a worker thread: plain values in, plain values out."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_clipseg.images.edges.refine import strip_count
from napari_clipseg.images.io.source import Source
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Segmentation
from napari_clipseg.segmentation import segment_steps

FIRST_TILE = 2  # the step of a run that segments the first tile


@dataclass(frozen=True)
class Failure:
    """A run that ended in an exception."""

    error: Exception


@dataclass(frozen=True, eq=False)
class Stopped:
    """A run that was stopped.

    Attributes
    ----------
    partial : Segmentation, optional
        What was done by then, if anything.
    """

    partial: Segmentation | None


class RunWorker(QObject):
    """A run in a thread of its own. All methods and callbacks belong to the GUI thread.

    Parameters
    ----------
    work : callable
        Called in the thread with a function to tell progress by, and one that says whether to
        stop; returns the outcome. An exception becomes a `Failure`.
    progressed, returned, warned : callable
        Called with each progress and each `so_far.Glance`, with the outcome, and with what
        `warnings.showwarning` would get, the warning first.
    """

    finished = Signal()
    _progressed = Signal(object)
    _returned = Signal(object)
    _warned = Signal(object)

    def __init__(
        self,
        work: Callable[[Callable[[Any], None], Callable[[], bool]], Any],
        *,
        progressed: Callable[[Any], None],
        returned: Callable[[Any], None],
        warned: Callable[[tuple[Any, ...]], None],
    ) -> None:
        super().__init__()
        self._work, self._stop = work, threading.Event()
        self._progressed.connect(progressed)
        self._returned.connect(returned)
        self._warned.connect(warned)

    @property
    def abort_requested(self) -> bool:
        """Whether it is to stop."""
        return self._stop.is_set()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="napari-clipseg run").start()

    def quit(self) -> None:
        """Stop after the step that it is in; the outcome comes nevertheless."""
        self._stop.set()

    def _run(self) -> None:
        outcome: Any
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.showwarning = lambda *given: self._warned.emit(given)
                outcome = self._work(self._progressed.emit, self._stop.is_set)
        except Exception as error:
            outcome = Failure(error)
        self._work = lambda *_: None
        self._returned.emit(outcome)
        del outcome
        self.finished.emit()


def start(
    source: Source,
    recipe: Recipe,
    *,
    progressed: Callable[[Any], None],
    returned: Callable[[Any], None],
    warned: Callable[[tuple[Any, ...]], None],
) -> RunWorker:
    """Start a run in a worker thread; the callbacks are called on the GUI thread.

    `returned` is called however the run ended: with `labelling.Made`, `Stopped` or `Failure`.
    """

    def work(tell: Callable[[Any], None], stops: Callable[[], bool]) -> Any:
        return _segment(source, recipe, tell, stops)

    worker = RunWorker(work, progressed=progressed, returned=returned, warned=warned)
    worker.start()
    return worker


def _segment(
    source: Source, recipe: Recipe, tell: Callable[[Any], None], stops: Callable[[], bool]
) -> Any:
    from napari_clipseg.widgets.labelling import Wanted, make, measure
    from napari_clipseg.widgets.so_far import Glances

    partial: Segmentation | None = None
    glances = Glances()
    steps = segment_steps(source, recipe, by_tile=True)
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            result: Segmentation = stop.value
            break
        several = progress.total - _edge_steps(progress.partial) > FIRST_TILE + 1
        partial = progress.partial if several and progress.done > FIRST_TILE else None
        if stops():
            steps.close()
            return Stopped(partial)
        tell(progress)
        if (glance := glances.of(partial)) is not None:
            tell(glance)
    _ = result.recipe.to_dict(), result.highest  # cached: the GUI thread is not to wait for it
    made = make(Wanted(result))
    return replace(made, objects=measure(result, made.labels))


def _edge_steps(partial: Segmentation | None) -> int:
    if partial is None or not partial.recipe.refine_edges:
        return 0
    extent = partial.extent
    return len(extent.planes) * strip_count(extent.height, extent.width)
