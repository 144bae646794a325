"""The dock: choose an image, say what to look for, run, and move the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager, show_error, show_warning
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut

from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError, DeviceWarning, NotDownloadedError
from napari_clipseg.files.summary import BatchProgress, Summary
from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Progress, Segmentation
from napari_clipseg.sample_data import SAMPLE
from napari_clipseg.teaching.words import score_in_words
from napari_clipseg.widgets.apply import (
    FolderWorker,
    ask_for_folders,
    in_words,
    progress_of,
    start_folder,
)
from napari_clipseg.widgets.download import STOPPED, Download, ask, declined, missing
from napari_clipseg.widgets.face import Actions, Face
from napari_clipseg.widgets.hints import knows_too_little, offered_words, with_hints
from napari_clipseg.widgets.memory import Memory
from napari_clipseg.widgets.models import REAL
from napari_clipseg.widgets.prompt_list import color_of
from napari_clipseg.widgets.prompt_rows import PromptRow
from napari_clipseg.widgets.recipe_menu import RecipeHost, apply_recipe
from napari_clipseg.widgets.result import Result
from napari_clipseg.widgets.series import SeriesHost
from napari_clipseg.widgets.shown_maps import map_layers
from napari_clipseg.widgets.teaching import Asked, Host
from napari_clipseg.widgets.worker import Failure, start

if TYPE_CHECKING:
    import napari
    from superqt.utils import GeneratorWorker

    from napari_clipseg.engine.checkpoints.catalog import CatalogEntry

# What a user can mend; anything else is a fault of ours and comes with its traceback.
USER_ERRORS = (ValueError, TypeError, MemoryError, OSError)
FIRST_TILE = 2  # the step of a run that segments the first tile
PER_CENT = 100
FOCUS_MS = 50


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


class CLIPSegDock(Face):
    """Segment an image layer with texts, examples and strokes.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where layers are read and results are shown.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self._viewer = napari_viewer
        self.ask_to_download = ask
        self.ask_for_folders = ask_for_folders
        self._worker: (
            GeneratorWorker[Progress, None, Segmentation | Failure] | FolderWorker | Download | None
        ) = None
        self._run: Run | None = None
        self._queue: list[Image] = []  # what is to be segmented afterwards
        self._runs = 0  # that were started
        self._result: Result | None = None
        self._partial: Segmentation | None = None
        self._threshold_chosen = False
        self._changed_meanwhile = False  # the threshold or the objects, while a run was on
        self._closed = False
        self._samples: set[str] = set()  # whose prompts were filled in

        teaching = Host(
            fields=self._teaching_fields,
            show=self._show_taught,
            say=self._say,
            fail=self._report,
            changed=self._on_busy,
            choose_model=self._choose_model,
            learned=self._on_learned,
        )
        series = SeriesHost(recipe=self._recipe_of_files, say=self._say, fail=self._report)
        recipes = RecipeHost(
            recipe=self._recipe_of_files,
            apply=self.apply_recipe,
            say=self._say,
            fail=self._report,
        )
        super().__init__(napari_viewer, Actions(self.run, self._say, teaching, series, recipes))

        self.prompt.teach.changed.connect(self._on_teach)
        self.prompt.list.map_toggled.connect(self._on_map_toggled)
        self.teaching.box.paint.changed.connect(self.paint)
        self.apply.others.changed.connect(self.apply_to_others)
        self.apply.folder.changed.connect(self.apply_to_folder)
        for choice in (self.run_options.detail, self.run_options.refine_edges):
            choice.changed.connect(self._on_choice)
        self.run_button.changed.connect(self.run)
        self.cancel_button.changed.connect(self.cancel)
        self.get_model.changed.connect(self.take_real_model)
        self.threshold.changed.connect(self._on_threshold)
        self.run_options.objects.changed.connect(self._relabel)
        self.image.changed.connect(self._on_image)
        self.model.changed.connect(self._on_model)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        self.native.destroyed.connect(self._on_destroyed)
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self.native)
        self._escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self._escape.activated.connect(self.cancel)
        self._focus_soon = QTimer(self.native)  # napari shows a dock after it was made
        self._focus_soon.setSingleShot(True)
        self._focus_soon.setInterval(FOCUS_MS)
        self._focus_soon.timeout.connect(self.prompt.line.native.setFocus)
        self._focus_soon.timeout.connect(self.prompt.line.native.selectAll)
        self._memory = Memory(self)
        self._on_model()
        self.run_options.show_for(self.image.value)
        self._fill_in_sample()

    # --- what a user can do -------------------------------------------------------------

    def run(self) -> None:
        """Start a run with what the dock shows; without effect while one is running.

        Where the image is painted on, and *teach* is chosen, the strokes are answered anew.
        """
        if self._worker is not None:
            return
        self.prompt.line.take()
        layer = self.image.value
        if not self.prompt.teach.value or not self.teaching.is_on(layer):
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

    def _start_run(self, layer: Image | None) -> None:
        try:
            self._run = run = self._read(layer)
        except USER_ERRORS as error:
            self._report(error)
            return
        if (entry := missing(run.recipe.model)) is not None:
            self._download(entry)
            return
        self.teaching.stop()
        self._set_running(True)
        self._changed_meanwhile = False
        self._runs += 1
        self._worker = start(
            run.source,
            run.recipe,
            progressed=self._on_progress,
            returned=self._on_returned,
            warned=self._on_warned,
            # Not the run itself: Qt lets go of a connection late.
            ended=partial(self._on_ended, self._runs),
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

    def take_real_model(self) -> None:
        """Choose the published checkpoint, and run again."""
        self.offer_model(REAL)
        self.run()

    def offer_model(self, model: str) -> None:
        """Choose a checkpoint by name or folder; a new one joins the choices."""
        super().offer_model(model)
        self._on_model()

    def apply_recipe(self, recipe: Recipe) -> list[str]:
        """Ask for what a recipe asks for; return the fields that the dock has no control for."""
        return apply_recipe(self, recipe)

    # --- teaching -----------------------------------------------------------------------

    def _on_teach(self) -> None:
        self.prompt.show_teaching()
        if not self.prompt.teach.value:
            self.teaching.end()
        elif self.image.value is None:
            self.status.value = "Open an image, then press Paint."
        else:
            self.paint()

    def _on_choice(self) -> None:
        if self.prompt.teach.value:
            self.teaching.ask(by_button=False)

    def _on_learned(self, learned: LearnedPrompt, earlier: LearnedPrompt | None) -> None:
        self.prompt.add_learned(learned, earlier)

    def _teaching_fields(self, layer: Image) -> dict[str, Any]:
        self._changed_meanwhile = False
        fields = self.run_options.fields(layer)
        fields.pop("appearance")  # strokes are learned on what all channels show
        return {
            **fields,
            "model": self.model.value,
            "threshold": self._chosen_threshold,
        }

    def _show_taught(
        self, asked: Asked, segmentation: Segmentation, strokes: Labels
    ) -> Result | None:
        return self._show(asked, segmentation, below=strokes)

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

    @property
    def _chosen_threshold(self) -> float | None:
        return self.threshold.value if self._threshold_chosen else None

    def _read(self, layer: Image | None) -> Run:
        if layer is None:
            raise ValueError("There is no image layer to segment. Open an image first.")
        recipe = Recipe(
            **self.prompt.fields(),
            **self.run_options.fields(layer),
            model=self.model.value,
            threshold=self._chosen_threshold,
        )
        return Run(layer, layer.name, layer.data, as_source(layer), recipe)

    def _recipe_of_files(self) -> Recipe:
        """Return what the dock asks for, of whole images."""
        options = self.run_options
        return Recipe(
            **self.prompt.fields(),
            model=self.model.value,
            threshold=self._chosen_threshold,
            detail=options.detail.value,
            refine_edges=options.refine_edges.value,
            instances=options.instances,
        )

    def _show(
        self, run: Asked, segmentation: Segmentation, below: Labels | None = None
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
            self._result = Result(self._viewer, run.layer, segmentation, below=below)
            if self._changed_meanwhile:
                self._result.relabel(self.threshold.value, self.run_options.instances)
            else:
                self._set_threshold_silently(self._result.threshold)
            self._mark_rows(run.layer)
            self.status.value = self._summary()
            return self._result
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
        self._worker = self._partial = None
        self._set_running(False)
        return run

    def _set_running(self, running: bool) -> None:
        self.run_button.enabled = not running
        self.cancel_button.enabled = running
        self.progress.visible = running
        if running:
            self.progress.value = 0
            self.status.value = ""
            self.get_model.visible = False

    def _set_threshold_silently(self, value: float) -> None:
        with self.threshold.changed.blocked():
            self.threshold.value = value

    def _mark_rows(self, image: Image) -> None:
        """Give the rows of the list the colors of their maps."""
        maps = map_layers(self._viewer, image)
        self.prompt.list.set_colors({name: color_of(one.colormap) for name, one in maps.items()})
        self.prompt.list.set_maps({name for name, one in maps.items() if one.visible})

    # --- slots --------------------------------------------------------------------------

    def _on_progress(self, progress: Progress) -> None:
        if self._closed or self._worker is None:
            return
        self.progress.max = progress.total
        self.progress.value = progress.done
        several = progress.total > FIRST_TILE + 1
        self._partial = progress.partial if several and progress.done > FIRST_TILE else None
        if not self._worker.abort_requested:
            self.status.value = f"{progress.message}…"

    def _on_returned(self, outcome: Segmentation | Failure) -> None:
        if self._closed:
            return
        run = self._end()
        if isinstance(outcome, Failure):
            self._report(outcome.error)
        elif run is not None:
            self._show(run, outcome)
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
            self.run()

    def _on_download_stopped(self) -> None:
        if not self._closed:
            self._end()
            self.status.value = STOPPED

    def _on_warned(self, warning: tuple[Any, ...]) -> None:
        if isinstance(warning[0], DeviceWarning) and not self._closed:
            show_warning(str(warning[0]))

    def _on_ended(self, number: int) -> None:
        run, done = self._run, self._partial
        if self._closed or run is None or number != self._runs:
            return  # it returned, and the next run may be on
        self._end()
        if done is None:
            self.status.value = "Cancelled; nothing was added."
        else:
            self._show(run, done)
            self.status.value = f"Stopped; what was done is shown.\n{self.status.value}"

    def _on_threshold(self) -> None:
        self._threshold_chosen = True
        self._relabel()

    def _relabel(self) -> None:
        self._changed_meanwhile = self._worker is not None or self.teaching.busy
        if self._result is not None:
            self._result.relabel(self.threshold.value, self.run_options.instances)
            self.status.value = self._summary()

    def _on_map_toggled(self, row: PromptRow, shown: bool) -> None:
        maps = map_layers(self._viewer, self.image.value)
        for name in row.names:
            if name in maps:
                maps[name].visible = shown

    def _summary(self) -> str:
        self.get_model.visible = False
        if self._result is None:
            return ""
        segmentation = self._result.segmentation
        lines = [*with_hints(self._result.summary(), segmentation)]
        self.get_model.visible = knows_too_little(segmentation)
        if self.prompt.teach.value and self.teaching.learned is not None:
            lines.append(score_in_words(self.teaching.learned))
        return "\n".join(lines)

    def _on_image(self, image: Image | None) -> None:
        self.run_options.show_for(image)
        self._fill_in_sample()

    def _fill_in_sample(self) -> None:
        """Write a prompt for a sample that was just opened: Enter runs."""
        image = self.image.value
        sample = None if image is None else image.metadata.get(SAMPLE)
        if sample is None or str(image.unique_id) in self._samples:
            return
        self._samples.add(str(image.unique_id))
        self.prompt.set_lines("")
        self.prompt.line.value = sample["prompts"][0]
        self._focus_soon.start()
        self.status.value = "Press Enter to look for it; then write something else."

    def _on_layer_removed(self, event: Any) -> None:
        self.teaching.on_layer_removed(event.value)
        self.prompt.on_layer_removed(event.value)
        if self._result is not None and not self._result.is_shown:
            self._result = None  # its maps need not stay in memory

    def _on_model(self) -> None:
        self._threshold_chosen = False  # each checkpoint has a threshold of its own
        self.prompt.line.offer(offered_words(self.model.value))
        self._on_choice()

    def _on_destroyed(self) -> None:
        self._closed = True
        self._memory.write()
        self.series.finish()
        self.teaching.lessons.stop()
        if self._worker is not None:
            self._worker.quit()
