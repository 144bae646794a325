"""The run in a worker thread: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from superqt.utils import GeneratorWorker, create_worker

from napari_clipseg.images.pixels import to_picture
from napari_clipseg.images.references import outline_mask, visual_prompt
from napari_clipseg.segmentation import Progress, Segmentation, segment_steps
from napari_clipseg.widgets.layers import LayerPlane


@dataclass(frozen=True)
class Reference:
    """An image prompt: a plane, and the part of it that shows an example.

    Attributes
    ----------
    plane : LayerPlane
        Where the example is.
    outline : ndarray of float, optional
        ``(corners, 2)`` in pixels of the plane; without it the whole plane is the example.
    name : str
        For the result's layers.
    """

    plane: LayerPlane
    outline: NDArray[np.float64] | None
    name: str

    @property
    def asked(self) -> dict[str, Any]:
        """The prompt as values that JSON can hold."""
        outline = None if self.outline is None else np.round(self.outline, 2).tolist()
        return {"image": self.plane.name, "plane": list(self.plane.index), "outline": outline}

    def picture(self) -> NDArray[np.uint8]:
        """Read the plane and cut the example out: ``(height, width, 3)``."""
        picture = to_picture(self.plane.load())
        if self.outline is None:
            return picture
        return visual_prompt(picture, outline_mask(picture.shape[:2], self.outline))


@dataclass(frozen=True)
class Job:
    """What is asked for in one run.

    Attributes
    ----------
    plane : LayerPlane
        What to segment.
    prompts : tuple of str or Reference
        What to look for.
    model : str
        "demo", a checkpoint folder, or the name of a downloaded one.
    threshold : float, optional
        The checkpoint's own by default.
    """

    plane: LayerPlane
    prompts: tuple[str | Reference, ...]
    model: str
    threshold: float | None

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
    aborted: Callable[[], None],
) -> GeneratorWorker[Progress, None, Segmentation | Failure]:
    """Start a run in a worker thread; the callbacks are called on the GUI thread."""
    return create_worker(
        _steps,
        job,
        _start_thread=True,
        _connect={"yielded": progressed, "returned": returned, "aborted": aborted},
    )


def _steps(job: Job) -> Generator[Progress, None, Segmentation | Failure]:
    """Yield the progress of a run, and return its end.

    Errors are returned, not raised: the worker class drops a RuntimeError, and PyTorch
    reports most of its faults as one.
    """
    try:
        yield Progress(0, 1, "Reading the image")
        prompts = [p if isinstance(p, str) else p.picture() for p in job.prompts]
        result = yield from segment_steps(
            job.plane.load(), prompts, model=job.model, threshold=job.threshold
        )
    except Exception as error:
        return Failure(error)
    return result
