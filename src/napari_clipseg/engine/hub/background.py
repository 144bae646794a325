"""What waits for a network runs in a thread of its own, so that it can be stopped meanwhile."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")

EVERY = 0.1  # seconds without anything new, after which the caller is asked
AHEAD = 4  # values that may wait for the caller


@dataclass(frozen=True)
class _End:
    """The iterator is exhausted, or raised an error."""

    error: BaseException | None = None


def background(make: Callable[[], Iterator[Value]]) -> Generator[Value | None, None, None]:
    """Yield what an iterator gives, and None each time nothing came for `EVERY` seconds.

    A socket that waits cannot be interrupted. So the thread is left alone when the generator is
    closed: it ends at its next value or at the time-out of its socket, and what it brings is
    dropped. It must not write to files.

    Parameters
    ----------
    make : callable
        Called in the thread. An error of the iterator is raised to the caller.
    """
    given = _Values[Value]()
    threading.Thread(
        target=given.fill, args=(make,), name="napari-clipseg download", daemon=True
    ).start()
    try:
        yield from given.taken()
    finally:
        given.wanted = False


def in_background(call: Callable[[], Value]) -> Generator[None, None, Value]:
    """Return what a call returns, which is not None; yield None each time `EVERY` seconds passed.

    See `background`.
    """
    with closing(background(lambda: iter([call()]))) as values:
        while (value := next(values)) is None:
            yield None
    return value


class _Values(Generic[Value]):
    """Values on their way from the thread to the caller."""

    def __init__(self) -> None:
        self.wanted = True
        self._queue: queue.Queue[Value | _End] = queue.Queue(AHEAD)

    def fill(self, make: Callable[[], Iterator[Value]]) -> None:
        try:
            values = make()
            for value in values:
                if not self._put(value):
                    break
        except BaseException as error:
            self._put(_End(error))
        else:
            self._put(_End())

    def taken(self) -> Generator[Value | None, None, None]:
        while True:
            try:
                value = self._queue.get(timeout=EVERY)
            except queue.Empty:
                yield None
                continue
            if not isinstance(value, _End):
                yield value
            elif value.error is None:
                return
            else:
                raise value.error

    def _put(self, value: Value | _End) -> bool:
        while self.wanted:
            try:
                self._queue.put(value, timeout=EVERY)
            except queue.Full:
                continue
            return True
        return False
