"""The list of what to look for, and the line to type in: no viewer needed."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest

from napari_clipseg.widgets.prompt_line import PromptLine
from napari_clipseg.widgets.prompt_list import NAME, REMOVE, PromptList
from napari_clipseg.widgets.prompt_rows import PromptRow, fields_of, from_line


@pytest.fixture
def shown(qtbot):
    colors = {"nuclei": "magenta", "rings": "lime", "spots": "cyan"}
    shown = PromptList(lambda names: {name: colors.get(name, "red") for name in names})
    qtbot.addWidget(shown)
    shown.show()
    return shown


def rows(*lines):
    return [from_line(line) for line in lines]


def lines(shown):
    return [row.line for row in shown.rows]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("nuclei", "nuclei"),
        ("  red rings ", "red rings"),
        ("- debris", "- debris"),
        ("-debris", "- debris"),
        ("", None),
        ("  ", None),
        ("-", None),
    ],
)
def test_a_line_as_it_is_typed(line, wanted):
    row = from_line(line)
    assert (row and row.line) == wanted


def test_only_unwanted_prompts_are_no_question():
    with pytest.raises(ValueError, match="There is no prompt yet"):
        fields_of(rows("- debris"), ())


def test_rows_are_listed_once_with_the_colors_of_results(shown):
    shown.set_rows(rows("nuclei", "- debris", "rings", "nuclei"))
    assert lines(shown) == ["nuclei", "- debris", "rings"]
    assert [shown.color_of(row) for row in shown.rows] == ["magenta", None, "lime"]
    shown.add(*rows("rings", "spots"))
    assert lines(shown) == ["nuclei", "- debris", "rings", "spots"]


def test_a_row_is_removed_by_a_click_and_by_the_key(shown, qtbot):
    shown.set_rows(rows("nuclei", "rings", "spots"))
    place = shown.visualItemRect(shown.topLevelItem(0))
    place.setLeft(shown.header().sectionPosition(REMOVE))
    qtbot.mouseClick(shown.viewport(), Qt.MouseButton.LeftButton, pos=place.center())
    assert lines(shown) == ["rings", "spots"]
    shown.setCurrentItem(shown.topLevelItem(1))
    QTest.keyClick(shown, Qt.Key.Key_Delete)
    assert lines(shown) == ["rings"]


@pytest.mark.parametrize(
    ("typed", "wanted"), [("cells", "cells"), ("- nuclei", "- nuclei"), (" ", "nuclei")]
)
def test_a_text_is_edited_in_its_row(shown, typed, wanted):
    shown.set_rows(rows("nuclei"))
    shown.topLevelItem(0).setText(NAME, typed)
    assert lines(shown) == [wanted]
    assert shown.rows[0].what == wanted.removeprefix("- ")


def test_a_thumbnail_stays_with_its_row(shown):
    shown.set_rows([PromptRow("like a", "like a"), *rows("nuclei")])
    shown.set_thumbnail(shown.rows[0], np.full((20, 30, 3), 200, np.uint8))
    assert "data:image/png" in shown.topLevelItem(0).toolTip(NAME)
    shown.remove(shown.rows[0])
    assert "data:image/png" not in shown.topLevelItem(0).toolTip(NAME)


def test_thirty_prompts_scroll_in_the_list(shown):
    shown.set_rows(rows(*(f"prompt {i}" for i in range(30))))
    assert shown.height() < 200
    assert shown.verticalScrollBar().maximum() > 0


@pytest.fixture
def line(qtbot):
    taken, runs = [], []
    line = PromptLine(taken.extend, lambda: runs.append(list(taken)))
    qtbot.addWidget(line.native)
    line.native.show()
    line.taken, line.runs = taken, runs
    return line


def test_up_and_down_bring_back_what_was_typed(line):
    for text in ("nuclei", "rings"):
        QTest.keyClicks(line.native, text)
        QTest.keyClick(line.native, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert (line.taken, line.runs) == (["nuclei", "rings"], [])
    seen = []
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Up, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Down):
        QTest.keyClick(line.native, key)
        seen.append(line.value)
    assert seen == ["rings", "nuclei", "nuclei", "rings", ""]


def test_several_pasted_lines_are_several_prompts(line):
    QGuiApplication.clipboard().setText("nuclei\n- debris\n\n")
    QTest.keySequence(line.native, "Ctrl+V")
    assert line.taken == ["nuclei", "- debris"]
    assert line.value == ""


def test_known_words_and_earlier_lines_are_completed(line):
    line.offer(["rings", "squares"])
    line.remember(["red rings", "nuclei"])
    assert line.native.completer().model().stringList() == [
        "nuclei",
        "red rings",
        "rings",
        "squares",
    ]
