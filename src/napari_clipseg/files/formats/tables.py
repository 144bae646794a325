"""The table of objects as CSV and as Parquet."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from napari_clipseg.files.formats.extras import require
from napari_clipseg.files.formats.labelled import Labelled, Table
from napari_clipseg.files.formats.pixels import planes_of, source_under
from napari_clipseg.files.formats.records import record_of, record_text
from napari_clipseg.images.labels.intensities import object_intensities
from napari_clipseg.recipe import METADATA


def table_of(result: Labelled, image: Any = None) -> Table:
    """Return the objects of a result, with their intensities if the image is given.

    Raises
    ------
    ValueError
        If the image is not the one of this result.
    """
    table = dict(result.objects)
    if image is None:
        return table
    source = source_under(result, image)
    own = all(source.channel_names) and len(set(source.channel_names)) == source.channels
    intensities = object_intensities(
        planes_of(result, source),
        np.asarray(table["index"]),
        source.channel_names if own else (),
    )
    unit = table.pop("unit")  # the last column, as it is without intensities
    return {**table, **intensities, "unit": unit}


def write_csv(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write the table as CSV: UTF-8, commas, numbers in full; see `Format.write`."""
    table = table_of(result, image)
    columns = [np.asarray(column).tolist() for column in table.values()]
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*columns, strict=True))


def write_parquet(
    result: Labelled, path: Path, *, source: Path | None = None, image: Any = None
) -> None:
    """Write the table as Parquet, the recipe in the metadata of its schema; see `Format.write`."""
    pyarrow = require("pyarrow", "Writing Parquet")
    parquet = require("pyarrow.parquet", "Writing Parquet")
    table = pyarrow.table({name: np.asarray(one) for name, one in table_of(result, image).items()})
    record = record_text(record_of(result, "", source))
    with path.open("xb") as file:
        parquet.write_table(table.replace_schema_metadata({METADATA: record}), file)
