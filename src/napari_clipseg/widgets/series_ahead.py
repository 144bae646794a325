"""Images of a series, read and labelled ahead in a thread, and their labels written in another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined]

from napari_clipseg.cache import content_digest
from napari_clipseg.files.formats.records import record_of
from napari_clipseg.images.io.axes import CHANNEL, COLUMN, ROW, SAMPLE
from napari_clipseg.images.labels.storage import label_dtype
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import DIGEST, EDITED, Segmentation
from napari_clipseg.segmentation import segment
from napari_clipseg.widgets.series_folder import Labels, Opened, SeriesFolder
from napari_clipseg.widgets.worker import Failure


class Ahead(QObject):
    """Reads the images of a series, before they are asked for where it can, and writes labels.

    All methods and callbacks belong to the GUI thread.

    Parameters
    ----------
    series : SeriesFolder
        The images.
    opened : callable
        Called with the number of an image that was asked for, and what it is or a `Failure`.
    failed : callable
        Called with an error of writing.
    """

    # Of our own: superqt's workers change the filter of warnings of the whole process.
    _opened = Signal(object, object)
    _failed = Signal(object)

    def __init__(
        self,
        series: SeriesFolder,
        *,
        opened: Callable[[int, Opened | Failure], None],
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__()
        self._series, self._call = series, opened
        self._reading = ThreadPoolExecutor(1, "napari-clipseg-series")
        self._writing = ThreadPoolExecutor(1, "napari-clipseg-labels")
        self._known: dict[int, tuple[Recipe | None, Future[Opened | Failure]]] = {}
        self._written: dict[int, Future[None]] = {}
        self._digests: dict[int, bytes] = {}  # of labels as they are in files
        self._asked: Future[Opened | Failure] | None = None
        self._closed = threading.Event()
        self._opened.connect(self._on_opened)
        self._failed.connect(failed)

    def ask(self, number: int, recipe: Recipe | None) -> None:
        """Open an image; at once if it was read ahead.

        Parameters
        ----------
        number : int
            Which image.
        recipe : Recipe, optional
            What labels it, if it has no labels yet.
        """
        future = self._asked = self._future(number, recipe)
        if future.done():
            self._on_opened(number, future)
        else:
            future.add_done_callback(lambda done: self._opened.emit(number, done))

    def prepare(self, numbers: dict[int, Recipe | None]) -> None:
        """Read these images ahead, and let go of all others."""
        self._known = {number: one for number, one in self._known.items() if number in numbers}
        for number, recipe in numbers.items():
            self._future(number, recipe)

    def write(self, number: int, image: Opened, labels: NDArray[Any]) -> None:
        """Write the labels of an image, unless they are as in the file."""
        self._known.pop(number, None)  # it was read with the labels before
        self._written[number] = self._writing.submit(self._write, number, image, np.array(labels))

    def close(self) -> None:
        """Wait until all labels are written."""
        self._closed.set()
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._writing.shutdown(wait=True)

    def _future(self, number: int, recipe: Recipe | None) -> Future[Opened | Failure]:
        known = self._known.get(number)
        if known is not None and known[0] == recipe:
            return known[1]
        if known is not None:
            known[1].cancel()
        written = self._written.get(number)
        future = self._reading.submit(self._open, number, recipe, written)
        self._known[number] = recipe, future
        return future

    def _open(
        self, number: int, recipe: Recipe | None, written: Future[None] | None
    ) -> Opened | Failure:
        if written is not None:
            written.result()
        try:
            image = self._series.open(number)
            if not image.labelled and recipe is not None:
                image = labelled(image, segment(image.source, recipe))
            digest = content_digest(image.labels)
            if image.labelled:
                self._digests[number] = digest
            if image.record is not None:
                image = replace(image, record={**image.record, DIGEST: digest.hex()})
        except Exception as error:
            return Failure(error)
        return image

    def _write(self, number: int, image: Opened, labels: Labels) -> None:
        digest = content_digest(labels)
        known = self._digests.get(number)
        if digest == known or (known is None and not labels.any()):
            return
        try:
            self._series.save(number, _as_edited(image, digest), labels)
        except Exception as error:
            if not self._closed.is_set():
                self._failed.emit(error)
        else:
            self._digests[number] = digest

    def _on_opened(self, number: int, future: Future[Opened | Failure]) -> None:
        if future is self._asked and not self._closed.is_set() and not future.cancelled():
            self._call(number, future.result())


def labelled(image: Opened, result: Segmentation) -> Opened:
    """Return an image with the labels of a result, and what is recorded with it."""
    labels = labels_on(image, result)
    record = record_of(result, str(label_dtype(labels)), Path(image.source.name))
    # The labels are those of all pixels, also if a coarser level was segmented.
    return replace(image, labels=labels, record={**record, "extent": image.extent.to_dict()})


def _as_edited(image: Opened, digest: bytes) -> Opened:
    """Return an image with the record of labels that have this digest."""
    if image.record is None:
        return image
    record = {name: value for name, value in image.record.items() if name != DIGEST}
    if image.record[DIGEST] != digest.hex():
        record[EDITED] = True
    return replace(image, record=record)


def labels_on(image: Opened, result: Segmentation) -> Labels:
    """Return the labels of a result on all pixels of the image."""
    source, labels = image.source, np.asarray(result.labels)
    kept = [name for name in source.axes if name not in (CHANNEL, SAMPLE)]
    extent, found = result.extent, np.zeros(image.labels.shape, np.int32)
    order = [*extent.axes, ROW, COLUMN]
    # Of a coarser level, each pixel stands for those under it.
    rows, columns = (
        np.clip(((np.arange(length) + 0.5) / factor).astype(int), 0, size - 1)
        for length, factor, size in zip(source.shape, extent.factor, labels.shape[-2:], strict=True)
    )
    whole = labels[..., rows[:, None], columns]
    found[...] = whole.transpose([order.index(name) for name in kept])
    return found
