"""Labels that are written into an OME-Zarr, plane by plane."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.maps import InOmeZarr


class LabelsInOmeZarr(InOmeZarr):
    """Labels as an OME-Zarr image without channels; see `create_ome_zarr` for the options."""

    _labels = True

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
