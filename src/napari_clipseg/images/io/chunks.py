"""Parts of a chunked array, read chunk by chunk; the latest chunks are cached.

Tiles are smaller than chunks, or lie across them: without a cache, a chunk would be computed or
decoded anew for each tile that touches it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.cache import ByteCache

# Two rows of chunks of 1000 x 1000 in uint16, for an image 100,000 pixels wide.
MOST_BYTES = 400 * 2**20
Index = tuple[int | slice, ...]


class BlockReader:
    """Reads parts of one array, and caches the chunks that it read last.

    Parameters
    ----------
    data : array-like
        A dask array, or one whose ``chunks`` are sizes, as those of zarr and HDF5 are. Others are
        read directly.
    most_bytes : int
        Limit of the cache.
    """

    def __init__(self, data: Any, most_bytes: int = MOST_BYTES) -> None:
        self._data = data
        self._edges = _edges(data)
        self._dtype = np.dtype(data.dtype)
        if is_masked(data):  # what is masked becomes NaN
            self._dtype = np.result_type(data.dtype, np.float32)
        self._cache: ByteCache[NDArray[Any]] = ByteCache(most_bytes)
        self._closed = False
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Size of the cached chunks."""
        return self._cache.nbytes

    def close(self) -> None:
        """Drop the cached chunks; nothing can be read afterwards."""
        self._closed = True
        self._cache.clear()

    def read(self, index: Index) -> NDArray[Any]:
        """Return ``data[index]``, for an index of one integer or slice per axis.

        Of a masked array, floats with NaN where it is masked.

        Raises
        ------
        ValueError
            If the reader is closed.
        """
        if self._closed:
            raise ValueError("The image was closed after a run. Open it again: source.open().")
        spans = [
            None if isinstance(one, int) else one.indices(length)
            for one, length in zip(index, self._data.shape, strict=True)
        ]
        if self._edges is None or any(span and span[2] != 1 for span in spans):
            return self._plain(self._data[index])
        sliced = [axis for axis, span in enumerate(spans) if span]
        wanted = [_touched(self._edges[axis], *spans[axis][:2]) for axis in sliced]  # type: ignore[index]
        largest = self._dtype.itemsize
        for parts in wanted:
            largest *= max((stop - start for start, stop in parts), default=0)
        if not largest or largest > self._cache.limit // 4:
            return self._plain(self._data[index])
        with self._lock:
            return self._assembled(index, spans, sliced, wanted)

    def _assembled(
        self,
        index: Index,
        spans: Sequence[tuple[int, int, int] | None],
        sliced: Sequence[int],
        wanted: Sequence[Sequence[tuple[int, int]]],
    ) -> NDArray[Any]:
        blocks = [self._block(index, sliced, parts) for parts in product(*wanted)]
        found = self._fetch(blocks)
        firsts = [spans[axis][0] for axis in sliced]  # type: ignore[index]
        lasts = [spans[axis][1] for axis in sliced]  # type: ignore[index]
        shape = [last - first for first, last in zip(firsts, lasts, strict=True)]
        result = np.empty(shape, self._dtype)
        for parts, values in zip(product(*wanted), found, strict=True):
            there, here = [], []
            for (start, stop), first, last in zip(parts, firsts, lasts, strict=True):
                low, high = max(start, first), min(stop, last)
                there.append(slice(low - first, high - first))
                here.append(slice(low - start, high - start))
            result[tuple(there)] = values[tuple(here)]
        return result

    def _block(
        self, index: Index, sliced: Sequence[int], parts: Sequence[tuple[int, int]]
    ) -> tuple[Any, ...]:
        """Return the index of a chunk: an integer, or (start, stop), for each axis."""
        block: list[Any] = list(index)
        for axis, part in zip(sliced, parts, strict=True):
            block[axis] = part
        return tuple(block)

    def _fetch(self, blocks: Sequence[tuple[Any, ...]]) -> list[NDArray[Any]]:
        cached = {block: self._cache.get(block) for block in blocks}
        found = {block: values for block, values in cached.items() if values is not None}
        missing = [block for block in cached if block not in found]
        lazy = [
            self._data[tuple(slice(*one) if isinstance(one, tuple) else one for one in block)]
            for block in missing
        ]
        if hasattr(self._data, "dask"):
            from dask.base import compute

            lazy = compute(*lazy)  # in several threads
        for block, values in zip(missing, lazy, strict=True):
            found[block] = self._plain(values)
            self._cache.put(block, found[block])
        return [found[block] for block in blocks]

    def _plain(self, values: Any) -> NDArray[Any]:
        if isinstance(values, np.ma.MaskedArray):
            return np.ma.filled(values.astype(self._dtype), np.nan)
        return np.asarray(values)


def is_masked(data: Any) -> bool:
    """Return whether this is a masked array, or a dask array of such."""
    return isinstance(getattr(data, "_meta", data), np.ma.MaskedArray)


def _edges(data: Any) -> list[NDArray[np.int_]] | None:
    """Return the edges of the chunks along each axis, or None for data without chunks."""
    chunks = getattr(data, "chunks", None)
    if not chunks or len(chunks) != len(data.shape):
        return None
    edges = []
    for sizes, length in zip(chunks, data.shape, strict=True):
        if isinstance(sizes, tuple):
            edges.append(np.concatenate([[0], np.cumsum(sizes)]))
        else:
            edges.append(np.append(np.arange(0, length, sizes), length))
    return edges


def _touched(edges: NDArray[np.int_], start: int, stop: int) -> list[tuple[int, int]]:
    """Return start and end of each chunk that a part of an axis touches."""
    first = max(0, int(np.searchsorted(edges, start, side="right")) - 1)
    last = int(np.searchsorted(edges, stop, side="left"))
    return [(int(edges[i]), int(edges[i + 1])) for i in range(first, last)]
