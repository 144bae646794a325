"""The planes of a map, or of labels, as an OME-Zarr image with its pyramid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import CHANNEL, COLUMN, DEPTH, ROW
from napari_clipseg.images.io.disk import require_map
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.ome_zarr import (
    create_ome_zarr,
    open_levels,
    write_coarser,
    write_coarser_labels,
)

Plane = tuple[int, ...]


class _Finest:
    """The finest level of an OME-Zarr image; of a folder that is gone, zarr would read zeros."""

    def __init__(self, level: Any, path: Path) -> None:
        self._level, self._path = level, path
        self.shape, self.dtype, self.chunks = level.shape, level.dtype, level.chunks
        self.ndim = level.ndim

    def __getitem__(self, where: Any) -> NDArray[Any]:
        require_map(self._path)
        return np.asarray(self._level[where])


class Pyramid:
    """An OME-Zarr image that is written plane by plane, or one that is there.

    Parameters
    ----------
    path : Path
        Its folder.
    extent : Extent
        What part of an image it covers.
    maps : int, optional
        How many channels there are; without it, there is no such axis.
    labels : bool
        Whether the values are labels: they have no means.
    """

    def __init__(
        self, path: Path, extent: Extent, *, maps: int | None = None, labels: bool = False
    ) -> None:
        self._path, self._labels, self._extent = path, labels, extent
        # The format wants time first, then channels, then space.
        time = extent.axes.index("t") if "t" in extent.axes else None
        others = [i for i in range(len(extent.axes)) if i != time]
        first = [] if time is None else [time]
        self._lead = [*first, *([] if maps is None else [None]), *others]
        lengths = [maps or 0 if i is None else extent.planes_shape[i] for i in self._lead]
        self._shape = (*lengths, extent.height, extent.width)
        # Readers expect steps above 0: planes that were asked for backwards lie forwards.
        self._last = [
            length - 1 if step < 0 else None
            for length, step in zip(extent.planes_shape, extent.plane_steps, strict=True)
        ]
        self._levels: list[Any] = []

    def create(self, dtype: str, metadata: Mapping[str, Any], **options: Any) -> Self:
        """Make it, all zero, where nothing or an empty folder is; see `create_ome_zarr`."""
        extent = self._extent
        names = [CHANNEL if i is None else extent.axes[i] for i in self._lead]
        along = zip(extent.plane_starts, extent.plane_steps, self._last, strict=True)
        firsts = [start + step * (last or 0) for start, step, last in along]
        # Of most planes only the numbers are known, not how far they lie apart.
        apart = [extent.planes_along(name) for name in names]
        steps = [
            1 if i is None else abs(extent.plane_steps[i]) * step
            for i, (step, _) in zip(self._lead, apart, strict=True)
        ]
        starts = [
            0 if i is None else start + firsts[i] * step
            for i, (step, start) in zip(self._lead, apart, strict=True)
        ]
        self._levels = create_ome_zarr(
            self._path,
            self._shape,
            dtype,
            (*names, ROW, COLUMN),
            scale=(*steps, *extent.spacing),
            translate=(*starts, *extent.place),
            unit=extent.unit,
            in_units=(*(DEPTH * (extent.z_spacing is not None)), ROW, COLUMN),
            metadata=metadata,
            **options,
        )
        return self

    def open(self) -> Self:
        """Open it, to be read.

        Raises
        ------
        ValueError
            If it has another shape.
        """
        self._levels = open_levels(self._path, "r")
        found = tuple(self._levels[0].shape)
        if found != self._shape:
            raise ValueError(
                f"{self._path} has the shape {found}, and its record says {self._shape}. It was "
                f"changed after it was written: segment the image again."
            )
        return self

    @property
    def data(self) -> Any:
        """A dask array of the finest level, maps first."""
        import dask.array

        finest = _Finest(self._levels[0], self._path)
        whole = dask.array.from_array(finest, chunks=finest.chunks, name=False)
        planes = [self._lead.index(i) for i in range(len(self._last))]
        maps = [self._lead.index(None)] if None in self._lead else []
        ordered = whole.transpose((*maps, *planes, whole.ndim - 2, whole.ndim - 1))
        flips = (slice(None, None, 1 if last is None else -1) for last in self._last)
        return ordered[(*(slice(None) for _ in maps), *flips)]

    def move(self, path: Path) -> None:
        """Move the folder, within its disk."""
        self._path.rename(path)
        self._path, self._levels = path, open_levels(path)

    def read(self, plane: Plane, box: tuple[slice, slice]) -> NDArray[Any]:
        """Return a part of a plane."""
        return np.asarray(self._levels[0][(*self._at(plane, None), *box)])

    def write(
        self,
        plane: Plane,
        box: tuple[slice, slice],
        values: NDArray[Any],
        number: int | None = None,
    ) -> None:
        """Write a part of a plane, of the map of that number if there are maps."""
        self._levels[0][(*self._at(plane, number), *box)] = values

    def end_plane(self, plane: Plane, number: int | None = None) -> None:
        """Fill the coarser levels of a plane that is complete."""
        write = write_coarser_labels if self._labels else write_coarser
        write(self._levels, self._at(plane, number))

    def _at(self, plane: Plane, number: int | None) -> tuple[int, ...]:
        places = [
            at if last is None else last - at for at, last in zip(plane, self._last, strict=True)
        ]
        return tuple(number or 0 if i is None else places[i] for i in self._lead)
