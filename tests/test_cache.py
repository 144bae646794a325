from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_clipseg.cache import Kept, digest, is_picture

TEN = np.zeros(10, np.uint8)


def test_what_is_kept_is_given_back():
    kept = Kept(100)
    kept.keep("a", TEN)
    assert kept.get("a") is TEN
    assert kept.get("b") is None
    assert (len(kept), kept.nbytes) == (1, 10)


def test_the_longest_unused_goes_first():
    kept = Kept(30)
    for key in "abc":
        kept.keep(key, TEN)
    kept.get("a")
    kept.keep("d", TEN)
    assert [key for key in "abcd" if kept.get(key) is not None] == ["a", "c", "d"]


def test_the_same_key_counts_once():
    kept = Kept(100)
    kept.keep("a", TEN)
    kept.keep("a", TEN[:4])
    assert (len(kept), kept.nbytes) == (1, 4)


@pytest.mark.parametrize("limit", [0, 9])
def test_what_is_larger_than_the_limit_is_not_kept(limit):
    kept = Kept(limit)
    kept.keep("a", TEN)
    assert (len(kept), kept.nbytes) == (0, 0)


def test_clear():
    kept = Kept(100)
    kept.keep("a", TEN)
    kept.clear()
    assert (len(kept), kept.nbytes, kept.get("a")) == (0, 0, None)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 40))), st.integers(0, 100))
def test_it_is_never_larger_than_its_limit(steps, limit):
    kept = Kept(limit)
    for key, size in steps:
        value = np.zeros(size, np.uint8)
        kept.keep(key, value)
        assert kept.get(key) is (value if size <= limit else None)
        assert kept.nbytes == sum(x.nbytes for k in "abcde" if (x := kept.get(k)) is not None)
        assert kept.nbytes <= limit


def test_several_threads_keep_the_count_right():
    kept = Kept(500)

    def use(number):
        for i in range(300):
            kept.keep(f"{(number * i) % 97}", np.zeros(i % 20, np.uint8))
            kept.get(f"{i % 97}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(1, 9)))
    values = [x for i in range(97) if (x := kept.get(f"{i}")) is not None]
    assert (len(kept), kept.nbytes) == (len(values), sum(x.nbytes for x in values))


def test_what_is_not_kept_is_made_once():
    kept, made = Kept(100), []

    def make(new):
        made.append(new)
        return [np.full(3, i, np.uint8) for i in new]

    kept.keep("b", TEN)
    values = kept.remember(["a", "b", "a", "c"], make)
    assert made == [[0, 3]]
    assert [x[0] for x in values] == [0, 0, 0, 3]
    assert values[1] is TEN
    assert kept.remember(["c", "b"], make) == [values[3], TEN]
    assert kept.remember([], make) == []
    assert made == [[0, 3]]


def test_what_is_too_large_to_be_kept_is_given_all_the_same():
    kept = Kept(0)
    assert kept.remember(["a", "a"], lambda new: [TEN]) == [TEN, TEN]
    assert len(kept) == 0


def test_what_could_not_be_made_is_tried_again():
    kept = Kept(100)

    def fail(new):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept.remember(["a"], fail)
    assert kept.remember(["a"], lambda new: [TEN])[0] is TEN


PICTURE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
ONE_MORE = PICTURE.copy()
ONE_MORE[2, 3, 1] ^= 1

# name: a picture with another content than PICTURE's
OTHERS = {
    "one value": ONE_MORE,
    "order of channels": PICTURE[..., ::-1],
    "another shape of the same bytes": PICTURE.reshape(6, 4, 3),
    "turned": PICTURE.transpose(1, 0, 2),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_picture_has_another_digest(other):
    assert digest(PICTURE) != digest(other)


def test_the_same_content_has_the_same_digest():
    upside_down = PICTURE[::-1].copy()[::-1]  # the same numbers, in another order in memory
    assert digest(PICTURE) == digest(PICTURE.copy()) == digest(upside_down)


# name: what it is, whether it can be told by its content
KINDS = {
    "a picture": (PICTURE, True),
    "floats": (PICTURE / 255, False),
    "a list": (PICTURE.tolist(), False),
    "nothing": (None, False),
}


@pytest.mark.parametrize(("x", "wanted"), KINDS.values(), ids=KINDS)
def test_only_pictures_are_told_by_their_content(x, wanted):
    assert is_picture(x) is wanted
