"""The widgets of teaching: what the brush paints, and what becomes of what was learned."""

from __future__ import annotations

from collections.abc import Callable

from magicgui.widgets import CheckBox, ComboBox, LineEdit, PushButton
from magicgui.widgets.bases import Widget
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QRadioButton, QSizePolicy

from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.teaching.strokes import BACKGROUND, FIRST_CLASS
from napari_clipseg.widgets.panel import row
from napari_clipseg.widgets.radio import SteadyRadioButtons
from napari_clipseg.widgets.strokes import MOST_CLASSES, color_of

NOT_THIS = "not like this"
LIKE_THIS = "like this"  # the first class, until it gets a name
NOTHING = "nothing"
SWATCH = 12  # pixels


class TeachBox:
    """The rows of teaching; they lie in the dock's own rows.

    Parameters
    ----------
    changed : callable
        Called when the value to paint with was chosen, and when names or the start are others:
        ``changed(asks)`` with whether that is another question.
    """

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self._changed = changed
        self._names = {FIRST_CLASS: LIKE_THIS}
        self._starts: dict[str, LearnedPrompt] = {}
        self.brush = SteadyRadioButtons(
            label="Brush",
            choices=self._brushes(),
            tooltip=(
                "What you paint: a few short strokes on what you look for, and a few beside it. "
                "Each stroke is answered at once."
            ),
        )
        self.paint = PushButton(
            text="Paint", tooltip="Select the layer of strokes of the image; make it, if none is."
        )
        self.name = LineEdit(
            label="Class",
            value=LIKE_THIS,
            tooltip="What the class of the brush is called: the name of its results.",
        )
        self.more = PushButton(text="+", tooltip="Teach another class, in another color.")
        self.start = ComboBox(
            label="Begin with",
            choices=lambda _: [NOTHING, *self._starts],
            tooltip=(
                "An earlier learned prompt: it goes on from there. Its own strokes count, too."
            ),
        )
        self.words = LineEdit(
            label="Words",
            tooltip=(
                "A few words for what you look for, to begin with. Empty: the word that fits your "
                "strokes best, of some usual ones."
            ),
        )
        self.words.native.setPlaceholderText("what it is called, if you like")
        self.where = PushButton(
            text="Where next?",
            enabled=False,
            tooltip="Go to where the next stroke would teach most, and mark it.",
        )
        self.doubt = CheckBox(
            text="Show doubt", tooltip="A layer that is bright where it is unsure."
        )
        self.save = PushButton(text="Save…", enabled=False, tooltip="Save what was learned.")
        self.load = PushButton(
            text="Load…", tooltip="Load a learned prompt: run it on any image, or teach it further."
        )
        self.widgets: list[Widget] = [
            row("Brush", self.brush, self.paint),
            row("Class", self.name, self.more),
            self.start,
            self.words,
            row("Hints", self.where, self.doubt),
            row("Learned", self.save, self.load),
        ]
        self.more.native.setFixedWidth(28)
        self.brush.native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.brush.value = FIRST_CLASS
        self._show_brushes()
        self.brush.changed.connect(self._on_brush)
        self.name.native.editingFinished.connect(self._on_name)
        self.more.changed.connect(self._on_more)
        self.start.changed.connect(self._on_start)
        self.words.native.editingFinished.connect(self._on_words)
        self._asked_words = ""

    @property
    def visible(self) -> bool:
        """Whether the rows are shown."""
        return bool(self.start.visible)

    @visible.setter
    def visible(self, value: bool) -> None:
        for widget in self.widgets:
            widget.visible = value

    @property
    def classes(self) -> dict[int, str]:
        """What each value of the strokes is called."""
        return dict(self._names)

    def choose_brush(self, value: int) -> None:
        """Show what the brush paints, where it was chosen elsewhere."""
        if value >= FIRST_CLASS and value < FIRST_CLASS + MOST_CLASSES:
            for missing in range(FIRST_CLASS, value + 1):
                self._names.setdefault(missing, f"class {missing}")
        if value == BACKGROUND or value in self._names:
            with self.brush.changed.blocked():
                self.brush.choices = self._brushes()
                self.brush.value = value
            self._show_brushes()

    @property
    def beginning(self) -> LearnedPrompt | str | None:
        """What is gone on from, or the words to begin with."""
        return self._starts.get(str(self.start.value)) or self._asked_words or None

    def offer_start(self, name: str, learned: LearnedPrompt, *, choose: bool = False) -> None:
        """Add a learned prompt to what can be begun with."""
        self._starts[name] = learned
        chosen = self.start.value
        with self.start.changed.blocked():
            self.start.reset_choices()
            self.start.value = name if choose else chosen
        if choose:
            self._take_names(learned)
            self._show_words()

    def choose_start(self, start: LearnedPrompt | str | None) -> None:
        """Begin with one that was offered, with words, or with nothing."""
        names = [name for name, offered in self._starts.items() if offered is start]
        with self.start.changed.blocked():
            self.start.value = names[-1] if names else NOTHING
        self.words.value = self._asked_words = start if isinstance(start, str) else ""
        self._show_words()

    def _brushes(self) -> list[tuple[str, int]]:
        return [*((name, value) for value, name in self._names.items()), (NOT_THIS, BACKGROUND)]

    def _show_brushes(self) -> None:
        """Give each choice its color, and the name of the chosen class."""
        buttons = self.brush.native.findChildren(QRadioButton)
        for button, (_, value) in zip(buttons, self._brushes(), strict=True):
            swatch = QPixmap(SWATCH, SWATCH)
            swatch.fill(QColor(color_of(value)))
            button.setIcon(QIcon(swatch))
        self.name.enabled = self.brush.value != BACKGROUND
        self.name.value = self._names.get(self.brush.value, "")

    def _take_names(self, learned: LearnedPrompt) -> None:
        values = learned.record.get("values", range(FIRST_CLASS, FIRST_CLASS + len(learned.names)))
        self._names = dict(zip(map(int, values), learned.names, strict=False))
        self.choose_brush(min(self._names))

    def _on_brush(self) -> None:
        self._show_brushes()
        self._changed(False)

    def _on_name(self) -> None:
        name, value = self.name.value.strip(), self.brush.value
        taken = [other for number, other in self._names.items() if number != value]
        if value == BACKGROUND or not name or name in taken or name == self._names[value]:
            self._show_brushes()
            return
        self._names[value] = name
        self.choose_brush(value)
        self._changed(True)

    def _on_more(self) -> None:
        value = max(self._names) + 1
        if value < FIRST_CLASS + MOST_CLASSES:
            self.choose_brush(value)
            self._changed(False)

    def _on_start(self) -> None:
        if isinstance(self.beginning, LearnedPrompt):
            self._take_names(self.beginning)
        self._show_words()
        self._changed(True)

    def _on_words(self) -> None:
        words = self.words.value.strip()
        if words != self._asked_words:
            self._asked_words = words
            self._changed(True)

    def _show_words(self) -> None:
        """Words are for where nothing was learned: a learned prompt has its own."""
        self.words.enabled = self.start.value == NOTHING
