"""The dock: choose an image, say what to look for, run, and see what was found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    ComboBox,
    Container,
    Label,
    ProgressBar,
    PushButton,
)
from magicgui.widgets.bases import Widget
from napari.layers import Image, Labels, Shapes
from napari.utils.notifications import notification_manager, show_error, show_warning
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError, DeviceWarning, NotDownloadedError
from napari_clipseg.files.summary import BatchProgress, Summary
from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Progress, Segmentation
from napari_clipseg.teaching.words import score_in_words
from napari_clipseg.widgets.apply import (
    ApplyBox,
    FolderWorker,
    ask_for_folders,
    in_words,
    progress_of,
    start_folder,
)
from napari_clipseg.widgets.download import STOPPED, Download, ask, declined, missing
from napari_clipseg.widgets.estimate import (
    LONG,
    EstimateLabel,
    RunEstimate,
    TimeLeft,
    ask_for_time,
)
from napari_clipseg.widgets.keep_box import KeepBox
from napari_clipseg.widgets.keeping import KeepHost
from napari_clipseg.widgets.labelling import Made
from napari_clipseg.widgets.layers import region_outlines
from napari_clipseg.widgets.models import ModelBox
from napari_clipseg.widgets.options import OptionsBox
from napari_clipseg.widgets.prompts import TEACH, PromptBox, image_layers
from napari_clipseg.widgets.result import Result
from napari_clipseg.widgets.result_box import ResultBox
from napari_clipseg.widgets.series import SeriesBox, SeriesHost
from napari_clipseg.widgets.so_far import Glance, SoFar
from napari_clipseg.widgets.teaching import Asked, Host, Teaching
from napari_clipseg.widgets.warm import warm_up_soon
from napari_clipseg.widgets.worker import Failure, RunWorker, Stopped, start

if TYPE_CHECKING:
    import napari

    from napari_clipseg.engine.checkpoints.catalog import CatalogEntry

# What a user can mend; anything else is a fault of ours and comes with its traceback.
USER_ERRORS = (ValueError, TypeError, MemoryError, OSError)
PER_CENT = 100
STOPPED_EARLY = "Stopped; what was done is shown."
LABEL_WIDTH = 84  # in pixels; the longest label in napari's font


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


class CLIPSegDock(Container[Widget]):
    """Segment an image layer with a text or with an example.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where layers are read and results are shown.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self._viewer = napari_viewer
        self.ask_to_download = ask
        self.ask_for_folders = ask_for_folders
        self._worker: RunWorker | FolderWorker | Download | None = None
        self._run: Run | None = None
        self._queue: list[Image] = []  # what is to be segmented afterwards
        self._runs = 0  # that were started
        self._changed_meanwhile = False  # the threshold or the objects, while a run was on
        self._closed = False
        self._so_far, self._time_left = SoFar(napari_viewer), TimeLeft()
        self.ask_for_time = ask_for_time
        self._stopped = False  # the last run was

        self.image = ComboBox(
            label="Image",
            choices=lambda _: image_layers(napari_viewer),
            tooltip="The image layer to segment.",
        )
        self.teaching = Teaching(
            napari_viewer,
            Host(
                fields=self._teaching_fields,
                show=self._show_taught,
                say=self._say,
                fail=self._report,
                changed=self._on_busy,
                choose_model=self._choose_model,
            ),
        )
        self.prompt = PromptBox(napari_viewer, self.run, self.teaching)
        self.model = ModelBox()
        self.run_options = OptionsBox(napari_viewer)
        self.run_button = PushButton(text="Run", tooltip="Segment (Enter in the text)")
        self.cancel_button = PushButton(text="Cancel", enabled=False)
        self.progress = ProgressBar(min=0, max=1, value=0, visible=False)
        self.results = ResultBox(
            napari_viewer,
            say=self._on_result,
            fail=self._report,
            kept=lambda *asked: self.keep.kept_pixels(*asked),
            ran=lambda *done: self.keep.keeping.record_run(*done),
        )
        self.keep = KeepBox(
            napari_viewer,
            KeepHost(lambda: self.results.result, self._say, lambda: self.results.relabel()),
            self.look_closer,
        )
        self.estimate = EstimateLabel(self._next_run)
        self.apply = ApplyBox()
        self.status = Label(value="")
        self.series = SeriesBox(
            napari_viewer,
            SeriesHost(recipe=self._recipe_of_files, say=self._say, fail=self._report),
        )

        buttons = Container(
            widgets=[self.run_button, self.cancel_button], layout="horizontal", labels=False
        )
        buttons.margins = (0, 0, 0, 0)
        super().__init__(
            widgets=[
                self.image,
                *self.prompt.widgets,
                self.model,
                *self.run_options.widgets,
                self.estimate,
                buttons,
                self.progress,
                self.results,
                self.keep,
                self.apply.row,
            ],
            labels=True,
        )
        for label in self.native.findChildren(QLabel):
            label.setMinimumWidth(LABEL_WIDTH)  # else each row's fields begin elsewhere
        self.native.layout().addWidget(self.series)
        self._add_status()
        self.prompt.show_kind()

        self.prompt.kind.changed.connect(self._on_kind)
        self.teaching.box.paint.changed.connect(self.paint)
        self.apply.others.changed.connect(self.apply_to_others)
        self.apply.folder.changed.connect(self.apply_to_folder)
        for choice in (self.run_options.detail, self.run_options.refine_edges):
            choice.changed.connect(self._on_choice)
        self.prompt.text.native.textChanged.connect(self.estimate.renew)
        fields: list[Any] = [self.image, self.prompt.kind, self.model]
        for asked in [*fields, *self.run_options.widgets]:
            asked.changed.connect(lambda: self.estimate.renew())
        warm_up_soon(self.native)
        self.run_button.changed.connect(self.run)
        self.cancel_button.changed.connect(self.cancel)
        for field in (self.results.threshold, self.results.objects, self.results.least_size):
            field.changed.connect(self._on_results)
        self.image.changed.connect(self.run_options.show_for)
        self.model.changed.connect(self._on_model)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        self.native.destroyed.connect(self._on_destroyed)
        self._choose_active_image()
        self.run_options.show_for(self.image.value)

    # --- what a user can do -------------------------------------------------------------

    def run(self) -> None:
        """Start a run with what the dock shows; without effect while one is running.

        Where the image is painted on, and *teach* is chosen, the strokes are answered anew.
        """
        if self._worker is not None:
            return
        layer = self.image.value
        if self.prompt.kind.value != TEACH or not self.teaching.is_on(layer):
            self._start_run(layer)
        elif (entry := missing(self.model.value)) is not None:
            self._download(entry)
        else:
            self.paint()
            self.teaching.ask()

    def paint(self) -> None:
        """Make the brush ready on the chosen image."""
        try:
            self.teaching.begin(self.image.value)
        except USER_ERRORS as error:
            self._report(error)

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

    def _may_take(self, expected: RunEstimate) -> bool:
        return expected.seconds <= LONG or self.ask_for_time(expected, self.native)

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

    def offer_model(self, model: str) -> None:
        """Choose a checkpoint by name or folder; a new one joins the choices."""
        self.model.offer(model)
        self._on_model()

    # --- teaching -----------------------------------------------------------------------

    def _on_kind(self) -> None:
        if self.prompt.kind.value != TEACH:
            self.teaching.end()
        elif self.image.value is None:
            self.status.value = "Open an image, then press Paint."
        else:
            self.paint()

    def _on_choice(self) -> None:
        if self.prompt.kind.value == TEACH:
            self.teaching.ask(by_button=False)

    def _teaching_fields(self, layer: Image) -> dict[str, Any]:
        self._changed_meanwhile = False
        return {
            **self.run_options.fields(layer),
            **self.results.fields(layer),
            "model": self.model.value,
        }

    def _show_taught(
        self, asked: Asked, segmentation: Segmentation, strokes: Labels
    ) -> Result | None:
        result = self._show(asked, segmentation, below=strokes)
        self.status.value = self._summary()
        return result

    def _say(self, message: str) -> None:
        if not self._closed:
            self.status.value = message

    def _on_busy(self) -> None:
        if not self._closed:
            self.cancel_button.enabled = self._worker is not None or self.teaching.busy

    def _choose_model(self, model: str) -> None:
        """Choose the checkpoint that a prompt was taught with, if it can be had."""
        try:
            locate(model)
        except NotDownloadedError:
            pass  # Run offers it
        except CheckpointError:
            return  # the run says that it is another
        if model != self.model.value:
            self.offer_model(model)

    # --- layout -------------------------------------------------------------------------

    def _add_status(self) -> None:
        """Put the status below the rows: in one of them, it could neither wrap nor grow."""
        text = self.status.native
        text.setWordWrap(True)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        # A long path in a message must not widen the dock.
        text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.native.layout().addWidget(text)

    # --- a model that is not here -------------------------------------------------------

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

    # --- from the dock to a run, and back -----------------------------------------------

    def _read(self, layer: Image | None, region: Shapes | None, detail: str | None) -> Run:
        if layer is None:
            raise ValueError("There is no image layer to segment. Open an image first.")
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

    def _next_run(self) -> tuple[Source, Recipe] | None:
        """Return what the next run is asked for, where it is worth an estimate."""
        layer = self.image.value
        if layer is None or self.prompt.kind.value == TEACH or missing(self.model.value):
            return None
        run = self._read(layer, None, None)
        whole = run.recipe.detail.tile_size == "whole"
        one_plane = run.recipe.planes is not None or not run.source.planes_shape
        return None if whole and one_plane else (run.source, run.recipe)

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

    def _report(self, error: Exception) -> None:
        self.status.value = str(error)
        if isinstance(error, USER_ERRORS):
            show_error(str(error))
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

    def _set_running(self, running: bool) -> None:
        self.run_button.enabled = not running
        self.cancel_button.enabled = running
        self.progress.visible = running
        if running:
            self.progress.value = 0
            self.status.value = ""

    def _choose_active_image(self) -> None:
        active = self._viewer.layers.selection.active
        if active in self.image.choices:
            self.image.value = active

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

    def _show_outcome(self, run: Run, outcome: Made | Stopped) -> None:
        what = outcome.partial if isinstance(outcome, Stopped) else outcome
        if what is None:
            self.status.value = "Cancelled; nothing was added."
            return
        self._stopped = isinstance(outcome, Stopped)
        try:
            self._show(run, what)
        except Exception as error:
            self._report(error)
        else:
            self.status.value = self._summary()

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
            self.run()

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
            self.status.value = self._summary()

    def _summary(self) -> str:
        lines = [STOPPED_EARLY] if self._stopped else []
        if self.results.result is not None:
            lines.append(self.results.result.summary or "Making labels…")
        if self.prompt.kind.value == TEACH and self.teaching.learned is not None:
            lines.append(score_in_words(self.teaching.learned))
        return "\n".join(lines)

    def _on_layer_removed(self, event: Any) -> None:
        self.teaching.on_layer_removed(event.value)

    def _on_model(self) -> None:
        self.results.threshold_chosen = False  # each checkpoint has a threshold of its own
        self._on_choice()

    def _on_destroyed(self) -> None:
        self._closed = True
        self.series.finish()
        self.teaching.lessons.stop()
        self.results.stop()
        self.estimate.stop()
        self.keep.close_keys()
        if self._worker is not None:
            self._worker.quit()
