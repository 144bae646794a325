"""The run in a worker thread: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from superqt.utils import GeneratorWorker, create_worker

from napari_clipseg.images.io.source import Source
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Progress, Segmentation
from napari_clipseg.segmentation import segment_steps


@dataclass(frozen=True)
class Failure:
    """A run that ended in an exception."""

    error: Exception


def start(
    source: Source,
    recipe: Recipe,
    *,
    progressed: Callable[[Progress], None],
    returned: Callable[[Segmentation | Failure], None],
    warned: Callable[[tuple[Any, ...]], None],
    ended: Callable[[], None],
) -> GeneratorWorker[Progress, None, Segmentation | Failure]:
    """Start a run in a worker thread; the callbacks are called on the GUI thread.

    `ended` is called last, however the run ended. It alone tells of a run that was stopped: one
    that is stopped during its last step neither returns nor says that it was aborted.
    `warned` gets what `warnings.showwarning` would, the warning first.
    """
    return create_worker(
        _steps,
        source,
        recipe,
        _start_thread=True,
        _connect={
            "yielded": progressed,
            "returned": returned,
            "warned": warned,
            "finished": ended,
        },
    )


def _steps(source: Source, recipe: Recipe) -> Generator[Progress, None, Segmentation | Failure]:
    """Yield the progress of a run, and return its end.

    Errors are returned, not raised: the worker class drops a RuntimeError, and PyTorch
    reports most of its faults as one.
    """
    try:
        result = yield from segment_steps(source, recipe)
        # Cached by the result and its recipe: the GUI thread is not to wait for them.
        _ = result.labels, result.objects, result.highest, result.recipe.to_dict()
    except Exception as error:
        return Failure(error)
    return result
