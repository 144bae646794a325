"""The formats of the field: results written, and their recipes read again."""

from napari_clipseg.files.formats.catalog import DEFAULT_FORMATS, FORMATS, Format
from napari_clipseg.files.formats.records import beside, recipe_of, write_beside
from napari_clipseg.files.formats.zarr_labels import add_labels_to_zarr

__all__ = [
    "DEFAULT_FORMATS",
    "FORMATS",
    "Format",
    "add_labels_to_zarr",
    "beside",
    "recipe_of",
    "write_beside",
]
