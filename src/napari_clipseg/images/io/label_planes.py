"""Labels that are written into an OME-Zarr, plane by plane."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.maps import InOmeZarr
from napari_clipseg.images.io.ome_zarr import write_coarser_labels


class LabelsInOmeZarr(InOmeZarr):
    """Labels as an OME-Zarr image without channels; see `create_ome_zarr` for the options."""

    _of_maps = ()

    def __init__(
        self,
        path: Path,
        extent: Extent,
        dtype: np.dtype[Any],
        metadata: Mapping[str, Any],
        **options: Any,
    ) -> None:
        super().__init__(path, extent, 1, str(dtype), metadata, **options)  # type: ignore[arg-type]

    def write_labels(self, plane: tuple[int, ...], rows: slice, labels: NDArray[Any]) -> None:
        """Write rows of a plane: ``(rows, width)``."""
        self.put(plane, rows, labels.astype(self.dtype, copy=False)[None])

    def end_plane(self, plane: tuple[int, ...]) -> None:
        """Fill the coarser levels."""
        with self._room():
            write_coarser_labels(self._levels, self._at(plane, 0))
