"""What takes long to load is loaded in a thread while the window is idle, not when it is needed."""

from __future__ import annotations

import threading

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

IDLE_MS = 1500  # after the dock was opened

_begun = threading.Event()


def warm_up_soon(widget: QWidget) -> None:
    """Load PyTorch, and compile what napari draws labels with, a moment after this; once only.

    Loading holds Python's lock for some tenths of a second: nobody notices before the first run is
    asked for. If the widget is gone by then, nothing is loaded.
    """
    timer = QTimer(widget)
    timer.setSingleShot(True)
    timer.timeout.connect(_begin)
    timer.start(IDLE_MS)


def _begin() -> None:
    if not _begun.is_set():
        _begun.set()
        Image(np.zeros((1, 1), np.uint8))  # units are not loaded in two threads at once
        threading.Thread(target=_load, name="napari-clipseg warm-up").start()


def _load() -> None:
    try:
        blank = np.zeros((2, 2), np.int32)
        Labels(blank)
        Labels(blank, colormap={0: "transparent", None: "white", 1: "magenta"})
    except Exception:  # the run itself says what is wrong
        _begun.clear()
