"""Where a probability map is written: memory, a memory map, or OME-Zarr with its pyramid."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import CHANNEL, COLUMN, ROW
from napari_clipseg.images.io.ome_zarr import create_ome_zarr, write_coarser
from napari_clipseg.images.tiling.plan import Plan
from napari_clipseg.images.probability import FULL, Float32
from napari_clipseg.images.io.source import Source

DType = Literal["float32", "float16", "uint8"]
DTYPES = ("float32", "float16", "uint8")
# Of the free memory that one map may take: napari and the labels need the rest.
SHARE_OF_MEMORY = 0.5
NUMPY_SUFFIX, ZARR_SUFFIX = ".npy", ".zarr"


class ProbabilityMap(ABC):
    """A map that is written band by band.

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
        """``(prompts, *planes, height, width)``: an array, or a dask array of the file."""

    def write(self, plane: tuple[int, ...], rows: slice, probability: Float32) -> None:
        """Write rows of a plane: ``(prompts, rows, width)``, 0 to 1."""
        if self.dtype == np.uint8:
            probability = np.rint(probability * FULL)
        self._put(plane, rows, probability.astype(self.dtype, copy=False))

    @abstractmethod
    def _put(self, plane: tuple[int, ...], rows: slice, values: NDArray[Any]) -> None: ...

    @abstractmethod
    def end_plane(self, plane: tuple[int, ...]) -> None:
        """Do what is to be done when a plane is complete."""


class InArray(ProbabilityMap):
    """A map in memory, or in a memory-mapped ``.npy`` file."""

    def __init__(self, array: NDArray[Any], dtype: DType) -> None:
        super().__init__(dtype)
        self._array = array

    @property
    def data(self) -> NDArray[Any]:
        """The array itself."""
        return self._array

    def _put(self, plane: tuple[int, ...], rows: slice, values: NDArray[Any]) -> None:
        where: tuple[int | slice, ...] = (slice(None), *plane, rows)
        self._array[where] = values

    def end_plane(self, plane: tuple[int, ...]) -> None:
        """Write what a memory map still holds back."""
        if isinstance(self._array, np.memmap):
            self._array.flush()


class InOmeZarr(ProbabilityMap):
    """A map as an OME-Zarr image, its prompts as channels."""

    def __init__(
        self, path: Path, plan: Plan, source: Source, dtype: DType, about: Mapping[str, Any]
    ) -> None:
        super().__init__(dtype)
        # The format wants time first, then channels, then space.
        time = plan.axes.index("t") if "t" in plan.axes else None
        others = [i for i in range(len(plan.axes)) if i != time]
        self._lead = [*([] if time is None else [time]), None, *others]
        lengths = [plan.prompts if i is None else plan.planes_shape[i] for i in self._lead]
        names = [CHANNEL if i is None else plan.axes[i] for i in self._lead]
        # Of an axis of planes nothing but the numbers of its planes is known.
        steps = [(1.0, 0.0) if i is None else _step(plan, i) for i in self._lead]
        scale = [a * b for a, b in zip(plan.factor, source.spacing, strict=True)]
        place = [a * b for a, b in zip(plan.origin, source.spacing, strict=True)]
        self._levels = create_ome_zarr(
            path,
            (*lengths, plan.height, plan.width),
            dtype,
            (*names, ROW, COLUMN),
            scale=(*(step for step, _ in steps), *scale),
            translate=(*(first for _, first in steps), *place),
            unit=source.unit,
            about=about,
        )

    @property
    def data(self) -> Any:
        """A dask array of the finest level, prompts first."""
        import dask.array

        whole = dask.array.from_zarr(self._levels[0])
        order = [self._lead.index(None), *(self._lead.index(i) for i in range(len(self._lead) - 1))]
        return whole.transpose((*order, whole.ndim - 2, whole.ndim - 1))

    def _put(self, plane: tuple[int, ...], rows: slice, values: NDArray[Any]) -> None:
        for prompt, one in enumerate(values):
            self._levels[0][(*self._at(plane, prompt), rows)] = one

    def end_plane(self, plane: tuple[int, ...]) -> None:
        """Fill the coarser levels."""
        for prompt in range(self._levels[0].shape[self._lead.index(None)]):
            write_coarser(self._levels, self._at(plane, prompt))

    def _at(self, plane: tuple[int, ...], prompt: int) -> tuple[int, ...]:
        return tuple(prompt if i is None else plane[i] for i in self._lead)


def create_map(
    plan: Plan,
    source: Source,
    *,
    into: str | Path | None = None,
    dtype: DType = "float32",
    about: Mapping[str, Any] | None = None,
) -> ProbabilityMap:
    """Make room for a plan's map, all zero.

    Parameters
    ----------
    plan : Plan
        What it will hold.
    source : Source
        Whose spacing an OME-Zarr map gets.
    into : str or Path, optional
        A new ``.npy`` file (mapped into memory) or ``.zarr`` folder (OME-Zarr); memory by
        default.
    dtype : "float32", "float16" or "uint8"
        Of the values; in uint8, 255 stands for probability 1.
    about : mapping, optional
        What to keep in the attributes of an OME-Zarr map.

    Raises
    ------
    ValueError
        If the type is another, or the path's suffix is.
    MemoryError
        If the map would take more than half of the memory that is free.
    FileExistsError
        If something lies at the path.
    """
    if dtype not in DTYPES:
        raise ValueError(f"Got the type {dtype!r} for the map; wanted one of {', '.join(DTYPES)}.")
    if into is None:
        _require_memory(plan, dtype)
        return InArray(np.zeros(plan.shape, dtype), dtype)
    path = Path(into)
    if path.suffix == ZARR_SUFFIX:
        return InOmeZarr(path, plan, source, dtype, about or {})
    if path.suffix != NUMPY_SUFFIX:
        raise ValueError(
            f"The map cannot be written into {str(path)!r}; wanted a name that ends in "
            f"{ZARR_SUFFIX} (OME-Zarr) or {NUMPY_SUFFIX} (numpy)."
        )
    if path.exists():
        raise FileExistsError(f"{path} exists and is not overwritten. Choose another name.")
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=plan.shape)
    return InArray(array, dtype)


def _step(plan: Plan, axis: int) -> tuple[float, float]:
    """Return the step between the planes along an axis, and where the first one lies."""
    stride = math.prod(plan.planes_shape[axis + 1 :])
    at = [plan.planes[i * stride][axis] for i in range(plan.planes_shape[axis])]
    return (float(at[1] - at[0]) if len(at) > 1 else 1.0), float(at[0])


def _require_memory(plan: Plan, dtype: DType) -> None:
    import psutil

    wanted = math.prod(plan.shape) * np.dtype(dtype).itemsize
    free = psutil.virtual_memory().available
    if wanted > SHARE_OF_MEMORY * free:
        raise MemoryError(
            f"The map of {' x '.join(map(str, plan.shape))} values would take "
            f"{wanted / 2**30:.1f} GB; {free / 2**30:.1f} GB of memory are free, half of it may be "
            f"used. Give a file for it (into='map{ZARR_SUFFIX}'), a smaller type (dtype='uint8'), "
            f"a region, or fewer planes."
        )
