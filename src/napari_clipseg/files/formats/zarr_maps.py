"""Probability maps as OME-Zarr, one a channel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_clipseg.files.formats.colors import prompt_color
from napari_clipseg.files.formats.extras import require
from napari_clipseg.files.formats.labelled import MapsOnly, map_names, map_numbers
from napari_clipseg.files.formats.records import record_of
from napari_clipseg.images.io.maps import InOmeZarr
from napari_clipseg.images.io.ome_zarr import CHUNK, Version
from napari_clipseg.images.probability import FULL
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import Segmentation


def write_probability(
    result: Segmentation | MapsOnly, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write probability maps as OME-Zarr 0.5; see `Format.write`."""
    _write(result, path, "0.5", source)


def write_probability_04(
    result: Segmentation | MapsOnly, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write probability maps as OME-Zarr 0.4; see `Format.write`."""
    _write(result, path, "0.4", source)


def _write(
    result: Segmentation | MapsOnly, path: Path, version: Version, source: Path | None
) -> None:
    require("zarr", "Writing OME-Zarr")
    maps, extent = result.probability, result.extent
    record = record_of(result, str(maps.dtype), source)
    written = InOmeZarr(
        path,
        extent,
        len(maps),
        str(maps.dtype),  # type: ignore[arg-type]
        {METADATA: record},
        version=version,
        ome={"omero": {"channels": _channels(result, record)}},
    )
    for plane in np.ndindex(extent.planes_shape):
        for top in range(0, extent.height, CHUNK):
            rows = slice(top, min(top + CHUNK, extent.height))
            written.put(plane, rows, np.asarray(maps[(slice(None), *plane, rows)]))
        written.end_plane(plane)


def _channels(result: Segmentation | MapsOnly, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return names, colors and contrast of the channels, as the format describes them."""
    recipe = result.recipe
    most = FULL if result.probability.dtype == np.uint8 else 1
    numbers, names = map_numbers(recipe, record), map_names(recipe, record)
    return [
        {
            "label": name,
            "color": bytes(prompt_color(number + 1)).hex().upper(),
            "active": number < len(recipe.prompts),
            "window": {"min": 0, "max": most, "start": 0, "end": most},
        }
        for number, name in zip(numbers, names, strict=True)
    ]
