"""Teaching in the dock: strokes on an image, answered while they are painted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets.bases import Widget
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_clipseg.images.io.source import as_source
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.results import Segmentation
from napari_clipseg.teaching.strokes import BACKGROUND
from napari_clipseg.widgets.download import missing
from napari_clipseg.widgets.layers import shown_planes
from napari_clipseg.widgets.lessons import Answer, FirstAnswer, Lessons, Question
from napari_clipseg.widgets.outlook import Outlook
from napari_clipseg.widgets.result import Result
from napari_clipseg.widgets.strokes import (
    add_strokes,
    find_strokes,
    make_ready,
    strokes_of,
)
from napari_clipseg.widgets.teach_box import TeachBox
from napari_clipseg.widgets.worker import Failure

if TYPE_CHECKING:
    import napari

FILES = "Learned prompts (*.safetensors)"
REST_MS = 100  # after which strokes are looked at that no event of painting told of, such as undo
PAINT = (
    "Paint a few short strokes over what you look for; then choose 'not like this', and paint a "
    "few beside it."
)
NOW_BESIDE = "Now choose 'not like this', and paint a few strokes beside what you look for."
NOW_THE_THING = "Now choose 'like this', and paint a few strokes on what you look for."


@dataclass(frozen=True, eq=False)
class Asked:
    """The layer that something was asked about.

    Attributes
    ----------
    layer : Image
        What is to be segmented.
    name : str
        Of the layer, when it was asked.
    data : array-like
        Of the layer, when it was asked.
    """

    layer: Image
    name: str
    data: Any


@dataclass(frozen=True)
class Host:
    """What teaching needs of the dock.

    Attributes
    ----------
    fields : callable
        Returns the fields of a recipe for an image: what is chosen beside the prompt.
    show : callable
        Shows a result of an image as layers below a layer; returns it, or None where it was
        dropped.
    say : callable
        Shows a message.
    fail : callable
        Tells of an error.
    changed : callable
        Called when it begins or ends to be busy.
    choose_model : callable
        Chooses a checkpoint.
    learned : callable
        Called with what was learned, and with what was known before, if anything.
    """

    fields: Callable[[Image], dict[str, Any]]
    show: Callable[[Asked, Segmentation, Labels], Result | None]
    say: Callable[[str], None]
    fail: Callable[[Exception], None]
    changed: Callable[[], None]
    choose_model: Callable[[str], None]
    learned: Callable[[LearnedPrompt, LearnedPrompt | None], None]


class Teaching:
    """Teaches a prompt by strokes on one image at a time.

    napari gives plugins their layers wrapped, each time anew: they are compared by ``==``.

    Parameters
    ----------
    viewer : napari.Viewer
        Where strokes and answers are shown.
    host : Host
        The dock.
    """

    def __init__(self, viewer: napari.Viewer, host: Host) -> None:
        self._viewer, self._host = viewer, host
        self.box = TeachBox(self._on_box)
        self.learned: LearnedPrompt | None = None
        self.lessons = Lessons(told=self._on_told, first=self._on_first, answered=self._on_answer)
        self._outlook = Outlook(viewer)
        self._image: Image | None = None
        self._layer: Labels | None = None  # of strokes
        self._starts: dict[str, LearnedPrompt | str | None] = {}  # of each layer of strokes
        self._asked: Asked | None = None
        self._by_button = False
        self._result: Result | None = None
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._painted = False  # since it last looked
        self._rest.timeout.connect(self._on_rest)
        self.box.where.changed.connect(self.go_where_next)
        self.box.doubt.changed.connect(self._on_doubt)
        self.box.save.changed.connect(self._on_save)
        self.box.load.changed.connect(self.choose_file)

    @property
    def widgets(self) -> list[Widget]:
        """The rows of the dock."""
        return self.box.widgets

    @property
    def busy(self) -> bool:
        """Whether an answer is to come."""
        return self.lessons.busy

    def is_on(self, image: Image | None) -> bool:
        """Whether an image is painted on."""
        layer = find_strokes(self._viewer, image)
        return layer is not None and bool(layer.data.any())

    # --- what a user can do -------------------------------------------------------------

    def begin(self, image: Image | None) -> None:
        """Make the brush ready on an image; its layer of strokes is made if there is none.

        Raises
        ------
        ValueError
            If there is no image, or one that is too large.
        """
        if image is None:
            raise ValueError("There is no image layer to teach on. Open an image first.")
        source = as_source(image)
        layer = find_strokes(self._viewer, image)
        if layer is not None:
            try:
                strokes_of(layer, source)
            except ValueError:  # the image has another shape now
                layer = None
        if layer is None:
            layer = add_strokes(self._viewer, image, source)
            goes_on = isinstance(self.box.beginning, LearnedPrompt)
            if self.learned is not None and self._image != image and not goes_on:
                name = "what was learned" if self._image is None else self._image.name
                self.box.offer_start(f"learned on {name}", self.learned, choose=True)
            self._starts[str(layer.unique_id)] = self.box.beginning
        self._watch(layer)
        self._image = image
        self.box.choose_start(self._starts.get(str(layer.unique_id)))
        make_ready(self._viewer, layer)
        self.box.choose_brush(int(layer.selected_label))
        self.ask(by_button=False)

    def ask(self, *, by_button: bool = True, only_if_new: bool = False) -> None:
        """Answer to the strokes as they are."""
        layer, image = self._layer, self._image
        if layer is None or image is None or not {layer, image} <= set(self._viewer.layers):
            return
        try:
            question = self._question(image, layer, only_if_new)
        except (TypeError, ValueError) as error:
            self.stop()
            self._tell(error, by_button)
            return
        if (entry := missing(question.model)) is not None:
            self._host.say(
                f"{entry.name} is not on this machine. Run downloads it, after asking; or choose "
                f"another model."
            )
            return
        self._by_button = by_button or (self._by_button and only_if_new)
        self._asked = Asked(image, image.name, image.data)
        self.lessons.ask(question)
        self._host.changed()

    def stop(self) -> None:
        """Drop what is being learned; the answers shown stay."""
        self.lessons.stop()
        self._outlook.hide_first()
        self._host.changed()

    def end(self) -> None:
        """Stop, and let go of the image."""
        self._rest.stop()
        self._painted = False
        self.lessons.forget()
        self._outlook.hide_first()
        self._watch(None)
        self._host.changed()

    def go_where_next(self) -> None:
        """Show and mark the place where the next stroke would teach most."""
        if self._layer is None or self._layer not in self._viewer.layers:
            return
        if not self._outlook.go(self._layer):
            self._host.say("No place is doubtful enough to say where to paint next.")

    def load(self, path: str | Path) -> None:
        """Take a learned prompt from a file, to be run or to be taught further.

        Raises
        ------
        OSError, ValueError
            See `LearnedPrompt.load`.
        """
        learned = LearnedPrompt.load(path)
        name = Path(path).name
        self._host.choose_model(learned.model)
        self._learn(learned)
        self.box.offer_start(name, learned, choose=True)
        if self._layer is not None:
            self._starts[str(self._layer.unique_id)] = learned
        self._host.say(
            f"Loaded {name}: {', '.join(learned.names)}, taught with the model {learned.model!r}. "
            f"Run segments the image with it; paint to teach it further."
        )
        if self.is_on(self._image):
            self.ask(by_button=True)

    def choose_file(self) -> None:
        """Ask for a file, and take the learned prompt in it."""
        path, _ = QFileDialog.getOpenFileName(
            self.box.load.native, "Load a learned prompt", "", FILES
        )
        if not path:
            return
        try:
            self.load(path)
        except (OSError, ValueError) as error:
            self._host.fail(error)

    def on_layer_removed(self, layer: Any) -> None:
        """Say so, if the image that is taught on, or its strokes, were removed."""
        if layer == self._layer:
            self.end()
            self._host.say("The strokes were removed. Press Paint to begin anew.")
        elif self._image is not None and layer == self._image:
            self.end()
            self._host.say(f"{layer.name!r} was removed while it was taught on; its strokes stay.")

    # --- from the layer to a question ---------------------------------------------------

    def _question(self, image: Image, layer: Labels, only_if_new: bool) -> Question:
        source = as_source(image)
        fields = self._host.fields(image)
        return Question(
            source,
            image.name,
            strokes_of(layer, source),
            tuple(shown_planes(image, self._viewer.dims.point).values()),
            fields.pop("model"),
            fields.pop("detail"),
            self.box.beginning,
            self.box.classes,
            fields,
            only_if_new,
        )

    def _watch(self, layer: Labels | None) -> None:
        """Follow what happens on a layer of strokes, and on no other."""
        old, self._layer = self._layer, layer
        if old == layer:
            return
        if old is not None:
            old.events.paint.disconnect(self._on_paint)
            old.events.set_data.disconnect(self._on_set_data)
            old.events.selected_label.disconnect(self._on_selected_label)
        if layer is not None:
            layer.events.paint.connect(self._on_paint)
            layer.events.set_data.connect(self._on_set_data)
            layer.events.selected_label.connect(self._on_selected_label)

    def _on_paint(self) -> None:
        self._painted = True
        self._rest.start(0)  # napari tells of some strokes before it writes them

    def _on_set_data(self) -> None:
        if not self._painted:  # undo, redo and new data are told by this; but so is much else
            self._rest.start(REST_MS)

    def _on_rest(self) -> None:
        painted, self._painted = self._painted, False
        self.ask(by_button=False, only_if_new=not painted)

    def _on_selected_label(self) -> None:
        if self._layer is not None:
            self.box.choose_brush(int(self._layer.selected_label))

    def _on_box(self, asks: bool) -> None:
        layer = self._layer
        if layer is None:
            return
        if layer.selected_label != self.box.brush.value:
            layer.selected_label = self.box.brush.value
        if layer.mode not in ("paint", "fill", "polygon"):
            layer.mode = "paint"
        self._starts[str(layer.unique_id)] = self.box.beginning
        if asks and self.is_on(self._image):
            self.ask(by_button=False)

    # --- from answers to layers ---------------------------------------------------------

    def _on_told(self, message: str) -> None:
        self._host.say(f"{message}…")

    def _on_first(self, question: Question, outcome: FirstAnswer | Failure) -> None:
        if isinstance(outcome, Failure):
            self._tell(outcome.error, self._by_button)
        elif outcome.labels is not None and self._asked is not None and self._layer is not None:
            if self._asked.layer in self._viewer.layers:
                self._outlook.unmark()
                hidden = None if self._result is None else self._result.labels_layer
                self._outlook.show_first(
                    self._asked.layer, question, outcome.labels, self._layer, hidden
                )
        elif not outcome.teaches(question.start):
            self._outlook.hide_first()
            self._host.say(
                PAINT
                if not outcome.values
                else NOW_THE_THING
                if outcome.values == (BACKGROUND,)
                else NOW_BESIDE
            )
        self._host.changed()

    def _on_answer(self, question: Question, outcome: Answer | Failure) -> None:
        asked, layer = self._asked, self._layer
        if isinstance(outcome, Failure):
            self._tell(outcome.error, self._by_button)
        elif asked is not None and layer is not None:
            self._learn(outcome.prompt)
            result = self._host.show(asked, outcome.result, layer)
            if result is not None:
                if self._result is not None:
                    self._result.remove_all_but(result)
                self._result = result
                self._outlook.take(asked.layer, question, outcome, layer)
                self._outlook.show_doubt(self.box.doubt.value)
        self._outlook.hide_first()  # last: napari draws no new data of a layer that is hidden
        self._host.changed()

    def _learn(self, learned: LearnedPrompt) -> None:
        earlier, self.learned = self.learned, learned
        self._host.learned(learned, earlier)
        self.box.save.enabled = True
        self.box.where.enabled = True

    def _tell(self, error: Exception, by_button: bool) -> None:
        """Tell of an error: of strokes that are not complete yet, quietly."""
        if by_button or not isinstance(error, TypeError | ValueError):
            self._host.fail(error)
        else:
            self._host.say(str(error))

    # --- doubt, files -------------------------------------------------------------------

    def _on_doubt(self) -> None:
        if not self._outlook.show_doubt(self.box.doubt.value) and self.box.doubt.value:
            self._host.say("Doubt is shown once something was learned: paint a few strokes.")

    def _on_save(self) -> None:
        if self.learned is None:
            return
        own = f"{'-'.join(self.learned.names).replace(' ', '-')}.safetensors"
        path, _ = QFileDialog.getSaveFileName(
            self.box.save.native, "Save what was learned", own, FILES
        )
        if not path:
            return
        path = path if Path(path).suffix else f"{path}.safetensors"
        try:
            self.learned.save(path)
        except OSError as error:
            self._host.fail(error)
        else:
            self._host.say(f"Saved {path}")
