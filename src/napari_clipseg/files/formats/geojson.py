"""Outlines for QuPath, and whatever else reads GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.files.formats.colors import prompt_color
from napari_clipseg.files.formats.labelled import Labelled
from napari_clipseg.files.formats.planes import (
    Plane,
    corners_on_image,
    planes_of_labels,
    prompt_of_label,
    rows_of,
)
from napari_clipseg.files.formats.records import record_of
from napari_clipseg.files.formats.tables import table_of
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.labels.polygons import Polygon, polygons
from napari_clipseg.recipe import METADATA

ALL_CHANNELS = -1  # as QuPath has it


def write_geojson(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write a feature for each object and plane; see `Format.write`.

    Coordinates are pixels of the image's finest level, as QuPath counts them: x, then y; (0, 0) is
    the outer corner of the first pixel.
    """
    values = {
        "type": "FeatureCollection",
        METADATA: record_of(result, "", source),
        "features": list(_features(result, image)),
    }
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(values, separators=(",", ":"), allow_nan=False))


def _features(result: Labelled, image: Any) -> Iterator[dict[str, Any]]:
    table = table_of(result, image)
    prompts, measured = prompt_of_label(result, table), rows_of(table)
    # QuPath shows thousands of detections quickly; annotations are for editing.
    kind = "annotation" if result.recipe.instances is None else "detection"
    for plane in planes_of_labels(result):
        place = _place(plane)
        for label, parts in polygons(plane.labels).items():
            name, number = prompts[label]
            properties: dict[str, Any] = {
                "objectType": kind,
                "name": str(label),
                "label": label,
                "measurements": measured[label],
            }
            if number:
                color = list(prompt_color(number))
                properties["classification"] = {"name": name, "color": color}
            if plane.at:
                properties["planes"] = plane.at
            yield {
                "type": "Feature",
                "geometry": {**_geometry(parts, result.extent), **place},
                "properties": properties,
            }


def _geometry(parts: Sequence[Polygon], extent: Extent) -> dict[str, Any]:
    found = [
        [_closed(corners_on_image(extent, ring)) for ring in (one.outer, *one.holes)]
        for one in parts
    ]
    if len(found) == 1:
        return {"type": "Polygon", "coordinates": found[0]}
    return {"type": "MultiPolygon", "coordinates": found}


def _closed(ring: NDArray[Any]) -> list[list[float]]:
    """Return a ring that ends where it starts, as GeoJSON wants it."""
    closed: list[list[float]] = np.concatenate([ring, ring[:1]]).tolist()
    return closed


def _place(plane: Plane) -> dict[str, Any]:
    """Return QuPath's word for the plane of a stack."""
    if not {"t", "z"} & set(plane.at):
        return {}
    return {"plane": {"c": ALL_CHANNELS, "z": plane.at.get("z", 0), "t": plane.at.get("t", 0)}}
