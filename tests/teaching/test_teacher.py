from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg import segment
from napari_clipseg.engine.loading import load
from napari_clipseg.teaching.score import Cut
from napari_clipseg.teaching.teacher import QUICK_PIXELS, Teacher, doubt, where_next
from painted import SIDE, hurried, iou, paint, scene

IMAGE, MASKS = scene()
STROKES, FEW = paint(MASKS), paint(MASKS, things=2)


@pytest.fixture(scope="module")
def demo():
    return load("demo", device="cpu")


@pytest.fixture(scope="module")
def teacher(demo):
    return Teacher(IMAGE, demo)


@pytest.fixture(scope="module")
def lesson(teacher):
    with hurried():
        return teacher.teach(FEW, classes=["disks"])


def ended(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_the_first_answer_finds_the_thing(teacher):
    grid = teacher.first_answer(STROKES, ())
    assert grid.step == 1
    assert grid.values.dtype == np.float32
    assert iou(grid.values[0] > 0.4, MASKS[0]) > 0.6


def test_the_first_answer_marks_what_the_cut_says(teacher, monkeypatch):
    marked = []
    for slope in (1.0, 2.0):
        cut = Cut(slope, 0.8 * slope, 0.5)  # the same place, a steeper way there
        monkeypatch.setattr("napari_clipseg.teaching.teacher.best_cut", lambda *_, cut=cut: cut)
        threshold = teacher.engine.config.default_threshold
        marked.append(teacher.first_answer(STROKES, ()).values > threshold)
    assert 0 < marked[0].mean() < 1
    np.testing.assert_array_equal(*marked)


def test_the_first_answer_has_a_map_for_each_class(teacher):
    grid = teacher.first_answer(paint(MASKS, classes=(0, 1)), ())
    for values, mask in zip(grid.values, MASKS, strict=True):
        assert iou(values > 0.4, mask) > 0.6


def test_the_first_answer_on_a_large_image_is_coarse(demo):
    side = 2 * round(QUICK_PIXELS**0.5)
    image = np.zeros((side, side), np.uint8)
    image[: side // 2] = 200
    strokes = np.zeros_like(image)
    strokes[side // 4, 5:30], strokes[3 * side // 4, 5:30] = 2, 1
    grid = Teacher(image, demo).first_answer(strokes, ())
    assert grid.step == 2
    assert grid.values.shape == (1, side // 2, side // 2)
    half = side // 4
    assert grid.values[0, : half - 10].mean() > 0.4 > grid.values[0, half + 10 :].mean()


def test_the_first_answer_on_another_plane_than_the_strokes(demo):
    stack = np.stack([scene(0, channels=1)[0], scene(1, channels=1)[0]])
    strokes = np.zeros(stack.shape, np.uint8)
    strokes[0] = STROKES
    teacher = Teacher(stack, demo, axes="zyx")
    grid = teacher.first_answer(strokes, (1,))
    assert iou(grid.values[0] > 0.4, scene(1)[1][0]) > 0.5


def test_one_side_alone_has_no_first_answer(teacher):
    for value in (1, 2):
        with pytest.raises(ValueError, match="Only one side is painted"):
            teacher.first_answer(np.where(value == STROKES, STROKES, 0), ())


def test_an_answer_from_the_cache_is_that_of_segment(teacher, lesson, demo):
    wanted = segment(IMAGE, lesson.prompt, model=demo)
    for _ in range(2):  # the second time all is cached
        result = ended(teacher.answer(lesson.prompt))
        np.testing.assert_array_equal(result.probability, wanted.probability)
        assert result.recipe == wanted.recipe


def test_teaching_tells_its_steps_and_can_be_stopped(demo):
    class StoppedError(Exception):
        pass

    seen = []

    def step(message):
        seen.append(message)
        if message == "Fitting the classifiers":
            raise StoppedError

    with hurried(), pytest.raises(StoppedError):
        Teacher(IMAGE, demo).teach(STROKES, step=step)
    assert seen[0] == "Reading the strokes"
    assert "Fitting the decoder" in seen


def test_doubt_lies_on_the_image(teacher, lesson):
    grid = doubt(lesson, teacher.views, ())
    assert grid.values.shape == (1, -(-SIDE // grid.step), -(-SIDE // grid.step))
    assert 0 <= grid.values.min() <= grid.values.max() <= 1
    assert grid.values.max() > 0


def test_the_next_stroke_is_where_the_doubt_is_and_no_stroke(teacher, lesson):
    plane, row, column = where_next(lesson, teacher.views, FEW)
    assert plane == ()
    assert 0 <= row < SIDE
    assert 0 <= column < SIDE
    painted = np.argwhere(FEW)
    assert np.hypot(*(painted - (row, column)).T).min() > 4
    grid = doubt(lesson, teacher.views, ())
    near = grid.values[0][
        max(row // grid.step - 3, 0) : row // grid.step + 4,
        max(column // grid.step - 3, 0) : column // grid.step + 4,
    ]
    assert near.max() > np.quantile(grid.values, 0.9)


def test_where_all_is_painted_there_is_no_next_stroke(teacher, lesson):
    everywhere = np.where(MASKS[0], 2, 1)
    assert where_next(lesson, teacher.views, everywhere) is None


def test_at_once_parts_count_as_in_the_lesson_before(demo):
    teacher = Teacher(IMAGE, demo)
    with hurried():
        scored = teacher.teach(STROKES)
        hasty = teacher.teach(STROKES, at_once=True)
    assert scored.prompt.score is not None
    assert hasty.prompt.score is None
    assert hasty.results[0].weights == scored.results[0].weights
    wanted, found = (segment(IMAGE, one.prompt, model=demo).labels > 0 for one in (scored, hasty))
    assert iou(found, wanted) > 0.9


def test_at_once_without_a_lesson_before(demo):
    teacher = Teacher(IMAGE, demo)
    with hurried():
        hasty = teacher.teach(STROKES, at_once=True)
        other_names = teacher.teach(STROKES, at_once=True, classes=["red"])
    weights = hasty.results[0].weights.values()
    assert min(weights) == max(weights)  # nothing is known of the parts
    assert other_names.prompt.names == ("red",)
    found = segment(IMAGE, hasty.prompt, model=demo).labels > 0
    assert iou(found, MASKS[0]) > 0.8


class StopHereError(Exception):
    """Raised by a step."""


def test_a_lesson_stops_at_any_step(demo):
    teacher = Teacher(IMAGE, demo)
    told = []
    with hurried():
        teacher.teach(STROKES, step=told.append)
        for number in (0, 5, len(told) // 2, len(told) - 1):
            left = iter(range(number))

            def step(message, left=left):
                if next(left, None) is None:
                    raise StopHereError(message)

            with pytest.raises(StopHereError, match=told[number]):
                teacher.teach(STROKES, step=step)
    assert {"Fitting the decoder", "Testing the classifiers", "Joining the parts"} <= set(told)
