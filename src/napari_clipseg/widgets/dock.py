"""The dock: choose an image, say what to look for, run, and see what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut

from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Segmentation
from napari_clipseg.sample_data import SAMPLE
from napari_clipseg.widgets.download import missing
from napari_clipseg.widgets.face import Actions
from napari_clipseg.widgets.hints import offered_words
from napari_clipseg.widgets.memory import Memory
from napari_clipseg.widgets.models import REAL
from napari_clipseg.widgets.prompt_rows import PromptRow
from napari_clipseg.widgets.prompts import maps_of
from napari_clipseg.widgets.recipe_menu import RecipeHost, apply_recipe
from napari_clipseg.widgets.result import Result
from napari_clipseg.widgets.runs import USER_ERRORS, Runs
from napari_clipseg.widgets.series import SeriesHost
from napari_clipseg.widgets.teaching import Asked, Host

if TYPE_CHECKING:
    import napari

FOCUS_MS = 50  # until a dock that is being opened is shown


class CLIPSegDock(Runs):
    """Segment an image layer with texts, examples and strokes.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where layers are read and results are shown.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
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
        super().__init__(
            napari_viewer,
            Actions(
                run=self.run,
                say=self._say,
                teaching=teaching,
                series=SeriesHost(self._recipe_of_files, self._say, self._report),
                recipes=RecipeHost(
                    self._recipe_of_files, self.apply_recipe, self._say, self._report
                ),
                result=self._on_result,
                fail=self._report,
                look_closer=self.look_closer,
                seen=self._next_seen,
            ),
        )
        self.prompt.teach.changed.connect(self._on_teach)
        self.teaching.box.paint.changed.connect(self.paint)
        for choice in (self.run_options.detail, self.run_options.refine_edges):
            choice.changed.connect(self._on_choice)
        self.run_button.changed.connect(self.run)
        self.get_model.changed.connect(self.take_real_model)
        self.results.maps.changed.connect(self._on_selected)
        self.prompt.list.map_toggled.connect(self._on_map_toggled)
        self.image.changed.connect(self._on_image)
        self.model.changed.connect(self._on_model)
        self._viewer.layers.selection.events.active.connect(self._on_selected)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        self.native.destroyed.connect(self._on_destroyed)
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self.native)
        self._escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self._escape.activated.connect(self.cancel)
        self._focus_soon = QTimer(self.native)
        self._focus_soon.setSingleShot(True)
        self._focus_soon.setInterval(FOCUS_MS)
        self._focus_soon.timeout.connect(self.prompt.line.native.setFocus)
        self._focus_soon.timeout.connect(self.prompt.line.native.selectAll)
        self._memory = Memory(self)
        self._on_model()
        self._on_image(self.image.value)

    # --- what a user can do -------------------------------------------------------------

    def run(self) -> None:
        """Start a run with what the dock shows; without effect while one is running.

        Where the image is painted on, and *Teach* is checked, the strokes are answered anew.
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
        return {**fields, **self.results.fields(layer), "model": self.model.value}

    def _show_taught(
        self, asked: Asked, segmentation: Segmentation, strokes: Labels
    ) -> Result | None:
        result = self._show(asked, segmentation, below=strokes)
        if result is not None:
            self._tell_result()
        return result

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

    # --- slots --------------------------------------------------------------------------

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

    def _on_selected(self) -> None:
        self.prompt.show_result(self.results.result)

    def _on_map_toggled(self, row: PromptRow, shown: bool) -> None:
        for name, layer in maps_of(self.results.result).items():
            if name in row.names:
                layer.visible = shown

    def _on_layer_removed(self, event: Any) -> None:
        self.teaching.on_layer_removed(event.value)
        self.prompt.on_layer_removed(event.value)

    def _on_model(self) -> None:
        self.results.threshold_chosen = False  # each checkpoint has a threshold of its own
        self.prompt.line.offer(offered_words(self.model.value))
        self._on_choice()

    def _on_destroyed(self) -> None:
        self._closed = True
        self._memory.write()
        self.series.finish()
        self.teaching.lessons.stop()
        self.results.stop()
        self.estimate.stop()
        self.model_view.stop()
        self.keep.close_keys()
        if self._worker is not None:
            self._worker.quit()
