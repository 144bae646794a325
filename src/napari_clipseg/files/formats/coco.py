"""Masks as COCO: run lengths, since COCO's polygons have no holes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_clipseg.files.formats.labelled import Labelled
from napari_clipseg.files.formats.planes import (
    Plane,
    planes_of_labels,
    prompt_of_label,
)
from napari_clipseg.files.formats.records import record_of
from napari_clipseg.images.labels.masks import masks
from napari_clipseg.recipe import METADATA


def write_coco(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write an image for each plane, and an annotation for each object in it; see `Format.write`.

    Masks lie on the pixels of the map; what part of the image it covers is in the record.
    """
    prompts = prompt_of_label(result, result.objects)
    names = dict(enumerate(result.recipe.prompt_names, 1))
    if not all(number for _, number in prompts.values()):
        names[len(names) + 1] = "no prompt"  # COCO knows no annotation without a category
    extent, record = result.extent, record_of(result, "", source)
    planes = list(planes_of_labels(result))
    categories = {label: number or len(names) for label, (_, number) in prompts.items()}
    annotations = [one for plane in planes for one in _annotations(plane, result, categories)]
    for number, one in enumerate(annotations, 1):
        one["id"] = number
    values = {
        "info": {
            "description": "Labels of napari-clipseg",
            "version": record["version"],
            METADATA: record,
        },
        "licenses": [],
        "categories": [{"id": number, "name": name} for number, name in names.items()],
        "images": [
            {
                "id": plane.number + 1,
                "file_name": record.get("source", ""),
                "height": extent.height,
                "width": extent.width,
                **({"planes": plane.at} if plane.at else {}),
            }
            for plane in planes
        ],
        "annotations": annotations,
    }
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(values, separators=(",", ":"), allow_nan=False))


def _annotations(
    plane: Plane, result: Labelled, categories: Mapping[int, int]
) -> Iterator[dict[str, Any]]:
    size = [result.extent.height, result.extent.width]
    scores = _scores(result)
    for label, mask in masks(plane.labels).items():
        row, column, height, width = mask.box
        yield {
            "image_id": plane.number + 1,
            "category_id": categories[label],
            "segmentation": {"size": size, "counts": mask.counts},
            "area": mask.area,
            "bbox": [column, row, width, height],
            "iscrowd": 0,  # 1 would mean a crowd, which evaluations leave out
            "label": label,
            **({"score": scores[label]} if np.isfinite(scores[label]) else {}),
        }


def _scores(result: Labelled) -> dict[int, float]:
    columns = (np.asarray(result.objects[name]) for name in ("index", "mean_probability"))
    return dict(zip(*(column.tolist() for column in columns), strict=True))
