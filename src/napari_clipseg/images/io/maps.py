"""Probability maps that are written in memory, in a memory map, or in OME-Zarr."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.disk import (
    ZARR_SUFFIX,
    create_npy,
    output_path,
    require_map,
    tell_no_room,
)
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.ome_zarr import write_attributes
from napari_clipseg.images.io.pyramid import Pyramid
from napari_clipseg.images.probability import FULL, Float32

DType = Literal["float32", "float16", "uint8"]
DTYPES = ("float32", "float16", "uint8")
# Share of the free memory that the maps may take: napari and the labels need the rest.
SHARE_OF_MEMORY = 0.5


class MapTooLargeError(MemoryError):
    """A map would not fit into memory.

    Attributes
    ----------
    facts : str
        What it would take, and what there is.
    cure : str
        What can be done in Python.
    """

    def __init__(self, facts: str, cure: str) -> None:
        super().__init__(f"{facts} {cure}")
        self.facts, self.cure = facts, cure


class ProbabilityMap(ABC):
    """Probability maps that are written band by band.

    Parameters
    ----------
    dtype : str
        "float32", "float16", or "uint8", in which 255 stands for 1.
    """

    def __init__(self, dtype: DType) -> None:
        self.dtype = np.dtype(dtype)

    @property
    @abstractmethod
    def data(self) -> Any:
        """``(maps, *planes, height, width)``: an array, or a dask array of a file."""

    def write(self, plane: tuple[int, ...], rows: slice, probability: Float32) -> None:
        """Write rows of a plane: ``(maps, rows, width)``, 0 to 1."""
        if self.dtype == np.uint8:
            probability = np.rint(probability * FULL)
        self.put(plane, rows, probability.astype(self.dtype, copy=False))

    @abstractmethod
    def put(self, plane: tuple[int, ...], rows: slice, values: NDArray[Any]) -> None:
        """Write rows of a plane as they are stored: ``(maps, rows, width)``, in `dtype`."""

    @abstractmethod
    def end_plane(self, plane: tuple[int, ...]) -> None:
        """Finish a plane that is complete."""

    @abstractmethod
    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Record that all maps are complete, if they have attributes."""


class InArray(ProbabilityMap):
    """Maps in memory, or in a memory-mapped ``.npy`` file."""

    def __init__(self, array: NDArray[Any], dtype: DType) -> None:
        super().__init__(dtype)
        self._array = array

    @property
    def data(self) -> NDArray[Any]:
        """The array itself."""
        return self._array

    def put(self, plane: tuple[int, ...], rows: slice, values: NDArray[Any]) -> None:
        """Write rows of a plane as they are stored."""
        where: tuple[int | slice, ...] = (slice(None), *plane, rows)
        self._array[where] = values

    def end_plane(self, plane: tuple[int, ...]) -> None:
        """Write buffered values of a memory map to its file."""
        if isinstance(self._array, np.memmap):
            self._array.flush()

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Do nothing: an array has no attributes."""


class InOmeZarr(ProbabilityMap):
    """Maps as channels of an OME-Zarr image; see `create_ome_zarr` for the options."""

    _labels = False  # whether they are labels, which have no channels

    def __init__(
        self,
        path: Path,
        extent: Extent,
        maps: int,
        dtype: DType,
        metadata: Mapping[str, Any],
        **options: Any,
    ) -> None:
        super().__init__(dtype)
        self._path, self._maps = path, maps
        nbytes = maps * math.prod(extent.shape) * self.dtype.itemsize * 4 // 3  # and coarser levels
        self._room = partial(tell_no_room, path, (maps, *extent.shape), nbytes, incomplete=True)
        with self._room():
            pyramid = Pyramid(
                path, extent, maps=None if self._labels else maps, labels=self._labels
            )
            self._pyramid = pyramid.create(dtype, metadata, **options)

    @property
    def data(self) -> Any:
        """A dask array of the finest level, maps first."""
        return self._pyramid.data

    def put(self, plane: tuple[int, ...], rows: slice, values: NDArray[Any]) -> None:
        """Write rows of a plane as they are stored."""
        require_map(self._path)
        with self._room():
            for number, one in enumerate(values):
                self._pyramid.write(plane, (rows, slice(None)), one, number)

    def end_plane(self, plane: tuple[int, ...]) -> None:
        """Fill the coarser levels."""
        with self._room():
            for number in range(self._maps):
                self._pyramid.end_plane(plane, number)

    def finish(self, metadata: Mapping[str, Any]) -> None:
        """Replace the attributes that were written at the start."""
        with self._room():
            write_attributes(self._path, metadata)


def open_map(path: Path, extent: Extent, maps: int) -> Any:
    """Return ``(maps, *planes, height, width)``: a dask array of maps in an OME-Zarr.

    Raises
    ------
    ValueError
        If they have another shape.
    """
    return Pyramid(path, extent, maps=maps).open().data


def create_map(
    extent: Extent,
    maps: int,
    *,
    output: str | Path | None = None,
    dtype: DType = "float32",
    metadata: Mapping[str, Any] | None = None,
) -> ProbabilityMap:
    """Make room for the maps of a run, all zero.

    Parameters
    ----------
    extent : Extent
        What part of the image they cover.
    maps : int
        How many there are, one per prompt.
    output : str or Path, optional
        A new ``.npy`` file (mapped into memory) or ``.zarr`` folder (OME-Zarr); memory by
        default.
    dtype : "float32", "float16" or "uint8"
        Type of the values; in uint8, 255 stands for probability 1.
    metadata : mapping, optional
        Attributes to write into an OME-Zarr map, beside those of the format.

    Raises
    ------
    ValueError
        If the type or the suffix of the path is another one.
    MemoryError
        If the map would take more than half of the free memory.
    FileExistsError
        If the path exists.
    FileNotFoundError
        If its folder does not.
    OSError
        If the disk has no room for the map. A ``.npy`` file is refused beforehand; how far an
        OME-Zarr compresses is known only while it is written.
    """
    if dtype not in DTYPES:
        raise ValueError(f"Got the type {dtype!r} for the map; wanted one of {', '.join(DTYPES)}.")
    shape = (maps, *extent.shape)
    if output is None:
        _require_memory(shape, dtype)
        return InArray(np.zeros(shape, dtype), dtype)
    path = output_path(output)
    if path.suffix == ZARR_SUFFIX:
        return InOmeZarr(path, extent, maps, dtype, metadata or {})
    return InArray(create_npy(path, shape, dtype), dtype)


def _require_memory(shape: tuple[int, ...], dtype: DType) -> None:
    import psutil

    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    free = psutil.virtual_memory().available
    if wanted > SHARE_OF_MEMORY * free:
        raise MapTooLargeError(
            f"The map of {' x '.join(map(str, shape))} values would take "
            f"{wanted / 2**30:.1f} GB; {free / 2**30:.1f} GB of memory are free, half of it may be "
            f"used.",
            f"Give a file for it (output='map{ZARR_SUFFIX}'), a smaller type "
            f"(dtype='uint8'), a region, or fewer planes.",
        )
