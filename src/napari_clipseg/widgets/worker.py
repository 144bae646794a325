"""The run in a worker thread: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from superqt.utils import GeneratorWorker, create_worker

from napari_clipseg.choices import Choices
from napari_clipseg.engine.prompts import Average
from napari_clipseg.images.rendering import Appearance, settle
from napari_clipseg.images.visual_prompts import example
from napari_clipseg.results import Segmentation
from napari_clipseg.segmentation import Progress, segment_steps
from napari_clipseg.widgets.layers import LayerImage


@dataclass(frozen=True)
class Reference:
    """An image prompt: an image, and the parts of its shown plane that are examples.

    Attributes
    ----------
    image : LayerImage
        Where the examples are.
    outlines : tuple of ndarray of float
        ``(corners, 2)`` each, in pixels; without any the whole plane is the example.
    name : str
        For the result's layers.
    """

    image: LayerImage
    outlines: tuple[NDArray[np.float64], ...]
    name: str

    @property
    def asked(self) -> dict[str, Any]:
        """The prompt as values that JSON can hold."""
        outlines = [np.round(outline, 2).tolist() for outline in self.outlines]
        return {"image": self.image.name, "plane": list(self.image.shown), "outlines": outlines}

    def prompt(self) -> Average:
        """Read the examples and cut them out; of several the mean is asked for."""
        source, shown = self.image.source, self.image.shown
        rendering = settle(source, Appearance(), [shown])
        outlines = self.outlines or (None,)
        return Average([example(source, rendering, shown, one) for one in outlines])


@dataclass(frozen=True)
class Job:
    """What is asked for in one run.

    Attributes
    ----------
    image : LayerImage
        What to segment.
    prompts : tuple of str or Reference
        What to look for.
    model : str
        "demo", a checkpoint folder, or the name of a downloaded one.
    choices : Choices
        How.
    """

    image: LayerImage
    prompts: tuple[str | Reference, ...]
    model: str
    choices: Choices

    @property
    def asked(self) -> list[Any]:
        """The prompts as values that JSON can hold, for a result's record."""
        return [p if isinstance(p, str) else p.asked for p in self.prompts]

    @property
    def names(self) -> tuple[str, ...]:
        """The prompts as texts, for layer names."""
        return tuple(p if isinstance(p, str) else p.name for p in self.prompts)


@dataclass(frozen=True)
class Failure:
    """A run that ended in an exception."""

    error: Exception


def start(
    job: Job,
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
        job,
        _start_thread=True,
        _connect={
            "yielded": progressed,
            "returned": returned,
            "warned": warned,
            "finished": ended,
        },
    )


def _steps(job: Job) -> Generator[Progress, None, Segmentation | Failure]:
    """Yield the progress of a run, and return its end.

    Errors are returned, not raised: the worker class drops a RuntimeError, and PyTorch
    reports most of its faults as one.
    """
    try:
        yield Progress(0, 1, "Reading the image")
        prompts = [p if isinstance(p, str) else p.prompt() for p in job.prompts]
        result = yield from segment_steps(
            job.image.source, prompts, model=job.model, choices=job.choices
        )
        # Kept by the result: the GUI thread is not to wait for them.
        _ = result.labels, result.objects
    except Exception as error:
        return Failure(error)
    return result
