from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_clipseg.cache import ByteCache, content_digest

TEN = np.zeros(10, np.uint8)


def test_get_returns_what_was_put():
    cache = ByteCache(100)
    cache.put("a", TEN)
    assert cache.get("a") is TEN
    assert cache.get("b") is None
    assert (len(cache), cache.nbytes) == (1, 10)


def test_put_drops_the_least_recently_used():
    cache = ByteCache(30)
    for key in "abc":
        cache.put(key, TEN)
    cache.get("a")
    cache.put("d", TEN)
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]


def test_put_counts_the_same_key_once():
    cache = ByteCache(100)
    cache.put("a", TEN)
    cache.put("a", TEN[:4])
    assert (len(cache), cache.nbytes) == (1, 4)


@pytest.mark.parametrize("limit", [0, 9])
def test_put_drops_what_is_larger_than_the_limit(limit):
    cache = ByteCache(limit)
    cache.put("a", TEN)
    assert (len(cache), cache.nbytes) == (0, 0)


def test_clear():
    cache = ByteCache(100)
    cache.put("a", TEN)
    cache.clear()
    assert (len(cache), cache.nbytes, cache.get("a")) == (0, 0, None)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 40))), st.integers(0, 100))
def test_nbytes_is_never_larger_than_the_limit(steps, limit):
    cache = ByteCache(limit)
    for key, size in steps:
        value = np.zeros(size, np.uint8)
        cache.put(key, value)
        assert cache.get(key) is (value if size <= limit else None)
        assert cache.nbytes == sum(x.nbytes for k in "abcde" if (x := cache.get(k)) is not None)
        assert cache.nbytes <= limit


def test_nbytes_is_right_after_puts_from_several_threads():
    cache = ByteCache(500)

    def use(number):
        for i in range(300):
            cache.put(f"{(number * i) % 97}", np.zeros(i % 20, np.uint8))
            cache.get(f"{i % 97}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(1, 9)))
    values = [x for i in range(97) if (x := cache.get(f"{i}")) is not None]
    assert (len(cache), cache.nbytes) == (len(values), sum(x.nbytes for x in values))


def test_get_or_make_makes_each_value_once():
    cache, made = ByteCache(100), []

    def make(new):
        made.append(new)
        return [np.full(3, i, np.uint8) for i in new]

    cache.put("b", TEN)
    values = cache.get_or_make(["a", "b", "a", "c"], make)
    assert made == [[0, 3]]
    assert [x[0] for x in values] == [0, 0, 0, 3]
    assert values[1] is TEN
    assert cache.get_or_make(["c", "b"], make) == [values[3], TEN]
    assert cache.get_or_make([], make) == []
    assert made == [[0, 3]]


def test_get_or_make_returns_what_is_too_large_to_be_cached():
    cache = ByteCache(0)
    assert cache.get_or_make(["a", "a"], lambda new: [TEN]) == [TEN, TEN]
    assert len(cache) == 0


def test_get_or_make_tries_again_after_an_error():
    cache = ByteCache(100)

    def fail(new):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cache.get_or_make(["a"], fail)
    assert cache.get_or_make(["a"], lambda new: [TEN])[0] is TEN


IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
ONE_MORE = IMAGE.copy()
ONE_MORE[2, 3, 1] ^= 1

# name: an array with another content than IMAGE's
OTHERS = {
    "one value": ONE_MORE,
    "order of channels": IMAGE[..., ::-1],
    "another shape of the same bytes": IMAGE.reshape(6, 4, 3),
    "turned": IMAGE.transpose(1, 0, 2),
    "another type of the same bytes": IMAGE.view(np.int8),
    "another byte order": IMAGE.astype(">u2"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_content_digest_of_another_array_is_another(other):
    assert content_digest(IMAGE) != content_digest(other)


def test_content_digest_of_the_same_content_is_the_same():
    upside_down = IMAGE[::-1].copy()[::-1]  # the same numbers, in another order in memory
    assert content_digest(IMAGE) == content_digest(IMAGE.copy()) == content_digest(upside_down)


@given(
    hnp.arrays(
        st.one_of(hnp.scalar_dtypes(), hnp.byte_string_dtypes(), hnp.array_dtypes()),
        hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
        fill=st.nothing(),
    )
)
def test_content_digest_takes_any_dtype_and_shape(array):
    assert content_digest(array) == content_digest(np.array(array, copy=True))
    assert content_digest(array) != content_digest(array[None])
    assert len(content_digest(array)) == 16


def test_content_digest_refuses_objects():
    with pytest.raises(TypeError, match="array of object; wanted one of plain values"):
        content_digest(np.array([None]))
