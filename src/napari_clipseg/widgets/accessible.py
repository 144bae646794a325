"""Names for screen readers, labels that lead to their fields, and the order of the Tab key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QHBoxLayout, QLabel, QLayout, QScrollArea, QWidget


def describe(panel: QWidget) -> None:
    """Name what takes the focus after its row's label, and let Tab go as the eye does."""
    for label in panel.findChildren(QLabel):
        row = label.parentWidget()
        layout = None if row is None else row.layout()
        if not isinstance(layout, QHBoxLayout) or layout.indexOf(label) or layout.count() != 2:
            continue
        beside = layout.itemAt(1)
        fields = [] if beside is None else list(focusable(beside.widget()))
        tips = [one.toolTip() for one in row.findChildren(QWidget) if one.toolTip()] if row else []
        for place, field in enumerate(fields):
            if place == 0:
                label.setBuddy(field)
            if not field.accessibleName() and not _has_text(field):
                field.setAccessibleName(label.text())
            if tips and not field.toolTip():
                field.setToolTip(tips[0])
    for one, other in pairwise(focusable(panel)):
        QWidget.setTabOrder(one, other)


def focusable(widget: QWidget | None) -> Iterator[QWidget]:
    """Yield what takes the focus by the Tab key, as it lies from top to bottom."""
    if widget is None:
        return
    if isinstance(widget, QScrollArea) and widget.widget() is not None:
        yield from focusable(widget.widget())
        return
    inside = list(_inside(widget.layout()))
    if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not inside:
        yield widget
    for one in inside:
        yield from focusable(one)


def _inside(layout: QLayout | None) -> Iterator[QWidget]:
    for place in range(0 if layout is None else layout.count()):
        item = layout.itemAt(place) if layout is not None else None
        if item is None:
            continue
        widget = item.widget()
        if widget is not None:
            yield widget
        else:
            yield from _inside(item.layout())


def _has_text(widget: QWidget) -> bool:
    return isinstance(widget, QAbstractButton) and bool(widget.text())
