"""The list of what to look for: color or thumbnail, name, map, and removal."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QBuffer, QByteArray, QIODevice, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
)

from napari_clipseg.widgets.prompt_rows import Drawn, PromptRow, from_line

NAME, MAP, REMOVE = range(3)
HEADER = ("Prompt", "Map", "")
TOOLTIPS = (
    "Double-click to change it; a minus in front makes it a prompt that is not wanted.",
    "Show its probability map.",
    "Remove it from the list (Delete). Its results stay.",
)
SWATCH, THUMBNAIL, LARGE = 12, 30, 160  # pixels
FEWEST, MOST = 3, 6  # rows that are shown without scrolling
ROW_MARGIN = 6  # pixels
EMPTY = "Nothing yet. Write below what to look for,\nsuch as nuclei; or draw an example."


class PromptList(QTreeWidget):
    """Rows of `PromptRow`; the user edits, mutes and removes them.

    Parameters
    ----------
    colors_of : callable
        Returns the color of each prompt of a list of names, as the name of a color.
    """

    rows_changed = Signal()  # other prompts
    map_toggled = Signal(object, bool)  # a row, and whether its map is to be shown
    chosen = Signal(object)  # a row that cannot be edited as a text was double-clicked

    def __init__(self, colors_of: Callable[[list[str]], dict[str, str]]) -> None:
        super().__init__()
        self._colors_of = colors_of
        self._rows: list[PromptRow] = []
        self._seen: dict[int, QPixmap] = {}  # thumbnails, by the row's identity
        self._maps: set[str] = set()  # names whose maps are shown
        self.setAccessibleName("What to look for")
        self.setToolTip("What is looked for in a run, each with the color of its result.")
        self.setRootIsDecorated(False)
        self.setColumnCount(len(HEADER))
        self.setHeaderLabels(HEADER)
        top: Any = self.headerItem()
        for column, text in enumerate(TOOLTIPS):
            top.setToolTip(column, text)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTabKeyNavigation(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        header: Any = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(20)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column in (MAP, REMOVE):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.itemChanged.connect(self._on_edited)
        self.itemClicked.connect(self._on_clicked)
        self.itemDoubleClicked.connect(self._on_double_clicked)
        self._show()

    @property
    def rows(self) -> tuple[PromptRow, ...]:
        """What is looked for, in order."""
        return tuple(self._rows)

    def set_rows(self, rows: Iterable[PromptRow]) -> None:
        """Show other rows; of several of one line, the first."""
        by_line: dict[str, PromptRow] = {}
        for row in rows:
            by_line.setdefault(row.line, row)
        self._rows = list(by_line.values())
        self._show()
        self.rows_changed.emit()

    def add(self, *rows: PromptRow) -> None:
        """Add rows that are not there yet."""
        known = {row.line for row in self._rows}
        new = [row for row in rows if row.line not in known]
        if new:
            self.set_rows([*self._rows, *new])

    def remove(self, row: PromptRow) -> None:
        """Remove a row, if it is there."""
        if row in self._rows:
            self.set_rows([one for one in self._rows if one is not row])

    def color_of(self, row: PromptRow) -> str | None:
        """Return the color of a row's result; None for a negative prompt."""
        return None if row.unwanted else self._all_colors().get(row.names[0])

    def refresh(self, maps: set[str]) -> None:
        """Show colors anew, and check the prompts of these names, whose maps are shown."""
        self._maps = maps
        self._show()

    def set_thumbnail(self, row: PromptRow, pixels: NDArray[np.uint8]) -> None:
        """Show what the model sees of an example, RGB."""
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels).tobytes()
        image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
        self._seen[id(row)] = QPixmap.fromImage(image.copy())
        self._show()

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802
        """Delete removes the row; the rest is Qt's."""
        place = self.indexOfTopLevelItem(self.currentItem()) if self.currentItem() else -1
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and place >= 0:
            self.remove(self._rows[place])
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Say in an empty list what to do."""
        super().paintEvent(event)
        if not self._rows:
            area: Any = self.viewport()
            painter = QPainter(area)
            painter.setPen(self.palette().placeholderText().color())
            painter.drawText(area.rect(), Qt.AlignmentFlag.AlignCenter, EMPTY)

    # --- rows to items ------------------------------------------------------------------

    def _all_colors(self) -> dict[str, str]:
        """Return the color of each name."""
        names = [name for row in self._rows if not row.unwanted for name in row.names]
        return self._colors_of(names)

    def _show(self) -> None:
        current = self.indexOfTopLevelItem(self.currentItem()) if self.currentItem() else -1
        self._seen = {key: x for key, x in self._seen.items() if key in map(id, self._rows)}
        self.blockSignals(True)
        self.clear()
        heights: list[int] = []
        low = self.fontMetrics().lineSpacing() + ROW_MARGIN
        colors = self._all_colors()
        for row in self._rows:
            item = QTreeWidgetItem([row.line, "", "×"])
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            for column, text in enumerate(TOOLTIPS):
                item.setToolTip(column, text)
            seen = self._seen.get(id(row))
            height = low if seen is None else max(low, THUMBNAIL + ROW_MARGIN)
            item.setSizeHint(NAME, QSize(0, height))
            heights.append(height)
            if seen is not None:
                item.setToolTip(NAME, f"{row.line}, as the model sees it<br>{_as_html(seen)}")
            color = None if row.unwanted else colors[row.names[0]]
            item.setIcon(NAME, _icon(color, seen))
            item.setTextAlignment(REMOVE, Qt.AlignmentFlag.AlignCenter)
            if not row.unwanted:
                shown = set(row.names) & self._maps
                state = Qt.CheckState.Checked if shown else Qt.CheckState.Unchecked
                item.setCheckState(MAP, state)
            self.addTopLevelItem(item)
        if 0 <= current < len(self._rows):
            self.setCurrentItem(self.topLevelItem(current))
        self.blockSignals(False)
        self.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        heights += [low] * (FEWEST - len(heights))
        header: Any = self.header()
        self.setFixedHeight(header.sizeHint().height() + sum(heights[:MOST]) + 4)

    def _on_edited(self, item: QTreeWidgetItem, column: int) -> None:
        row = self._rows[self.indexOfTopLevelItem(item)]
        if column == MAP:
            shown = item.checkState(MAP) == Qt.CheckState.Checked
            self._maps = self._maps | set(row.names) if shown else self._maps - set(row.names)
            self.map_toggled.emit(row, shown)
        elif column == NAME and item.text(NAME) != row.line:
            self._rename(row, item.text(NAME))

    def _rename(self, row: PromptRow, line: str) -> None:
        new = from_line(line)
        if new is None or line in {one.line for one in self._rows if one is not row}:
            self._show()
            return
        row.name, row.unwanted = new.name, new.unwanted
        if isinstance(row.what, str):
            row.what = new.name
        self._show()
        self.rows_changed.emit()

    def _on_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        if column == REMOVE:
            self.remove(self._rows[self.indexOfTopLevelItem(item)])

    def _on_double_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        row = self._rows[self.indexOfTopLevelItem(item)]
        if column == NAME and isinstance(row.what, Drawn):
            self.chosen.emit(row)
        elif column == NAME:
            self.editItem(item, column)


def _icon(color: str | None, seen: QPixmap | None) -> QIcon:
    """Return a swatch, or a thumbnail in a frame of that color; nothing for no color."""
    side = SWATCH if seen is None else THUMBNAIL
    shown = QPixmap(side, side)
    shown.fill(QColor(color or Qt.GlobalColor.transparent))
    if seen is not None:
        painter = QPainter(shown)
        inner = seen.scaled(
            side - 4,
            side - 4,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        painter.drawPixmap((side - inner.width()) // 2, (side - inner.height()) // 2, inner)
        painter.end()
    return QIcon(shown)


def _as_html(picture: QPixmap) -> str:
    """Return a picture as a tooltip takes it."""
    data = QByteArray()
    buffer = QBuffer(data)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    picture.scaled(LARGE, LARGE, Qt.AspectRatioMode.KeepAspectRatio).save(buffer, "PNG")
    return f'<img src="data:image/png;base64,{base64.b64encode(bytes(data.data())).decode()}">'


def lines_of(rows: Sequence[PromptRow]) -> str:
    """Return rows as they are typed, one a line."""
    return "\n".join(row.line for row in rows)
