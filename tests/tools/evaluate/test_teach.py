from __future__ import annotations

import pytest

from evaluate import teach
from evaluate.teach import OTHERS, OURS, ROWS, WORD, Measured, mean, print_table, save, saved
from evaluate.teach_cases import Case
from painted import hurried, scene


def small():
    image, masks = scene()
    return Case("coins", image, masks[0], ("red",))


def test_figures_are_kept_and_read_again(tmp_path):
    path = tmp_path / "figures.csv"
    first = [Measured(OURS, "coins", 6, 0, 0.5, 1.25, 0.7), Measured(WORD, "coins", 6, 0, 0.25, 0)]
    more = [Measured(OURS, "cell", 12, 3, 0.75, 2.0)]
    assert saved(path) == saved(None) == []
    save(path, first)
    save(path, more)
    save(None, more)
    assert saved(path) == [*first, *more]


def test_only_what_is_wanted_is_measured(monkeypatch):
    monkeypatch.setattr(teach, "CASES", (small,))
    monkeypatch.setattr(teach, "TREES", 5)
    wanted = [(row, 6) for row in ROWS]
    with hurried():
        rows = teach.measured((0, 1, wanted))
    assert [(one.row, one.count, one.seed) for one in rows] == [
        (row, 6, 1) for row in (WORD, *OTHERS, OURS)
    ]
    assert all(0 <= one.iou <= 1 for one in rows)
    assert mean(rows, row=OURS) > 0.6
    assert teach.measured((0, 1, [(WORD, 6)])) == rows[:1]


def test_the_table(capsys):
    rows = [
        Measured(row, case, 6, seed, 0.5 + 0.1 * (row == OURS) + 0.1 * seed, 1.0, 0.6)
        for row in ROWS
        for case in ("coins", "stars", "crosses", "crescents")
        for seed in (0, 1)
    ]
    print_table(rows, (6,))
    said = capsys.readouterr().out
    assert "| ours | 0.650 | 1.0 |" in said
    assert "| stars | 0.650, 0.550, 0.550 |" in said
    assert "Largest step below the better forest on one case: -0.100" in said
    assert "shape alone, 6 strokes: +0.100 beside the forest" in said


def test_a_mean_of_nothing_is_no_number():
    assert mean([], row=OURS) != pytest.approx(0)
