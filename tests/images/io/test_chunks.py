from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from drawing import examples
from napari_clipseg.images.io.chunks import BlockReader

SHAPE = (4, 30, 50)
VALUES = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)


def counted(chunks=(1, 8, 16)):
    """Return a dask array, and the shapes of the chunks that were computed of it."""
    computed = []

    def note(block):
        computed.append(block.shape)
        return block

    lazy = da.from_array(VALUES, chunks=chunks)
    return lazy.map_blocks(note, dtype=lazy.dtype, meta=np.empty((0, 0, 0), np.uint16)), computed


def in_zarr():
    array = zarr.create_array({}, shape=SHAPE, chunks=(2, 7, 11), dtype="u2")
    array[:] = VALUES
    return array


ARRAYS = {
    "numpy": lambda: VALUES,
    "dask": lambda: da.from_array(VALUES, chunks=(1, 8, 16)),
    "dask, uneven": lambda: da.from_array(VALUES, chunks=((4,), (1, 20, 9), (49, 1))),
    "zarr": in_zarr,
}


@examples(40)
@given(
    name=st.sampled_from(list(ARRAYS)),
    plane=st.integers(0, 3),
    rows=st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted),
    columns=st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted),
    most=st.sampled_from([0, 600, 10**6]),
)
def test_a_part_is_what_slicing_gives(name, plane, rows, columns, most):
    reader = BlockReader(ARRAYS[name](), most)
    index = (plane, slice(*rows), slice(*columns))
    for _ in range(2):
        np.testing.assert_array_equal(reader.read(index), VALUES[index])


@pytest.mark.parametrize("index", [np.s_[1, :, :], np.s_[1, ::3, 2:9], np.s_[0, 5:, :-4]], ids=str)
def test_open_and_stepped_slices(index):
    for make in ARRAYS.values():
        np.testing.assert_array_equal(BlockReader(make()).read(index), VALUES[index])


def test_a_chunk_is_computed_once_for_all_parts_that_touch_it():
    lazy, computed = counted()
    reader = BlockReader(lazy)
    for row in range(0, 28, 2):
        for column in range(0, 46, 3):
            reader.read(np.s_[2, row : row + 3, column : column + 5])
    assert len(computed) == 4 * 4  # the chunks of one plane


def test_nothing_but_the_chunks_that_are_touched_is_computed():
    lazy, computed = counted()
    BlockReader(lazy).read(np.s_[2, 9:14, 17:30])
    assert computed == [(1, 8, 16)]


def test_no_more_is_cached_than_allowed():
    lazy, computed = counted()
    most = 4 * 8 * 50 * 2  # four rows of chunks, which are the four of a plane
    reader = BlockReader(lazy, most)
    for plane in (0, 1):
        for row in (0, 8, 16, 24):
            reader.read(np.s_[plane, row : row + 8, :])
            assert 0 < reader.nbytes <= most
    assert len(computed) == 2 * 16
    reader.read(np.s_[1, 24:, :])  # read last, and still there
    assert len(computed) == 2 * 16
    reader.read(np.s_[0, :8, :])  # read first, and dropped since
    assert len(computed) == 2 * 16 + 4


def test_a_chunk_too_large_to_cache_is_sliced_where_it_lies():
    lazy, _ = counted(chunks=(4, 30, 50))
    reader = BlockReader(lazy, most_bytes=4000)
    np.testing.assert_array_equal(reader.read(np.s_[1, 2:4, 5:9]), VALUES[1, 2:4, 5:9])
    assert reader.nbytes == 0


def test_a_closed_reader_holds_and_reads_nothing():
    reader = BlockReader(counted()[0])
    reader.read(np.s_[0, :, :])
    assert reader.nbytes
    reader.close()
    assert reader.nbytes == 0
    with pytest.raises(ValueError, match=r"closed after a run\. Open it again: source\.open\(\)"):
        reader.read(np.s_[0, :, :])
