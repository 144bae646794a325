"""Labels as OME-Zarr: by themselves, or beside their image."""

from __future__ import annotations

from pathlib import Path

from napari_clipseg.results import Segmentation


def add_labels_to_zarr(image_group: str | Path, name: str, result: Segmentation) -> Path:
    """Add labels to the OME-Zarr image that they are of, as its ``labels/NAME``.

    They are written under another name and renamed when they are whole; then the group's list of
    labels gets their name.
    """
    raise NotImplementedError
