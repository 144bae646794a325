"""Runs: from the controls to a worker, and from what it returns to a result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Shapes
from napari.utils.notifications import notification_manager, show_error, show_warning

from napari_clipseg.engine.errors import DeviceWarning
from napari_clipseg.files.summary import BatchProgress, Summary
from napari_clipseg.images.io.maps import MapTooLargeError
from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Progress, Segmentation
from napari_clipseg.teaching.words import score_in_words
from napari_clipseg.widgets.apply import (
    FolderWorker,
    ask_for_folders,
    in_words,
    progress_of,
    start_folder,
)
from napari_clipseg.widgets.download import STOPPED, Download, ask, declined, missing
from napari_clipseg.widgets.estimate import LONG, RunEstimate, TimeLeft, ask_for_time
from napari_clipseg.widgets.face import Actions, Face
from napari_clipseg.widgets.hints import knows_too_little, with_hints
from napari_clipseg.widgets.labelling import Made
from napari_clipseg.widgets.layers import region_outlines
from napari_clipseg.widgets.model_view import PROMPT
from napari_clipseg.widgets.result import Result
from napari_clipseg.widgets.so_far import Glance, SoFar
from napari_clipseg.widgets.teaching import Asked
from napari_clipseg.widgets.warm import warm_up_soon
from napari_clipseg.widgets.worker import Failure, RunWorker, Stopped, start

if TYPE_CHECKING:
    import napari

    from napari_clipseg.engine.checkpoints.catalog import CatalogEntry

# What a user can mend; anything else is a fault of ours and comes with its traceback.
USER_ERRORS = (ValueError, TypeError, MemoryError, OSError)
PER_CENT = 100
NO_IMAGE = "There is no image layer to segment. Open an image first."
LESS_MEMORY = (
    "Choose fewer planes, fewer prompts, or a region (More ▸ Within). Or segment the file with "
    "More ▸ A folder…, which writes large maps to files."
)
STOPPED_EARLY = "Stopped; what was done is shown."


@dataclass(frozen=True, eq=False)
class Run(Asked):
    """What a run was started with; dropped when it ends.

    Attributes
    ----------
    source : Source
        The layer as it was read.
    recipe : Recipe
        What is asked for.
    """

    source: Source
    recipe: Recipe


class Runs(Face):
    """The controls, and the one thing that they can do at a time: a run, a folder, a download.

    Parameters
    ----------
    viewer : napari.Viewer
        Where layers are read and results are shown.
    actions : Actions
        What the controls call.
    """

    def __init__(self, viewer: napari.Viewer, actions: Actions) -> None:
        self._viewer = viewer
        self.ask_to_download = ask
        self.ask_for_folders = ask_for_folders
        self._worker: RunWorker | FolderWorker | Download | None = None
        self._run: Run | None = None
        self._queue: list[Image] = []  # what is to be segmented afterwards
        self._runs = 0  # that were started
        self._changed_meanwhile = False  # the threshold or the objects, while a run was on
        self._closed = False
        self._stopped = False  # the last run was
        self._so_far, self._time_left = SoFar(viewer), TimeLeft()
        self.ask_for_time = ask_for_time
        super().__init__(viewer, actions)
        self.apply.others.changed.connect(self.apply_to_others)
        self.apply.folder.changed.connect(self.apply_to_folder)
        self.cancel_button.changed.connect(self.cancel)
        for choice in (self.results.threshold, self.results.objects, self.results.least_size):
            choice.changed.connect(self._on_results)
        self.estimate.ask_for(self._next_run)
        self.prompt.list.rows_changed.connect(self.estimate.renew)
        for asked in (self.image, self.model, self.prompt.teach, *self.run_options.all):
            asked.changed.connect(lambda: self.estimate.renew())
        warm_up_soon(self.native)

    # --- what a user can do -------------------------------------------------------------

    def apply_to_others(self) -> None:
        """Segment the other open images as the chosen one, one after the other."""
        if self._worker is not None:
            return
        self._queue = [layer for layer in self.image.choices if layer != self.image.value]
        if not self._queue:
            self.status.value = "There is no other image layer. Open more images first."
        self._run_next()

    def apply_to_folder(self) -> None:
        """Segment all images of a folder, and write what is found; the user is asked where."""
        if self._worker is not None:
            return
        try:
            recipe = self._recipe_of_files()
        except USER_ERRORS as error:
            self._report(error)
            return
        if (entry := missing(recipe.model)) is not None:
            self.status.value = f"{entry.name} is not on this machine. Press Run to get it first."
            return
        if (folders := self.ask_for_folders(self.native)) is None:
            return
        self.teaching.stop()
        self._set_running(True)
        self._runs += 1
        self._worker = start_folder(
            *folders,
            recipe,
            progressed=self._on_folder_progress,
            returned=self._on_folder,
            ended=partial(self._on_folder_ended, self._runs),
        )

    def cancel(self) -> None:
        """Stop the run after the step that it is in; tiles and planes that are done are kept."""
        self._queue = []
        if self._worker is not None:
            self._worker.quit()
            self.status.value = "Stopping…"
        elif self.teaching.busy:
            self.teaching.stop()
            self.status.value = "Stopped. The next stroke, or Run, is answered again."

    def look_closer(self, boxes: Shapes) -> None:
        """Segment what lies in the newest box of a Shapes layer, in fine tiles."""
        if self._worker is None:
            self._start_run(self.image.value, region=boxes, detail="fine")

    # --- from the dock to a run ---------------------------------------------------------

    def _run_next(self) -> None:
        """Start the next run of the queue; one that cannot be started is told, and left out."""
        while self._queue and self._worker is None:
            layer = self._queue.pop(0)
            if layer in self._viewer.layers:
                self._start_run(layer)

    def _start_run(
        self, layer: Image | None, region: Shapes | None = None, detail: str | None = None
    ) -> None:
        try:
            self._run = run = self._read(layer, region, detail)
        except USER_ERRORS as error:
            self._report(error)
            return
        if (entry := missing(run.recipe.model)) is not None:
            self._download(entry)
            return
        expected = None if region is not None else self.estimate.last
        if expected is not None and not self._may_take(expected):
            self._run = None
            self.status.value = f"Not started: {expected}. Choose larger tiles, or a region."
            return
        self.teaching.stop()
        self._set_running(True)
        self._changed_meanwhile = self._stopped = False
        self._time_left = TimeLeft()
        self._runs += 1
        self._worker = start(
            run.source,
            run.recipe,
            progressed=self._on_progress,
            returned=self._on_returned,
            warned=self._on_warned,
        )

    def _read(self, layer: Image | None, region: Shapes | None, detail: str | None) -> Run:
        if layer is None:
            raise ValueError(NO_IMAGE)
        recipe = Recipe(
            **self.prompt.fields(),
            **self.run_options.fields(layer),
            **self.results.fields(layer),
            model=self.model.value,
        )
        if region is not None:
            recipe = recipe.replace(region=region_outlines(region, layer)[-1])
        if detail is not None:
            recipe = recipe.replace(detail=detail)
        return Run(layer, layer.name, layer.data, as_source(layer), recipe)

    def _may_take(self, expected: RunEstimate) -> bool:
        return expected.seconds <= LONG or self.ask_for_time(expected, self.native)

    def _next_run(self) -> tuple[Source, Recipe] | None:
        """Return what the next run is asked for, where it is worth an estimate."""
        layer = self.image.value
        if layer is None or self.prompt.teach.value or missing(self.model.value):
            return None
        run = self._read(layer, None, None)
        whole = run.recipe.detail.tile_size == "whole"
        one_plane = run.recipe.planes is not None or not run.source.planes_shape
        return None if whole and one_plane else (run.source, run.recipe)

    def _next_seen(self) -> tuple[Image, Source, Recipe]:
        """Return image, source and recipe of the next run, whatever the prompts."""
        layer = self.image.value
        if layer is None:
            raise ValueError(NO_IMAGE)
        recipe = Recipe(PROMPT, **self.run_options.fields(layer), model=self.model.value)
        return layer, as_source(layer), recipe

    def _recipe_of_files(self) -> Recipe:
        """Return what the dock asks for, of whole images."""
        options = self.run_options
        return Recipe(
            **self.prompt.fields(),
            **self.results.fields(None),
            model=self.model.value,
            detail=options.detail.value,
            refine_edges=options.refine_edges.value,
        )

    def _download(self, entry: CatalogEntry) -> None:
        """Fetch a checkpoint if the user wants it; the run starts when it is there."""
        self._run = None  # read again when it starts
        if self.ask_to_download(entry, self.native):
            self._set_running(True)
            self._worker = Download(
                entry.name,
                progressed=self._on_progress,
                returned=self._on_downloaded,
                stopped=self._on_download_stopped,
            )
        else:
            self.status.value = declined(entry)

    def _set_running(self, running: bool) -> None:
        self.run_button.enabled = not running
        self.cancel_button.enabled = running
        self.progress.visible = running
        if running:
            self.progress.value = 0
            self.status.value = ""
            self.get_model.visible = False

    # --- from a run to a result ---------------------------------------------------------

    def _show(
        self, run: Asked, outcome: Segmentation | Made, below: Labels | None = None
    ) -> Result | None:
        """Show a result as layers; return None where its image is gone or has other pixels."""
        if run.layer not in self._viewer.layers:
            self._warn(
                f"{run.name!r} was removed while it was segmented, so its result was dropped."
            )
        elif run.layer.data is not run.data:
            self._warn(
                f"The pixels of {run.name!r} were replaced while they were segmented, so the "
                f"result was dropped. Run again."
            )
        else:
            return self.results.take(
                run.layer, outcome, below=below, as_chosen=self._changed_meanwhile
            )
        return None

    def _show_outcome(self, run: Run, outcome: Made | Stopped) -> None:
        what = outcome.partial if isinstance(outcome, Stopped) else outcome
        if what is None:
            self.status.value = "Cancelled; nothing was added."
            return
        self._stopped = isinstance(outcome, Stopped)
        try:
            shown = self._show(run, what)
        except Exception as error:
            self._report(error)
        else:
            if shown is not None:
                self._tell_result()

    def _tell_result(self) -> None:
        """Say what was found; of what was not, how near it was, and what can be done."""
        lines = [STOPPED_EARLY] if self._stopped else []
        self.get_model.visible = False
        if (result := self.results.result) is not None:
            lines += with_hints(result.summary or "Making labels…", result.segmentation)
            self.get_model.visible = knows_too_little(result.segmentation)
        if self.prompt.teach.value and self.teaching.learned is not None:
            lines.append(score_in_words(self.teaching.learned))
        self.status.value = "\n".join(lines)
        self.prompt.show_result(result)

    def _say(self, message: str) -> None:
        if not self._closed:
            self.status.value = message

    def _report(self, error: Exception) -> None:
        said = in_the_dock(error)
        self.status.value = said
        if isinstance(error, USER_ERRORS):
            show_error(said)
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _warn(self, message: str) -> None:
        self.status.value = message
        show_warning(message)

    def _end(self) -> Run | None:
        """Let go of the run that ended; return it."""
        run, self._run = self._run, None
        self._worker = None
        self._so_far.remove()
        self._set_running(False)
        return run

    # --- slots --------------------------------------------------------------------------

    def _on_progress(self, progress: Progress | Glance) -> None:
        if self._closed or self._worker is None:
            return
        if isinstance(progress, Glance):
            if self._run is not None:
                self._so_far.show(self._run.layer, self._run.name, progress)
            return
        self.progress.max = progress.total
        self.progress.value = progress.done
        if not self._worker.abort_requested:
            left = self._time_left.after(progress.done, progress.total)
            self.status.value = f"{progress.message}{left}…"

    def _on_returned(self, outcome: Made | Stopped | Failure) -> None:
        if self._closed:
            return
        run = self._end()
        if isinstance(outcome, Failure):
            self._report(outcome.error)
        elif run is not None:
            self._show_outcome(run, outcome)
        self._run_next()

    def _on_folder_progress(self, progress: BatchProgress) -> None:
        if self._closed or self._worker is None:
            return
        self.progress.max = PER_CENT
        share, message = progress_of(progress)
        self.progress.value = round(share * PER_CENT)
        if not self._worker.abort_requested:
            self.status.value = f"{progress.done} of {progress.total}: {message}…"

    def _on_folder(self, outcome: Summary | Failure) -> None:
        if self._closed:
            return
        self._end()
        if isinstance(outcome, Failure):
            self._report(outcome.error)
        else:
            self.status.value = in_words(outcome)

    def _on_folder_ended(self, number: int) -> None:
        if not self._closed and self._worker is not None and number == self._runs:
            self._end()
            self.status.value = "Stopped. What was written stays; choose the same folders to go on."

    def _on_downloaded(self, outcome: Path | Failure) -> None:
        if isinstance(outcome, Failure):
            self._on_returned(outcome)
        elif not self._closed:
            self._end()
            self.model.refresh()
            self._start_run(self.image.value)

    def _on_download_stopped(self) -> None:
        if not self._closed:
            self._end()
            self.status.value = STOPPED

    def _on_warned(self, warning: tuple[Any, ...]) -> None:
        if isinstance(warning[0], DeviceWarning) and not self._closed:
            show_warning(str(warning[0]))

    def _on_results(self) -> None:
        if self._worker is not None or self.teaching.busy:
            self._changed_meanwhile = True

    def _on_result(self, summary: str) -> None:
        if not self._closed and self._worker is None:
            self._tell_result()


def in_the_dock(error: Exception) -> str:
    """Return what an error says; where memory is short, with a cure that the dock has."""
    if not isinstance(error, MemoryError):
        return str(error)
    facts = error.facts if isinstance(error, MapTooLargeError) else f"The memory is full: {error}."
    return f"{facts} {LESS_MEMORY}"
