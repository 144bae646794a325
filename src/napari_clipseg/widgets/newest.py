"""Work in a thread of which only the newest counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_clipseg.widgets.worker import Failure

Step = Callable[[Any], None]


class Newest(QObject):
    """Does the same work for one question after the other; a newer question stops an older one.

    What an older question gave is dropped. All methods and callbacks belong to the GUI thread.

    Parameters
    ----------
    work : callable
        Called in a thread with the question, and with a function to be called before each step
        with what is to be told, such as what comes next, or None; that raises to stop the work.
    told : callable
        Called with what was told, but for None.
    returned : callable
        Called with the question and what `work` returned, or a `Failure`.
    """

    # Of our own, as superqt's workers change the filter of warnings of the whole process, and
    # two that overlap leave it changed.
    _told = Signal(object, object)
    _ended = Signal(object, object)

    def __init__(
        self,
        work: Callable[[Any, Step], Any],
        *,
        told: Callable[[Any], None],
        returned: Callable[[Any, Any], None],
    ) -> None:
        super().__init__()
        self._work, self._tell, self._returned = work, told, returned
        self._stop: threading.Event | None = None  # of the work that is on
        self._question: Any = None
        self._waiting: list[Any] = []  # at most one
        self._told.connect(self._on_told)
        self._ended.connect(self._on_ended)

    @property
    def busy(self) -> bool:
        """Whether there is something whose answer will count."""
        return bool(self._waiting) or (self._stop is not None and not self._stop.is_set())

    def ask(self, question: Any) -> None:
        """Work for this question; what is on is stopped first."""
        self._waiting = [question]
        if self._stop is None:
            self._start()
        else:
            self._stop.set()

    def stop(self) -> None:
        """Drop what is on, and what waits."""
        self._waiting = []
        if self._stop is not None:
            self._stop.set()

    def _start(self) -> None:
        self._stop = threading.Event()
        self._question = self._waiting.pop()
        threading.Thread(
            target=self._do, args=(self._question, self._stop), name="napari-clipseg"
        ).start()

    def _do(self, question: Any, stop: threading.Event) -> None:
        def step(message: Any) -> None:
            if stop.is_set():
                raise _StoppedError
            if message is not None:
                self._told.emit(stop, message)

        outcome: Any = None
        try:
            outcome = self._work(question, step)
        except _StoppedError:
            pass
        except Exception as error:
            outcome = Failure(error)
        self._ended.emit(stop, outcome)

    def _on_told(self, stop: threading.Event, message: Any) -> None:
        if not stop.is_set():
            self._tell(message)

    def _on_ended(self, stop: threading.Event, outcome: Any) -> None:
        question, self._question, self._stop = self._question, None, None
        if self._waiting:
            self._start()
        if not stop.is_set():
            self._returned(question, outcome)


class _StoppedError(Exception):
    """Work that is not wanted any more."""
