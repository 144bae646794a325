"""Objects corrected by hand, and each step undone."""

import numpy as np
import pytest

from napari_clipseg.images.labels import edits
from napari_clipseg.images.labels.edits import Change, History, Object, Several

RANDOM = np.random.default_rng(0)


def blobs(shape=(2, 150, 200), count=300):
    labels = np.zeros(shape, np.int32)
    rows, columns = np.ogrid[: shape[-2], : shape[-1]]
    for number in range(1, count + 1):
        plane, row, column = (int(RANDOM.integers(n)) for n in shape)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= RANDOM.integers(3, 9) ** 2
        labels[plane][disc] = number
    return labels


def random_edit(labels, kept):
    """What a user may do next; None where it cannot be done."""
    points = [tuple(int(RANDOM.integers(n)) for n in labels.shape) for _ in range(2)]
    connected = bool(RANDOM.integers(2))
    array = (labels, kept)[RANDOM.integers(2)]
    found = edits.object_at(array, points[0], connected=connected)
    if found is None:
        return None
    kind = RANDOM.choice(4, p=(0.3, 0.1, 0.3, 0.3))
    if kind == 0 and array is labels:
        number = int(RANDOM.integers(2)) or edits.fresh(kept)
        return Several("keep", edits.kept(kept, found, number) + edits.removed(labels, found))
    if kind == 1:
        return Several("reject", edits.removed(array, found))
    other = edits.object_at(array, points[1])
    try:
        if kind == 2 and other is not None:
            return Several("join", edits.joined(array, found, other))
        line = [(points[0][0], *RANDOM.integers(-5, 200, 2)) for _ in range(2)]
        return Several("cut", edits.cut(array, found, line))
    except ValueError:
        return None


def test_a_thousand_edits_and_undos_end_where_they_began():
    labels, kept = blobs(), blobs(count=6)
    start = labels.copy(), kept.copy()
    history, done, states = History(), 0, [(labels.tobytes(), kept.tobytes())]
    while done < 1000:
        if RANDOM.random() < 0.3 and history.can_undo:
            history.undo()
            states.pop()
        elif RANDOM.random() < 0.2 and history.can_redo:
            history.redo()
            states.append((labels.tobytes(), kept.tobytes()))
        else:
            while (edit := random_edit(labels, kept)) is None:
                pass
            history.do(edit)
            states.append((labels.tobytes(), kept.tobytes()))
        done += 1
        assert (labels.tobytes(), kept.tobytes()) == states[-1]
    end = labels.copy(), kept.copy()
    back = 0
    while history.undo() is not None:
        back += 1
    assert back > 100
    np.testing.assert_array_equal(labels, start[0])
    np.testing.assert_array_equal(kept, start[1])
    for _ in range(back):
        history.redo()
    np.testing.assert_array_equal(labels, end[0])
    np.testing.assert_array_equal(kept, end[1])


LABELS = np.array(
    [
        [1, 1, 0, 2, 2],
        [1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0],
        [3, 3, 3, 3, 3],
        [0, 1, 0, 0, 0],
    ]
)
# name: point, connected, pixels of the object
OBJECTS = {
    "all pixels of a label": ((0, 0), False, 5),
    "the part around the point": ((0, 0), True, 4),
    "another part": ((4, 1), True, 1),
    "background": ((2, 2), False, None),
    "outside": ((9, 9), False, None),
    "before the first": ((-1, 0), True, None),
}


@pytest.mark.parametrize(("point", "connected", "pixels"), OBJECTS.values(), ids=OBJECTS)
def test_the_object_at_a_point(point, connected, pixels):
    found = edits.object_at(LABELS, point, connected=connected)
    assert (None if found is None else int(found.mask.sum())) == pixels
    if found is not None:
        assert (LABELS[found.box][found.mask] == found.label).all()


def test_a_large_part_is_found_whole():
    labels = np.zeros((300, 500), np.int32)
    labels[5:290, 10] = labels[289, 10:400] = 1
    labels[5, 20] = 1
    assert edits.object_at(labels, (5, 10), connected=True).mask.sum() == 285 + 389


def test_kept_pixels_are_not_overwritten():
    kept = np.zeros_like(LABELS)
    kept[0, 0] = 9
    for change in edits.kept(kept, edits.object_at(LABELS, (0, 1)), 10):
        change.redo()
    assert kept[0, 0] == 9
    assert (kept == 10).sum() == 4


def test_objects_are_joined():
    labels = LABELS.copy()
    one, other = (edits.object_at(labels, at) for at in ((0, 0), (0, 3)))
    for change in edits.joined(labels, one, other):
        change.redo()
    assert set(np.unique(labels)) == {0, 1, 3}
    with pytest.raises(ValueError, match="Point at two objects"):
        edits.joined(labels, one, one)


@pytest.mark.parametrize(
    "line",
    [[(2, 2), (4, 2)], [(2, 1), (4, 3)], [(4, 3), (2, 1)], [(0, 2), (3, 2), (4, 4)]],
    ids=["straight", "oblique", "the other way", "in two pieces"],
)
def test_an_object_is_cut(line):
    labels = LABELS.copy()
    found = edits.object_at(labels, (3, 0))
    for change in edits.cut(labels, found, line):
        change.redo()
    row = labels[3]
    assert set(row) == {3, 4}
    assert (np.bincount(row)[3:] >= [3, 1]).all()  # the larger part keeps its number
    np.testing.assert_array_equal(labels[LABELS != 3], LABELS[LABELS != 3])


@pytest.mark.parametrize(
    "line", [[(4, 0), (4, 4)], [(0, 0), (1, 1)], [(-9, -9), (-1, -1)]], ids=["beside", "far", "out"]
)
def test_a_line_that_crosses_nothing_is_refused(line):
    with pytest.raises(ValueError, match="does not cross the object"):
        edits.cut(LABELS, edits.object_at(LABELS, (3, 0)), line)


def test_a_stack_is_cut_in_one_plane():
    labels = np.ones((3, 7, 9), np.int32)
    found = edits.object_of(labels, 1)
    for change in edits.cut(labels, found, [(1, -1, 4), (1, 7, 4)]):
        change.redo()
    assert (labels[[0, 2]] == 1).all()
    assert set(np.unique(labels[1])) == {1, 2}
    with pytest.raises(ValueError, match="does not cross"):
        edits.cut(
            labels, Object(1, np.s_[0:1, 0:2, 0:2], np.ones((1, 2, 2), bool)), [(2, 0, 0)] * 2
        )


def test_the_oldest_edits_are_forgotten_first():
    labels = np.arange(1, 1001, dtype=np.int32).reshape(10, 100)
    history = History(most_bytes=2000)
    for row in range(10):
        box = np.s_[row : row + 1, 0:100]
        history.do(Several(str(row), [Change(labels, box, np.ones((1, 100), bool), 0)]))
    names = []
    while (edit := history.undo()) is not None:
        names.append(edit.name)
    assert names == ["9"]
    history.clear()
    assert not history.can_redo
    for name, about in (("one", "a"), ("both", "ab"), ("other", "b")):
        history.add(Several(name, [], about))
    history.forget("a")
    assert history.undo().name == "other"
    assert history.undo() is None


def test_an_array_that_is_not_in_use_any_more_is_left_alone():
    labels = LABELS.copy()
    in_use = [labels]
    change = Change(labels, np.s_[0:1, 0:2], np.ones((1, 2), bool), 7, lambda: in_use[0])
    change.redo()
    in_use[0] = labels.copy()
    assert change.stale
    change.undo()
    assert labels[0, 0] == 7


def test_no_label_is_left():
    with pytest.raises(ValueError, match="Labels of type uint8 hold no number above 255"):
        edits.fresh(np.full((2, 2), 255, np.uint8))
