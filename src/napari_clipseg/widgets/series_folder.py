"""A folder of images that are labelled one after the other: labels and marks beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.files.formats.records import find_record
from napari_clipseg.files.formats.tiff import write_without_table
from napari_clipseg.files.inputs import find_inputs
from napari_clipseg.files.ledger import write_whole
from napari_clipseg.files.readers import AT_ONCE, read_image
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.layers import from_layer_order, to_layer_order
from napari_clipseg.images.io.source import Source

FOLDER = "labels"  # in the folder of the images
SUFFIX = ".labels.ome.tif"
MARKS = "done.json"
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Opened:
    """An image of a series.

    Attributes
    ----------
    source : Source
        The image; in memory, unless it is large.
    labels : ndarray of int32
        Of the image's shape without channels and colors; 0 where there is no file of labels.
    labelled : bool
        Whether there is one.
    record : mapping, optional
        What is recorded with the result that the labels come from, its recipe first of all; None
        for labels that were painted from the beginning.
    """

    source: Source
    labels: Labels
    labelled: bool
    record: Mapping[str, Any] | None = None

    @property
    def extent(self) -> Extent:
        """That of the whole image."""
        source = self.source
        return Extent(
            axes=source.plane_axes,
            planes_shape=source.planes_shape,
            planes=tuple(np.ndindex(source.planes_shape)),
            height=source.shape[0],
            width=source.shape[1],
            spacing=source.spacing,
            translation=source.translation,
            unit=source.unit,
            z_spacing=source.z_spacing,
            z_translation=source.z_translation,
        )


class SeriesFolder:
    """The images of a folder, their labels, and which are done.

    Labels are in ``labels/NAME.labels.ome.tif``, marks in ``labels/done.json``. Both are replaced
    whole: a process that is killed leaves the old ones or the new ones.

    Parameters
    ----------
    folder : Path
        Of the images; folders within it do not count.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds no image.

    Examples
    --------
    >>> from pathlib import Path
    >>> np.save("cells.npy", np.zeros((8, 9), np.uint8))
    >>> series = SeriesFolder(Path("."))
    >>> series.names, series.open(0).labels.shape
    (['cells.npy'], (8, 9))
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}. Choose another one.")
        self._folder = folder
        self._paths = [one.path for one in find_inputs([folder]).images]
        if not self._paths:
            raise ValueError(f"{folder} holds no image that can be read. Choose another folder.")
        self._done = self._read_marks()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._paths)

    @property
    def names(self) -> list[str]:
        """The names of the images, in natural order."""
        return [path.name for path in self._paths]

    def open(self, number: int) -> Opened:
        """Read an image and its labels.

        Raises
        ------
        FileNotFoundError, ValueError
            If the image or its labels cannot be read; the message says why.
        """
        source = read_image(self._paths[number])
        if source.levels[0].nbytes <= AT_ONCE:
            source = replace(source, levels=tuple(np.asarray(one) for one in source.levels))
        shape = (*source.planes_shape, *source.shape)
        path = self.labels_path(number)
        known = path.exists()
        labels = _read_labels(path, shape) if known else np.zeros(shape, np.int32)
        record = find_record(path) if known else None
        return Opened(source, to_layer_order(labels, source.axes), known, record)

    def labels_path(self, number: int) -> Path:
        """Return where the labels of an image are."""
        return self._folder / FOLDER / f"{self._paths[number].name}{SUFFIX}"

    def save(self, number: int, image: Opened, labels: NDArray[Any]) -> None:
        """Write the labels of an image as OME-TIFF, with the record of the image's labels.

        Raises
        ------
        OSError
            If they cannot be written; those that were there stay.
        """
        buffer = io.BytesIO()
        values = from_layer_order(labels, image.source.axes)
        write_without_table(values, buffer, image.extent, image.record)
        path = self.labels_path(number)
        path.parent.mkdir(exist_ok=True)
        write_whole(path, buffer.getvalue())

    def is_done(self, number: int) -> bool:
        """Return whether an image is marked."""
        return self._paths[number].name in self._done

    def mark(self, number: int, done: bool) -> None:
        """Mark an image as done, or not.

        Raises
        ------
        OSError
            If the mark cannot be written; it stays as it was.
        """
        name = self._paths[number].name
        marks = self._done | {name} if done else self._done - {name}
        path = self._folder / FOLDER / MARKS
        path.parent.mkdir(exist_ok=True)
        write_whole(path, json.dumps({"done": sorted(marks)}, indent=1).encode())
        self._done = marks

    def _read_marks(self) -> set[str]:
        path = self._folder / FOLDER / MARKS
        if not path.exists():
            return set()
        try:
            return set(map(str, json.loads(path.read_text(encoding="utf-8"))["done"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} holds no marks ({error}); wanted a JSON file with a list named 'done'. "
                f"Repair it, or delete it."
            ) from error


def _read_labels(path: Path, shape: tuple[int, ...]) -> Labels:
    import tifffile

    try:
        values = tifffile.imread(path)
    except (tifffile.TiffFileError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as labels: {error}. Delete it.") from error
    if values.size != np.prod(shape):
        raise ValueError(
            f"The labels in {path} have shape {values.shape}, their image {shape}. Move them away, "
            f"or bring back the image that they are of."
        )
    labels: Labels = values.reshape(shape).astype(np.int32)
    return labels
