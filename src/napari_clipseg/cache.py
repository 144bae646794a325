"""A cache with a bound in bytes, and a hash of an array's content to be its key."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray


class Sized(Protocol):
    """A value that knows its size, such as an array or `Features`."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""


Value = TypeVar("Value", bound=Sized)


class ByteCache(Generic[Value]):
    """A cache that drops the least recently used values; safe from several threads.

    Parameters
    ----------
    limit : int
        Bytes that all values together may have; with 0 nothing is cached.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.cache import ByteCache
    >>> cache = ByteCache(limit=100)
    >>> cache.put("a", np.zeros(60, np.uint8))
    >>> cache.put("b", np.zeros(60, np.uint8))  # no room beside "a", which is dropped
    >>> cache.get("a") is None, cache.nbytes
    (True, 60)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def nbytes(self) -> int:
        """Size of all values in bytes."""
        with self._lock:  # else a value is counted that others are about to give way to
            return self._nbytes

    def get(self, key: Hashable) -> Value | None:
        """Return the value of ``key``, or None if it is not cached."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Cache ``value``, and drop the least recently used values beyond the limit."""
        with self._lock:
            if key in self._values:
                self._nbytes -= self._values.pop(key).nbytes
            self._values[key] = value
            self._nbytes += value.nbytes
            while self._nbytes > self.limit:
                self._nbytes -= self._values.popitem(last=False)[1].nbytes

    def get_or_make(
        self, keys: Sequence[Hashable], make: Callable[[list[int]], Sequence[Value]]
    ) -> list[Value]:
        """Return the value of each key, and make the values that are not cached.

        Parameters
        ----------
        keys : sequence of hashable
            A key may be repeated.
        make : callable
            Gets the positions in ``keys`` of those that are not cached, each key once, and
            returns their values, which are then cached. Not called if all are cached.

        Returns
        -------
        list
            One value for each key, in order.
        """
        first: dict[Hashable, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)
        known = {key: value for key in first if (value := self.get(key)) is not None}
        new = [i for key, i in first.items() if key not in known]
        for i, value in zip(new, make(new) if new else (), strict=True):
            known[keys[i]] = value
            self.put(keys[i], value)
        return [known[key] for key in keys]

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._values.clear()
            self._nbytes = 0


def content_digest(array: NDArray[Any]) -> bytes:
    """Return a hash of an array's values, dtype and shape, wherever they are in memory.

    It takes about a millisecond for a megabyte.

    Raises
    ------
    TypeError
        If the array holds Python objects.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.cache import content_digest
    >>> image = np.zeros((4, 6), np.uint8)
    >>> content_digest(image) == content_digest(image.copy())
    True
    >>> content_digest(image) == content_digest(image.reshape(6, 4))
    False
    """
    if array.dtype.hasobject:
        raise TypeError(f"Got an array of {array.dtype}; wanted one of plain values, not objects.")
    hasher = hashlib.blake2b(f"{array.dtype} {array.shape} ".encode(), digest_size=16)
    hasher.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return hasher.digest()
