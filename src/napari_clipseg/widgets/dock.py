"""The dock: choose an image, say what to look for, run, and move the threshold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import (
    ComboBox,
    Container,
    FloatSlider,
    Label,
    ProgressBar,
    PushButton,
)
from magicgui.widgets.bases import Widget
from napari.layers import Image
from napari.utils.notifications import notification_manager, show_error, show_warning
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QSizePolicy

from napari_clipseg.engine.hub import BUNDLED, KNOWN
from napari_clipseg.segmentation import Progress, Segmentation
from napari_clipseg.widgets.layers import read_plane
from napari_clipseg.widgets.prompts import PromptBox, image_layers
from napari_clipseg.widgets.result import Result
from napari_clipseg.widgets.worker import Failure, Job, start

if TYPE_CHECKING:
    import napari
    from superqt.utils import GeneratorWorker

OTHER_FOLDER = "Choose a folder…"
# What a user can mend; anything else is a fault of ours and comes with its traceback.
USER_ERRORS = (ValueError, TypeError)
START_THRESHOLD = 0.3
LABEL_WIDTH = 84  # in pixels; the longest label in napari's font


class CLIPSegDock(Container[Widget]):
    """Segment an image layer with a text or with an example.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Where layers are read and results are shown.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        self._viewer = napari_viewer
        self._worker: GeneratorWorker[Progress, None, Segmentation | Failure] | None = None
        self._job: Job | None = None
        self._source: Image | None = None
        self._source_data: object = None
        self._result: Result | None = None
        self._others: list[str] = []
        self._threshold_chosen = False
        self._closed = False

        self.image = ComboBox(
            label="Image",
            choices=lambda _: image_layers(napari_viewer),
            tooltip="The image layer to segment. Of a stack, the plane that is shown.",
        )
        self.prompt = PromptBox(napari_viewer, self.run)
        self.model = ComboBox(
            label="Model",
            choices=lambda _: self._models(),
            value=BUNDLED,
            tooltip=(
                "'demo' comes with the plugin: it knows simple shapes and is there to try things "
                "out. The others need a download of 600 MB first, or choose a folder."
            ),
        )
        self.run_button = PushButton(text="Run", tooltip="Segment (Enter in the text)")
        self.cancel_button = PushButton(text="Cancel", enabled=False)
        self.progress = ProgressBar(min=0, max=1, value=0, visible=False)
        self.threshold = FloatSlider(
            label="Threshold",
            min=0,
            max=1,
            step=0.01,
            value=START_THRESHOLD,
            tooltip="Probability above which a pixel is labelled. Moves the last result live.",
        )
        self.status = Label(value="")

        buttons = Container(
            widgets=[self.run_button, self.cancel_button], layout="horizontal", labels=False
        )
        buttons.margins = (0, 0, 0, 0)
        super().__init__(
            widgets=[
                self.image,
                *self.prompt.widgets,
                self.model,
                buttons,
                self.progress,
                self.threshold,
            ],
            labels=True,
        )
        for label in self.native.findChildren(QLabel):
            label.setMinimumWidth(LABEL_WIDTH)  # else each row's fields begin elsewhere
        self._add_status()
        self.prompt.show_kind()

        self.run_button.changed.connect(self.run)
        self.cancel_button.changed.connect(self.cancel)
        self.threshold.changed.connect(self._on_threshold)
        self.model.changed.connect(self._on_model)
        self.native.destroyed.connect(self._on_destroyed)
        self._choose_active_image()

    # --- what a user can do -------------------------------------------------------------

    def run(self) -> None:
        """Start a run with what the dock shows; without effect while one is running."""
        if self._worker is not None:
            return
        try:
            job = self._read_job()
        except USER_ERRORS as error:
            self._report(error)
            return
        self._job = job
        self._set_running(True)
        self._worker = start(
            job, progressed=self._on_progress, returned=self._on_returned, aborted=self._on_aborted
        )

    def cancel(self) -> None:
        """Stop the run after the step that it is in; nothing is added."""
        if self._worker is not None:
            self._worker.quit()
            self.status.value = "Stopping…"

    def offer_model(self, model: str) -> None:
        """Choose a checkpoint by name or folder; a new one joins the choices."""
        if model not in self.model.choices:
            self._others.append(model)
        with self.model.changed.blocked():
            self.model.reset_choices()
            self.model.value = model
        self._threshold_chosen = False  # each checkpoint has a threshold of its own

    def _models(self) -> list[tuple[str, str]]:
        """Return name and value of each choice; a folder goes by its last part."""
        others = [(Path(other).name or other, other) for other in self._others]
        return [*((name, name) for name in (BUNDLED, *KNOWN)), *others, (OTHER_FOLDER,) * 2]

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

    # --- from the dock to a job, and back -----------------------------------------------

    def _read_job(self) -> Job:
        if self.image.value is None:
            raise ValueError("There is no image layer to segment. Open an image first.")
        self._source = self.image.value
        self._source_data = self._source.data
        return Job(
            plane=read_plane(self._source, self._viewer.dims.point),
            prompts=self.prompt.prompts(),
            model=self.model.value,
            threshold=self.threshold.value if self._threshold_chosen else None,
        )

    def _show(self, segmentation: Segmentation) -> None:
        assert self._job is not None
        assert self._source is not None
        name = self._job.plane.name
        if self._source not in self._viewer.layers:
            self._warn(f"{name!r} was removed while it was segmented, so its result was dropped.")
        elif self._source.data is not self._source_data:
            self._warn(
                f"The pixels of {name!r} were replaced while they were segmented, so the result "
                f"was dropped. Run again."
            )
        else:
            self._result = Result(self._viewer, self._source, self._job, segmentation)
            self._set_threshold_silently(segmentation.threshold)
            self.status.value = self._result.summary()

    def _report(self, error: Exception) -> None:
        self.status.value = str(error)
        if isinstance(error, USER_ERRORS):
            show_error(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__)

    def _warn(self, message: str) -> None:
        self.status.value = message
        show_warning(message)

    def _set_running(self, running: bool) -> None:
        self.run_button.enabled = not running
        self.cancel_button.enabled = running
        self.progress.visible = running
        if running:
            self.progress.value = 0
            self.status.value = ""

    def _set_threshold_silently(self, value: float) -> None:
        with self.threshold.changed.blocked():
            self.threshold.value = value

    def _choose_active_image(self) -> None:
        active = self._viewer.layers.selection.active
        if active in self.image.choices:
            self.image.value = active

    # --- slots --------------------------------------------------------------------------

    def _on_progress(self, progress: Progress) -> None:
        if self._closed or self._worker is None:
            return
        self.progress.max = progress.total
        self.progress.value = progress.done
        if not self._worker.abort_requested:
            self.status.value = f"{progress.doing}…"

    def _on_returned(self, outcome: Segmentation | Failure) -> None:
        if self._closed:
            return
        self._worker = None
        self._set_running(False)
        if isinstance(outcome, Failure):
            self._report(outcome.error)
        else:
            self._show(outcome)

    def _on_aborted(self) -> None:
        if self._closed:
            return
        self._worker = None
        self._set_running(False)
        self.status.value = "Cancelled; nothing was added."

    def _on_threshold(self, value: float) -> None:
        self._threshold_chosen = True
        if self._result is not None:
            self._result.set_threshold(value)
            self.status.value = self._result.summary()

    def _on_model(self, model: str) -> None:
        if model == OTHER_FOLDER:
            folder = QFileDialog.getExistingDirectory(self.native, "Checkpoint folder")
            model = str(Path(folder)) if folder else BUNDLED
        self.offer_model(model)

    def _on_destroyed(self) -> None:
        self._closed = True
        if self._worker is not None:
            self._worker.quit()
