"""How the dock lies: parts with titles, what folds out, all of it in a scroll area."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from magicgui.widgets import ComboBox, Container
from magicgui.widgets.bases import Widget
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QScrollBar,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

LEAST_WIDTH = 260  # pixels of the whole panel
LABEL_WIDTH = 66  # the longest label in napari's font
SHORT_CHOICE = 8  # characters of a list that are always shown


def row(label: str, *widgets: Widget) -> Container[Widget]:
    """Return widgets side by side, with one label."""
    made: Container[Widget] = Container(
        widgets=list(widgets), layout="horizontal", labels=False, label=label
    )
    made.margins = (0, 0, 0, 0)
    made.native.layout().setAlignment(Qt.AlignmentFlag.AlignVCenter)
    made.native.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    return made


def part(*rows: Widget, labelled: bool = True) -> Container[Widget]:
    """Return rows below each other, with their labels."""
    made: Container[Widget] = Container(widgets=list(rows), labels=labelled)
    made.margins = (0, 0, 0, 0)
    return made


def align(panel: QWidget) -> None:
    """Let the fields of all rows begin alike, and texts that are long wrap."""
    for label in panel.findChildren(QLabel):
        row = label.parentWidget()
        layout = None if row is None else row.layout()
        if not isinstance(layout, QHBoxLayout) or layout.count() != 2:
            continue
        if layout.indexOf(label) == 0:
            label.setMinimumWidth(max(LABEL_WIDTH, label.sizeHint().width()))
            label.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        elif layout.indexOf(label) == 1:
            label.setWordWrap(True)
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)


class Fold:
    """Rows that are shown when their title is pressed.

    Parameters
    ----------
    title : str
        What is in it.
    rows : iterable of Widget
        Of magicgui.
    more : iterable of QWidget
        Below them, where magicgui has none.
    labelled : bool
        Whether the rows show their labels.
    """

    def __init__(
        self,
        title: str,
        rows: Iterable[Widget] = (),
        more: Iterable[QWidget] = (),
        *,
        labelled: bool = True,
    ) -> None:
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setToolTip("Show or hide these settings.")
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.rows = part(*rows, labelled=labelled)
        self._more = list(more)
        self._inside = QWidget()
        self.button.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def assembled(self) -> QWidget:
        """Return title and rows in one; after the rows were given to their container."""
        inside = QVBoxLayout(self._inside)
        inside.setContentsMargins(8, 0, 0, 0)
        for widget in (self.rows.native, *self._more):
            inside.addWidget(widget)
        whole = QWidget()
        both = QVBoxLayout(whole)
        both.setContentsMargins(0, 0, 0, 0)
        both.setSpacing(2)
        both.addWidget(self.button)
        both.addWidget(self._inside)
        return whole

    @property
    def open(self) -> bool:
        """Whether it is shown."""
        return self.button.isChecked()

    @open.setter
    def open(self, value: bool) -> None:
        self.button.setChecked(value)

    def _on_toggled(self, shown: bool) -> None:
        self._inside.setVisible(shown)
        arrow = Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow
        self.button.setArrowType(arrow)


def title_of(text: str) -> QWidget:
    """Return the title of a part, with a line above."""
    whole = QWidget()
    layout = QVBoxLayout(whole)
    layout.setContentsMargins(0, 4, 0, 0)
    layout.setSpacing(2)
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    label = QLabel(f"<b>{text}</b>")
    layout.addWidget(line)
    layout.addWidget(label)
    return whole


def lay_out(dock: QWidget, parts: Iterable[QWidget], footer: Iterable[QWidget]) -> None:
    """Put parts below each other into a scroll area, and what is always in sight below it."""
    scroll = scrolling(*parts)
    bottom = QWidget()
    layout = QVBoxLayout(bottom)
    layout.setContentsMargins(4, 0, 4, 4)
    layout.setSpacing(2)
    for widget in footer:
        layout.addWidget(widget)
    whole = dock.layout()
    assert whole is not None
    whole.setContentsMargins(0, 0, 0, 0)
    whole.addWidget(scroll)
    bottom.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    whole.addWidget(bottom)
    dock.setMinimumWidth(LEAST_WIDTH)
    tidy(dock)


def scrolling(*widgets: QWidget, most: int | None = None) -> QScrollArea:
    """Return widgets below each other in an area that scrolls; at most so many pixels high."""
    body = QWidget()
    layout = QVBoxLayout(body)
    layout.setContentsMargins(4, 0, 4, 4)
    layout.setSpacing(2)
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch()
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidget(body)
    area.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
    if most is not None:
        area.setFixedHeight(most)
    return area


def tidy(panel: QWidget) -> None:
    """Let lists be narrow, labels of one width, and the wheel scroll the panel."""
    align(panel)
    guard = _WheelGuard(panel)
    for box in panel.findChildren(QComboBox):
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(SHORT_CHOICE)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        box.currentTextChanged.connect(partial(_tell_whole, box, box.toolTip()))
    for kind in (QComboBox, QAbstractSpinBox, QAbstractSlider):
        for widget in panel.findChildren(kind):
            if not isinstance(widget, QScrollBar):
                widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                widget.installEventFilter(guard)


def renew(choice: ComboBox) -> None:
    """Read the choices of a list anew, in their order; what is chosen stays, if it is there."""
    value = choice.value
    with choice.changed.blocked():
        choice.native.clear()  # else new ones come last
        choice.reset_choices()
        if value in choice.choices:
            choice.value = value


def _tell_whole(box: QComboBox, tip: str, text: str) -> None:
    """Tell a choice in the tooltip that may be too long for the box."""
    box.setToolTip(f"{text}\n{tip}")


class _WheelGuard(QObject):
    """Lets the wheel change only what has the focus; else it scrolls the panel."""

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False
