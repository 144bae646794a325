"""The probability maps of an image that the viewer has: their colors, and whether they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image

from napari_clipseg.recipe import METADATA
from napari_clipseg.results import PROBABILITY

if TYPE_CHECKING:
    import napari


def map_layers(viewer: napari.Viewer, image: Image | None) -> dict[str, Image]:
    """Return the maps that were made of an image, by the names of their prompts; the topmost."""
    wanted = None if image is None else str(image.unique_id)
    found = {}
    for layer in viewer.layers:
        record = layer.metadata.get(METADATA, {})
        if record.get("role") == PROBABILITY and record.get("source_id") == wanted:
            found[record["prompt"]] = layer
    return found
