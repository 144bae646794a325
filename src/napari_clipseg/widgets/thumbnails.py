"""What the model sees of the examples, made in a thread when a box was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Points, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_clipseg.prompts import Prompt, resolved
from napari_clipseg.widgets.newest import Newest, Step
from napari_clipseg.widgets.prompt_list import PromptList
from napari_clipseg.widgets.prompt_rows import Drawn, PromptRow
from napari_clipseg.widgets.worker import Failure

if TYPE_CHECKING:
    import napari

REST_MS = 150  # after the last change of a box
SIDE = 320  # pixels that are kept


@dataclass(frozen=True, eq=False)
class _Question:
    prompts: tuple[tuple[PromptRow, Prompt], ...]


class Thumbnails:
    """Keeps the thumbnails of a list of prompts as the boxes are.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose position counts for stacks.
    shown : PromptList
        Whose examples are shown.
    """

    def __init__(self, viewer: napari.Viewer, shown: PromptList) -> None:
        self._viewer, self._list = viewer, shown
        self._watched: list[Layer] = []
        self._newest = Newest(_look, told=lambda _: None, returned=self._on_seen)
        self._rest = QTimer(shown)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.look)
        shown.rows_changed.connect(self._on_rows)
        shown.destroyed.connect(self._newest.stop)

    def look(self) -> None:
        """Ask for the thumbnails of all examples that are marked."""
        prompts = []
        for row in self._list.rows:
            if isinstance(row.what, Drawn):
                try:
                    prompts.append((row, row.prompt(self._viewer.dims.point)))
                except (TypeError, ValueError):
                    continue  # nothing is marked yet; a run says so
        if prompts:
            self._newest.ask(_Question(tuple(prompts)))

    def _on_rows(self) -> None:
        layers = [row.what.marked for row in self._list.rows if isinstance(row.what, Drawn)]
        for layer in self._watched:
            if layer not in layers and isinstance(layer, Shapes | Points):
                layer.events.data.disconnect(self._on_data)
        for layer in layers:
            if layer not in self._watched and isinstance(layer, Shapes | Points):
                layer.events.data.connect(self._on_data)
        self._watched = list(layers)
        self._rest.start()

    def _on_data(self, *_: Any) -> None:
        self._rest.start()

    def _on_seen(
        self, question: _Question, outcome: list[tuple[PromptRow, NDArray[np.uint8]]] | Failure
    ) -> None:
        if not isinstance(outcome, Failure):
            for row, pixels in outcome:
                if row in self._list.rows:
                    self._list.set_thumbnail(row, pixels)


def _look(question: _Question, step: Step) -> list[tuple[PromptRow, NDArray[np.uint8]]]:
    """Return what the model sees of each example; what cannot be read is left out."""
    seen = []
    for number, (row, prompt) in enumerate(question.prompts, start=1):
        step(row.name)
        try:
            image = resolved(prompt, number)
        except (TypeError, ValueError, OSError):
            continue
        # Of several examples of one thing, the last.
        pixels = image if isinstance(image, np.ndarray) else image.prompts[-1]
        every = max(1, max(pixels.shape[:2]) // SIDE)
        seen.append((row, np.ascontiguousarray(pixels[::every, ::every])))
    return seen
