"""The line to type a prompt in, with what was typed before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from magicgui.widgets import LineEdit
from qtpy.QtCore import QEvent, QObject, QStringListModel, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication, QCompleter

MOST_REMEMBERED = 50
HINT = "nuclei, red rings, - debris …"


class PromptLine(LineEdit):
    """Enter takes the line and runs; Shift+Enter takes it only; up and down go through the past.

    Parameters
    ----------
    taken : callable
        Called with the lines that were entered; several, where several were pasted.
    run : callable
        Called after it when Enter was pressed.
    """

    def __init__(self, taken: Callable[[list[str]], None], run: Callable[[], None]) -> None:
        super().__init__(
            label="",
            tooltip=(
                "Enter adds it to the list and runs; Shift+Enter adds it only. A minus in front, "
                "as in '- debris', makes a negative prompt: where it is the likeliest, there is "
                "background. Up and down bring back what you typed before."
            ),
        )
        self._taken, self._run = taken, run
        self.history: list[str] = []  # newest last
        self._words: list[str] = []
        self._place = 0  # in the history, counted from its end
        edit = self.native
        edit.setPlaceholderText(HINT)
        edit.setAccessibleName("Write what to look for")
        edit.setClearButtonEnabled(True)
        completer = QCompleter(edit)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setModel(QStringListModel(completer))
        edit.setCompleter(completer)
        self._keys = _Keys(edit, self._on_enter, self._recall, self._paste)
        # While completions are shown, their list has the keys, and completes after this.
        edit.returnPressed.connect(lambda: QTimer.singleShot(0, lambda: self._on_enter(True)))

    def take(self) -> None:
        """Give what is typed, as Shift+Enter does."""
        text = self.value.strip()
        if text:
            self.value = ""
            self.remember([text])
            self._taken([text])

    def remember(self, lines: Iterable[str]) -> None:
        """Add lines to the history."""
        for line in lines:
            self.history = [*(one for one in self.history if one != line), line]
        self.history = self.history[-MOST_REMEMBERED:]
        self._place = 0
        self._complete()

    def offer(self, words: Iterable[str]) -> None:
        """Complete these words, too."""
        self._words = list(words)
        self._complete()

    def _complete(self) -> None:
        offered = dict.fromkeys([*reversed(self.history), *self._words])
        self.native.completer().model().setStringList(list(offered))

    def _on_enter(self, runs: bool) -> None:
        self.take()
        if runs:
            self._run()

    def _recall(self, by: int) -> None:
        self._place = min(max(self._place + by, 0), len(self.history))
        self.value = self.history[-self._place] if self._place else ""

    def _paste(self, lines: list[str]) -> None:
        self.remember(lines)
        self._taken(lines)


class _Keys(QObject):
    """Sees keys before the line does."""

    def __init__(
        self,
        edit: Any,
        entered: Callable[[bool], None],
        recalled: Callable[[int], None],
        pasted: Callable[[list[str]], None],
    ) -> None:
        super().__init__(edit)
        self._edit, self._entered, self._recalled = edit, entered, recalled
        self._pasted = pasted
        edit.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        if event.type() != QEvent.Type.KeyPress or self._edit.completer().popup().isVisible():
            return False
        key, shift = event.key(), event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._entered(not shift)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._recalled(1 if key == Qt.Key.Key_Up else -1)
        elif event.matches(QKeySequence.StandardKey.Paste):
            return self._paste()
        else:
            return False
        return True

    def _paste(self) -> bool:
        clipboard: Any = QApplication.clipboard()
        lines = [line.strip() for line in clipboard.text().splitlines() if line.strip()]
        if len(lines) < 2:
            return False  # the line pastes it
        self._pasted(lines)
        return True
