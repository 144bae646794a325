"""The formats by their names; what each needs is imported when it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the list of formats is to be there at once
    from napari_clipseg.files.formats.labelled import Written


@dataclass(frozen=True)
class Format:
    """One kind of file that results are written to.

    Attributes
    ----------
    name : str
        What `FORMATS` calls it.
    suffix : str
        What names of such files end in.
    about : str
        What is in it, in a line.
    writer : str
        Module and function that write it, "module:function".
    extra : str, optional
        Package that it needs beside the required ones.
    beside : bool
        Whether the file has no place for the recipe, so that `write_beside` is to write a JSON
        file beside it.
    folder : bool
        Whether it is a folder.
    """

    name: str
    suffix: str
    about: str
    writer: str
    extra: str | None = None
    beside: bool = False
    folder: bool = False

    def write(
        self,
        result: Written,
        path: Path,
        *,
        source: Path | None = None,
        image: Any = None,
    ) -> None:
        """Write a result to exactly this path; nothing else is written.

        Parameters
        ----------
        result : Segmentation
            What is written; for all but maps and overlays, labels without maps will do, too.
        path : Path
            A file or folder that does not exist, of whatever name, in a folder that exists.
        source : Path, optional
            Where the image is; it is recorded by its name.
        image : array-like, Source, or layer, optional
            The image that was segmented; tables then have its intensities, and the overlay needs
            it.

        Raises
        ------
        ModuleNotFoundError
            If a package is missing; the message has the line for pip.
        FileExistsError
            If the path exists.
        """
        module, _, function = self.writer.partition(":")
        getattr(import_module(f"{__package__}.{module}"), function)(
            result, Path(path), source=source, image=image
        )


_ALL = (
    Format("labels-tiff", ".labels.ome.tif", "labels as OME-TIFF", "tiff:write_labels"),
    Format(
        "probability-tiff",
        ".probability.ome.tif",
        "probability maps as OME-TIFF, one a channel",
        "tiff:write_probability",
    ),
    Format(
        "labels-zarr",
        ".labels.ome.zarr",
        "labels as OME-Zarr 0.5",
        "zarr_labels:write_labels",
        extra="zarr",
        folder=True,
    ),
    Format(
        "labels-zarr-0.4",
        ".labels.ome.zarr",
        "labels as OME-Zarr 0.4",
        "zarr_labels:write_labels_04",
        extra="zarr",
        folder=True,
    ),
    Format(
        "probability-zarr",
        ".probability.ome.zarr",
        "probability maps as OME-Zarr 0.5, one a channel",
        "zarr_maps:write_probability",
        extra="zarr",
        folder=True,
    ),
    Format(
        "probability-zarr-0.4",
        ".probability.ome.zarr",
        "probability maps as OME-Zarr 0.4, one a channel",
        "zarr_maps:write_probability_04",
        extra="zarr",
        folder=True,
    ),
    Format("csv", ".csv", "the table of objects", "tables:write_csv", beside=True),
    Format("parquet", ".parquet", "the table of objects", "tables:write_parquet", extra="pyarrow"),
    Format("roi-zip", ".roi.zip", "outlines for Fiji", "roi_zip:write_rois", beside=True),
    Format("geojson", ".geojson", "outlines for QuPath", "geojson:write_geojson"),
    Format("coco", ".coco.json", "masks as COCO", "coco:write_coco"),
    Format("overlay", ".overlay.png", "labels drawn on the image", "overlay:write_overlay"),
)
FORMATS: Mapping[str, Format] = {one.name: one for one in _ALL}
DEFAULT_FORMATS = ("labels-tiff", "csv")


def format_of(path: Path) -> Format:
    """Return the format that the name of a file ends in; of OME-Zarr, the newest.

    Raises
    ------
    ValueError
        If there is none.
    """
    for one in _ALL:
        if path.name.lower().endswith(one.suffix):
            return one
    wanted = ", ".join(dict.fromkeys(one.suffix for one in _ALL))
    raise ValueError(f"No format has names like {path.name!r}; wanted one that ends in {wanted}.")
