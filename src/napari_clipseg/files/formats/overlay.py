"""An overlay: the labels drawn on the image, as the model saw it, for a quick look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_clipseg.files.formats.colors import label_colors, overlay
from napari_clipseg.files.formats.labelled import Labelled
from napari_clipseg.files.formats.pixels import read_plane, source_under
from napari_clipseg.files.formats.planes import planes_of_labels
from napari_clipseg.files.formats.records import record_of, record_text
from napari_clipseg.images.rendering import resolve
from napari_clipseg.recipe import METADATA

MOST = 4096  # pixels of the longer side: an overlay is looked at


def write_overlay(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write a PNG of the image with its labels; see `Format.write`.

    Of a stack, the plane with the most labelled pixels; of a large image, every n-th pixel.

    Raises
    ------
    ValueError
        If the image is not given.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if image is None:
        raise ValueError("An overlay is drawn on the image, and none was given. Give image=....")
    extent = result.extent
    best = max(planes_of_labels(result), key=lambda one: np.count_nonzero(one.labels))
    where = np.unravel_index(best.number, extent.planes_shape) if best.at else ()
    with source_under(result, image).open() as reader:
        rendering = resolve(reader, result.recipe.appearance, extent.planes)
        pixels = read_plane(reader, extent, [int(i) for i in where], rendering.channels)
    step = -(-max(extent.height, extent.width) // MOST)
    labels = best.labels[::step, ::step]
    colors = label_colors(result, labels)
    picture = overlay(rendering.apply(pixels[::step, ::step]), labels, colors)
    record = record_of(result, "", source)
    if best.at:
        record["planes"] = best.at
    text = PngInfo()
    text.add_text(METADATA, record_text(record))  # not compressed: Pillow reads 1 MB of that only
    with path.open("xb") as file:
        Image.fromarray(picture).save(file, "PNG", pnginfo=text)
