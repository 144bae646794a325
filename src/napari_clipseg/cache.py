"""Answers kept for the next time they are asked for, up to a number of bytes."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray


class Sized(Protocol):
    """What knows its size in bytes, such as an array or `Features`."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


Value = TypeVar("Value", bound=Sized)


class Kept(Generic[Value]):
    """A mapping that forgets what was not used for the longest, for use from several threads.

    Parameters
    ----------
    limit : int
        Bytes that the values may take together; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values: OrderedDict[str | bytes, Value] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def nbytes(self) -> int:
        """Bytes that the values take together."""
        return self._nbytes

    def get(self, key: str | bytes) -> Value | None:
        """Return what was kept under ``key``, if it still is."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def keep(self, key: str | bytes, value: Value) -> None:
        """Keep ``value``, and forget the longest unused that it has no room beside."""
        with self._lock:
            if key in self._values:
                self._nbytes -= self._values.pop(key).nbytes
            self._values[key] = value
            self._nbytes += value.nbytes
            while self._nbytes > self.limit:
                self._nbytes -= self._values.popitem(last=False)[1].nbytes

    def remember(
        self, keys: Sequence[str | bytes], make: Callable[[list[int]], Sequence[Value]]
    ) -> list[Value]:
        """Return the value of each key.

        Parameters
        ----------
        keys : sequence of str or bytes
            Which may hold a key more than once.
        make : callable
            Gets the numbers of the keys whose values are not kept, each key once, and
            returns their values; these are then kept. Not called if there are none.
        """
        first: dict[str | bytes, int] = {}
        for i, key in enumerate(keys):
            first.setdefault(key, i)
        known = {key: value for key in first if (value := self.get(key)) is not None}
        new = [i for key, i in first.items() if key not in known]
        for i, value in zip(new, make(new) if new else (), strict=True):
            known[keys[i]] = value
            self.keep(keys[i], value)
        return [known[key] for key in keys]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._nbytes = 0


def is_picture(x: object) -> bool:
    """Return whether this has a `digest`: an array of bytes."""
    return isinstance(x, np.ndarray) and x.dtype == np.uint8


def digest(picture: NDArray[np.uint8]) -> bytes:
    """Return a key for the content of a picture.

    Hashing takes about a millisecond a megabyte: as long as bringing the picture to the
    model's square, and far less than encoding it.
    """
    # With the shape: a plain picture on its side has the same bytes.
    shape = str(picture.shape).encode()
    return hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=16, key=shape).digest()


class ByteCache(Generic[Value]):
    """A mapping of the values used last, up to a number of bytes; for several threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes that the values take together."""
        return self._nbytes

    def get(self, key: Hashable) -> Value | None:
        """Return the value of a key, if it is cached."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Hashable, value: Value) -> None:
        """Cache a value, and drop those that were not used for longest."""
        with self._lock:
            if key in self._values:
                self._nbytes -= self._values.pop(key).nbytes
            self._values[key] = value
            self._nbytes += value.nbytes
            while self._nbytes > self.limit:
                self._nbytes -= self._values.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._values.clear()
            self._nbytes = 0
