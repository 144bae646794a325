"""Files as napari layers, and napari layers as files: what the manifest names.

Nothing here imports napari or torch: layers come and go as tuples of data, arguments and type.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_clipseg.cache import content_digest
from napari_clipseg.files.formats.extras import require
from napari_clipseg.files.formats.labelled import (
    LabelsOnly,
    MapsOnly,
    map_names,
    map_numbers,
    plain_table,
)
from napari_clipseg.files.formats.records import (
    columns_from_json,
    find_record,
    read_record,
    tiff_annotations,
    zarr_attributes,
)
from napari_clipseg.files.formats.tiff import OBJECTS
from napari_clipseg.files.formats.writing import write
from napari_clipseg.images.io.axes import CHANNEL, COLUMN, DEPTH, ROW, Axes
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.layers import from_layer_order, layer_order, to_layer_order
from napari_clipseg.images.io.units import SYMBOLS, unit_name
from napari_clipseg.images.probability import FULL
from napari_clipseg.recipe import METADATA, Recipe
from napari_clipseg.results import (
    COLORS,
    DIGEST,
    EDITED,
    LABELS,
    PROBABILITY,
    LayerData,
    LayerPlace,
    label_colors,
)

Columns = dict[str, Any]
OF_THE_VIEWER = ("layer_id", "source_id", "role", "prompt", DIGEST)  # means nothing in a file


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return what reads a file as layers, or None for any file that is not ours."""
    if not isinstance(path, str) or not _may_hold_pixels(Path(path)):
        return None
    try:
        record = find_record(Path(path))
    except (OSError, ValueError, ModuleNotFoundError):  # another reader may know it, or say why
        return None
    return None if record is None or "extent" not in record else read_layers


def _may_hold_pixels(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in (".tif", ".tiff")


def read_layers(path: str | Path) -> list[LayerData]:
    """Read labels or probability maps as napari takes layers.

    Parameters
    ----------
    path : str or Path
        Labels or maps that a format wrote as OME-TIFF or OME-Zarr.

    Returns
    -------
    list of tuple
        ``(data, keyword arguments, type)``: the labels, their table as features, or an image a
        prompt; in their place on the image, in units. Their metadata hold the recipe.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If napari-clipseg did not write it, or it holds neither labels nor maps.
    """
    path = Path(path)
    record = read_record(path)
    if not _may_hold_pixels(path) or "extent" not in record:
        raise ValueError(
            f"{path.name} holds neither labels nor maps; wanted an OME-TIFF or an OME-Zarr that "
            f"napari-clipseg wrote."
        )
    if path.is_dir():
        labels, values, columns = _of_zarr(path)
    else:
        labels, values, columns = _of_tiff(path)
    extent, axes = Extent.from_dict(record["extent"]), tuple(record["axes"])
    place = LayerPlace(path.name.partition(".")[0], "", _arguments(extent, axes))
    recipe = Recipe.from_dict(record["recipe"], f"The recipe of {path.name}")
    if not labels:
        names, numbers = map_names(recipe, record), map_numbers(recipe, record)
        maps = values.reshape(len(numbers), *extent.shape)
        return [
            _map_layer(one, name, number, record, place)
            for one, name, number in zip(maps, names, numbers, strict=True)
        ]
    options: dict[str, Any] = {
        "name": f"{place.name} · {', '.join(recipe.prompt_names)} · labels",
        "opacity": 0.5,
        "metadata": {METADATA: {**record, "role": LABELS, "prompts": list(recipe.prompt_names)}},
        "features": columns,
        **place.arguments,
    }
    if recipe.instances is None:
        options["colormap"] = label_colors(len(recipe.prompts))
    data = values.reshape(extent.shape).astype(np.int32)
    return [(to_layer_order(data, axes), options, "labels")]


def write_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer in the format that the name says; napari calls it.

    Parameters
    ----------
    path : str
        Where to.
    data : array
        The labels.
    attributes : mapping
        Of the layer, as napari gives them.

    Returns
    -------
    list of str
        The files that were written.

    Raises
    ------
    ValueError
        If the layer was not made by napari-clipseg.
    """
    return [str(one) for one in write(_labels_of(data, attributes), path)]


def write_map_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an Image layer that is a probability map; see `write_layer`."""
    record = _record_of_layer(attributes, PROBABILITY)
    prompt = attributes["metadata"][METADATA].get("prompt")
    names = list(Recipe.of({METADATA: record}).prompt_names)
    if prompt in names and "maps" not in record:
        record["maps"] = [names.index(prompt)]
    maps = from_layer_order(np.asarray(data), tuple(record["axes"]))[None]
    return [str(one) for one in write(MapsOnly(record, maps), path)]


def _map_layer(
    data: Any, name: str, number: int, record: Mapping[str, Any], place: LayerPlace
) -> LayerData:
    record = {**record, "maps": [number], "role": PROBABILITY, "prompt": name}
    options = {
        "name": f"{place.name} · {name}",
        "colormap": COLORS[number % len(COLORS)],
        "blending": "additive",
        "contrast_limits": (0, FULL if data.dtype == np.uint8 else 1),
        "metadata": {METADATA: record},
        **place.arguments,
    }
    return to_layer_order(data, tuple(record["axes"])), options, "image"


def _arguments(extent: Extent, axes: Axes) -> dict[str, Any]:
    """Return where a map lies in the world, in units."""
    own = (*extent.axes, ROW, COLUMN)
    apart = [extent.planes_along(name) for name in extent.axes]
    steps = [at * one for at, (one, _) in zip(extent.plane_steps, apart, strict=True)]
    starts = [first + at * one for at, (one, first) in zip(extent.plane_starts, apart, strict=True)]
    scale = dict(zip(own, (*steps, *extent.spacing), strict=True))
    start = dict(zip(own, (*starts, *extent.place), strict=True))
    in_units = (ROW, COLUMN) if extent.z_spacing is None else (DEPTH, ROW, COLUMN)
    units = dict.fromkeys(own, "pixel") | dict.fromkeys(in_units, unit_name(extent.unit))
    names = [own[i] for i in layer_order(axes)]
    found: dict[str, Any] = {
        "scale": tuple(float(scale[name]) for name in names),
        "translate": tuple(float(start[name]) for name in names),
        "axis_labels": tuple(names),
    }
    if unit_name(extent.unit) in SYMBOLS:  # napari refuses units that it does not know
        found["units"] = tuple(units[name] for name in names)
    return found


def _of_tiff(path: Path) -> tuple[bool, Any, Columns]:
    """Return whether a file holds labels, its values, and the table of its objects."""
    import tifffile

    annotations = tiff_annotations(path)
    with tifffile.TiffFile(path) as tiff:
        values = tiff.series[0].asarray()
        letters = tiff.series[0].axes
    if OBJECTS in annotations:
        return True, values, columns_from_json(json.loads(annotations[OBJECTS]))
    if "C" in letters:
        values = np.moveaxis(values, letters.index("C"), 0)
    return False, values, {}


def _of_zarr(path: Path) -> tuple[bool, Any, Columns]:
    """Likewise, of an OME-Zarr."""
    zarr = require("zarr", "Reading OME-Zarr")
    attributes = zarr_attributes(path)
    holder = attributes.get("ome", attributes)
    extent = Extent.from_dict(attributes[METADATA]["extent"])
    names = [one["name"] for one in holder["multiscales"][0]["axes"]]
    # Time is first in the file, and planes that were asked for backwards lie forwards.
    own = (*(CHANNEL * (CHANNEL in names)), *extent.axes, ROW, COLUMN)
    steps = dict(zip(extent.axes, extent.plane_steps, strict=True))
    values = np.asarray(zarr.open_group(path, mode="r")["0"])
    values = values.transpose([names.index(name) for name in own])
    values = values[tuple(slice(None, None, -1 if steps.get(name, 1) < 0 else 1) for name in own)]
    return "image-label" in holder, values, _properties(holder.get("image-label", {}))


def _properties(image_label: Mapping[str, Any]) -> Columns:
    rows = image_label.get("properties", [])
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    return columns_from_json(
        {{"label-value": "index"}.get(name, name): one for name, one in columns.items()}
    )


def _record_of_layer(attributes: Mapping[str, Any], role: str) -> dict[str, Any]:
    """Return what a layer records of its result, without what only the viewer needs."""
    record = dict(attributes.get("metadata", {}).get(METADATA) or {})
    if record.get("role") != role or "extent" not in record or "recipe" not in record:
        raise ValueError(
            f"The layer {attributes.get('name')!r} has no recipe; wanted one that napari-clipseg "
            f"added. Save other layers with another writer, such as that of napari for .tif."
        )
    return {name: value for name, value in record.items() if name not in OF_THE_VIEWER}


def _labels_of(data: Any, attributes: Mapping[str, Any]) -> LabelsOnly:
    """Return the labels of a layer; what was edited by hand is measured anew."""
    record = _record_of_layer(attributes, LABELS)
    written = attributes["metadata"][METADATA].get(DIGEST)
    array = np.asarray(data)
    labels = from_layer_order(array, tuple(record["axes"]))
    columns = {name: np.asarray(one) for name, one in dict(attributes.get("features", {})).items()}
    changed = written is not None and written != content_digest(array).hex()
    if changed:
        record[EDITED] = True
    if changed or not _is_table_of(columns, labels):
        columns = _measured(labels, columns, record)
    return LabelsOnly(record, labels, columns)


def _is_table_of(columns: Columns, labels: Any) -> bool:
    present = np.unique(labels)
    return "index" in columns and np.array_equal(columns["index"], present[present > 0])


def _measured(labels: Any, known: Columns, record: Mapping[str, Any]) -> Columns:
    recipe = Recipe.of({METADATA: record})
    classes = labels
    if recipe.instances is not None:
        prompts = {name: i for i, name in enumerate(recipe.prompt_names, 1)}
        of_label = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
        for label, prompt in zip(known.get("index", ()), known.get("prompt", ()), strict=True):
            if label < len(of_label):
                of_label[label] = prompts.get(str(prompt), 0)
        classes = of_label[labels]
    elif labels.max(initial=0) > len(recipe.prompts):  # painted with a label of no prompt
        classes = np.where(labels > len(recipe.prompts), 0, labels)
    return plain_table(labels, classes, recipe, Extent.from_dict(record["extent"]))
