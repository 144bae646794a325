"""Outlines for Fiji: an archive of ImageJ's ROIs, one an object and plane."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.files.formats.colors import label_color
from napari_clipseg.files.formats.labelled import Labelled
from napari_clipseg.files.formats.planes import (
    Plane,
    corners_on_image,
    planes_of_labels,
    prompt_of_label,
)
from napari_clipseg.images.io.axes import CHANNEL
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.labels.polygons import Polygon, polygons

MOST = 2**15 - 1  # of whole numbers in a ROI
MOVE, LINE, CLOSE = 0, 1, 4  # of the path of a composite ROI, as in Java
MOST_GROUPS = 255
OPAQUE = 255
# roifile takes the length of a text for that of its UTF-16.
NO_NAME = re.compile(r'[\x00-\x1f/\\:*?"<>|]')  # what no file can be called somewhere
BEYOND_16_BITS = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")


def write_rois(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write a ROI for each object and plane; see `Format.write`.

    Each is named after its prompt and label, has the color of its label and the group of its
    prompt, and stands at its place of a stack.
    """
    prompts = prompt_of_label(result, result.objects)
    with path.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for plane in planes_of_labels(result):
            for label, parts in polygons(plane.labels).items():
                roi = _roi(parts, result.extent)
                prompt, number = prompts[label]
                prompt = BEYOND_16_BITS.sub("\ufffd", prompt)
                roi.name = f"{prompt} {label}".strip()
                roi.props = f"label: {label}\nprompt: {' '.join(prompt.split())}\n"
                roi.group = number % (MOST_GROUPS + 1)
                roi.stroke_color = bytes([OPAQUE, *label_color(result, label)])
                _place(roi, plane, result)
                # With the time of day, two archives of one result would differ.
                entry = zipfile.ZipInfo(_entry_name(roi.name, plane))
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, roi.tobytes())


def _roi(parts: Sequence[Polygon], extent: Extent) -> Any:
    from roifile import ROI_TYPE, ImagejRoi

    rings = [corners_on_image(extent, ring) for one in parts for ring in (one.outer, *one.holes)]
    (single, *others) = rings
    if not others and single.dtype.kind == "i" and single.max() <= MOST:
        roi = ImagejRoi.frompoints(single, name="")
        roi.roitype = ROI_TYPE.TRACED
        # ImageJ's box of an outline ends where the outline does.
        roi.bottom, roi.right = int(single[:, 1].max()), int(single[:, 0].max())
        return roi
    every = np.concatenate(rings)
    (left, top), (right, bottom) = np.floor(every.min(axis=0)), np.ceil(every.max(axis=0))
    roi = ImagejRoi(roitype=ROI_TYPE.RECT)
    roi.left, roi.top, roi.right, roi.bottom = int(left), int(top), int(right), int(bottom)
    path = np.concatenate([_path(ring) for ring in rings])
    roi.multi_coordinates, roi.shape_roi_size = path, len(path)
    return roi


def _path(ring: NDArray[Any]) -> NDArray[np.float32]:
    steps = np.full((len(ring), 3), LINE, np.float32)
    steps[:, 1:] = ring
    steps[0, 0] = MOVE
    return np.append(steps.ravel(), np.float32(CLOSE))


def _place(roi: Any, plane: Plane, result: Labelled) -> None:
    """Put a ROI at its plane; ImageJ counts from 1."""
    if not plane.at:
        return
    if set(plane.at) <= {"t", "z"} and (len(plane.at) > 1 or CHANNEL in result.axes):
        roi.z_position = plane.at.get("z", -1) + 1
        roi.t_position = plane.at.get("t", -1) + 1
    elif len(plane.at) == 1:
        (roi.position,) = (index + 1 for index in plane.at.values())
    else:
        roi.position = plane.number + 1


def _entry_name(name: str, plane: Plane) -> str:
    """Return the name of a file, which the ROI manager shows in its list."""
    places = [f"{axis}{index:04}" for axis, index in plane.at.items()]
    return NO_NAME.sub("_", "-".join([name, *places])) + ".roi"
