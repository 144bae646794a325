"""The labels of a map in a file: made in a hidden folder, and moved beside the map when whole."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.disk import (
    ZARR_SUFFIX,
    create_npy,
    hidden,
    require_map,
    tell_no_room,
)
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.ome_zarr import LABELS, NEWEST, list_labels
from napari_clipseg.images.io.pyramid import Pyramid

NAME = "objects"
SCRATCH_BYTES = 5  # a pixel of a plane, on the way
Int32 = NDArray[np.int32]
Plane = tuple[int, ...]
Box = tuple[slice, slice]


class LabelFile(ABC):
    """Labels that are written block by block, int32."""

    @abstractmethod
    def write(self, plane: Plane, box: Box, labels: Int32) -> None:
        """Write a part of a plane."""

    @abstractmethod
    def read(self, plane: Plane, box: Box) -> Int32:
        """Read a part of a plane that was written."""

    @abstractmethod
    def end_plane(self, plane: Plane) -> None:
        """Finish a plane that is complete."""

    @abstractmethod
    def finish(self) -> Any:
        """Move the labels beside the map.

        Returns
        -------
        memory map or dask array
            ``(*planes, height, width)``, int32.
        """


class _InNpy(LabelFile):
    def __init__(self, path: Path, extent: Extent, folder: Path) -> None:
        self._path, self._made = path, folder / f"{NAME}.npy"
        self._array: Any = create_npy(self._made, extent.shape, "int32")

    def write(self, plane: Plane, box: Box, labels: Int32) -> None:
        self._array[(*plane, *box)] = labels

    def read(self, plane: Plane, box: Box) -> Int32:
        return np.array(self._array[(*plane, *box)])

    def end_plane(self, plane: Plane) -> None:
        self._array.flush()

    def finish(self) -> Any:
        self._array = None  # Windows moves no open file
        path = _free(self._path.parent, f"{self._path.stem}.{NAME}", ".npy")
        self._made.rename(path)
        return np.load(path, mmap_mode="r")


class _InOmeZarr(LabelFile):
    def __init__(
        self, path: Path, extent: Extent, folder: Path, metadata: Mapping[str, Any]
    ) -> None:
        self._path = path
        beside = {"image-label": {"version": NEWEST, "source": {"image": "../../"}}}
        self._pyramid = Pyramid(folder / NAME, extent, labels=True).create(
            "int32", metadata, version=NEWEST, ome=beside
        )

    def write(self, plane: Plane, box: Box, labels: Int32) -> None:
        self._pyramid.write(plane, box, labels)

    def read(self, plane: Plane, box: Box) -> Int32:
        return self._pyramid.read(plane, box)

    def end_plane(self, plane: Plane) -> None:
        self._pyramid.end_plane(plane)

    def finish(self) -> Any:
        require_map(self._path)
        path = _free(self._path / LABELS, NAME, "")
        path.parent.mkdir(exist_ok=True)
        self._pyramid.move(path)
        list_labels(self._path, path.name)
        return self._pyramid.data


@contextmanager
def new_labels(
    path: Path, extent: Extent, metadata: Mapping[str, Any]
) -> Iterator[tuple[LabelFile, Path]]:
    """Make room for the labels of a map.

    Until they are finished, and for what is needed on the way, there is a hidden folder beside the
    map. It is removed at the end, whatever happens, unless the process is killed.

    Parameters
    ----------
    path : Path
        Of the map: a ``.npy`` file, or an OME-Zarr folder.
    extent : Extent
        Of the map.
    metadata : mapping
        Attributes to write into an OME-Zarr, beside those of the format.

    Yields
    ------
    LabelFile
        Where the labels are written. They go to ``labels/objects`` in the OME-Zarr of the map, or
        to ``NAME.objects.npy`` beside ``NAME.npy``; with a number where there are such already.
    Path
        A folder for what is needed on the way.

    Raises
    ------
    FileNotFoundError
        If the map is gone.
    OSError
        If the disk has no room.
    """
    in_zarr = path.suffix == ZARR_SUFFIX
    if in_zarr:
        require_map(path)
    room = math.prod(extent.shape) * 4 * (4 if in_zarr else 3) // 3
    room += extent.height * extent.width * SCRATCH_BYTES
    with tell_no_room(path, extent.shape, room, labels=True):
        folder = Path(tempfile.mkdtemp(prefix=f"{hidden(path)}.{NAME}-", dir=path.parent))
        try:
            scratch = folder / "scratch"
            scratch.mkdir()
            if in_zarr:
                yield _InOmeZarr(path, extent, folder, metadata), scratch
            else:
                yield _InNpy(path, extent, folder), scratch
        finally:
            shutil.rmtree(folder, ignore_errors=os.name == "nt")  # Windows: a file may be open


def _free(folder: Path, name: str, suffix: str) -> Path:
    """Return a path that is not taken."""
    path, number = folder / f"{name}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}{suffix}"
    return path
