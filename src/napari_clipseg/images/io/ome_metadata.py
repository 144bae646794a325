"""The metadata of an OME-Zarr image: read, and each field checked.

Of https://ngff.openmicroscopy.org, versions 0.1 to 0.5, ``multiscales`` is used, and of ``omero``
the names of channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import COLUMN, DEPTH, ROW, UNNAMED, Axes, name_axes
from napari_clipseg.images.io.units import in_unit

UNNAMED_OME = UNNAMED[5]  # the axes of versions that did not name them
MISSING: Any = object()
MOST = 1e100  # of a scale or translation; products stay finite
SHOWN_CHARACTERS = 60
LIST = "a list of at least one entry"
ARRAY = "the name of an array in the group"


def is_ome_zarr(image: Any) -> bool:
    """Return whether this is a zarr group with the metadata of an OME-Zarr image."""
    if not hasattr(image, "attrs") or not hasattr(image, "array_keys"):
        return False
    holder = _holder(image)
    return not isinstance(holder, Mapping) or bool(holder.get("multiscales"))


def read_ome_zarr(group: Any, axes: str | Sequence[str] | None = None) -> dict[str, Any]:
    """Return what an OME-Zarr image says of itself: levels, axes, sizes, names of channels.

    Parameters
    ----------
    group : zarr.Group
        One for which `is_ome_zarr` is true.
    axes : str or sequence of str, optional
        Names to use in place of the image's own.

    Raises
    ------
    ValueError
        If a field cannot be used; the message names it.
    """
    holder = _mapping(_holder(group), "ome", "a mapping with the entry multiscales")
    images = _list(holder.get("multiscales", MISSING), "multiscales")
    place = "multiscales[0]"
    image = _mapping(images[0], place)
    datasets = _list(image.get("datasets", MISSING), f"{place}.datasets")
    levels = [
        _array(group, _mapping(one, at).get("path", MISSING), f"{at}.path")
        for at, one in ((f"{place}.datasets[{i}]", one) for i, one in enumerate(datasets))
    ]
    shape = levels[0].shape
    names, units = _axes(image.get("axes", MISSING), f"{place}.axes")
    if axes is None and len(names) != len(shape):
        wanted = f"the names of the {len(shape)} axes of the array {datasets[0]['path']!r}"
        _refuse(f"{place}.axes", image.get("axes", MISSING), wanted)
    known = name_axes(names if axes is None else axes, shape)
    row, column = known.index(ROW), known.index(COLUMN)
    scale, translation = np.ones(len(shape)), np.zeros(len(shape))
    # The image's own transformation, if there is one, comes after that of the level.
    for at, made in ((f"{place}.datasets[0]", datasets[0]), (place, image)):
        for kind, vector in _steps(group, made, at, known):
            translation = translation * vector if kind == "scale" else translation + vector
            scale = scale * vector if kind == "scale" else scale
    units = units if len(units) == len(shape) else [None] * len(shape)
    unit = units[row] or "pixel"
    found: dict[str, Any] = {
        "levels": levels,
        "axes": known,
        "spacing": (float(scale[row]), float(scale[column])),
        "translation": (float(translation[row]), float(translation[column])),
        "unit": unit,
        "channel_names": _channel_names(holder.get("omero")),
    }
    if DEPTH in known and scale[z := known.index(DEPTH)] > 0:
        lengths = float(scale[z]), float(translation[z])
        spacing, start = (in_unit(one, units[z] or "pixel", unit) for one in lengths)
        found |= {"z_spacing": spacing, "z_translation": start or 0.0}
    return found


def _channel_names(omero: Any) -> list[str]:
    """Return the names of channels; none where these metadata, which may be missing, are odd."""
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list):
        return []
    return [str(one.get("label") or "") if isinstance(one, Mapping) else "" for one in channels]


def _holder(group: Any) -> Any:
    """Return what holds ``multiscales``: ``ome`` since version 0.5, the attributes before."""
    attributes: Mapping[str, Any] = dict(group.attrs)
    if "ome" in attributes and (attributes["ome"] or "multiscales" not in attributes):
        return attributes["ome"]
    return attributes


def _axes(given: Any, place: str) -> tuple[list[str], list[str | None]]:
    """Return name and unit of each axis."""
    if given is MISSING:
        given = list(UNNAMED_OME)
    names, units = [], []
    for i, one in enumerate(_list(given, place)):
        at = f"{place}[{i}]"
        if isinstance(one, str):
            one = {"name": one}
        fields = _mapping(one, at, "a name, or a mapping with a name")
        name, unit = fields.get("name", MISSING), fields.get("unit")
        if not isinstance(name, str):
            _refuse(f"{at}.name", name, "a text such as 'y'")
        if not isinstance(unit, str | None):
            _refuse(f"{at}.unit", unit, "a text such as 'micrometer'")
        names.append(name)
        units.append(unit)
    return names, units


def _steps(
    group: Any, made: Mapping[str, Any], place: str, axes: Axes
) -> list[tuple[str, NDArray[np.float64]]]:
    """Return kind and vector of each transformation of a level, or of the image."""
    name = "coordinateTransformations"
    given, steps = made.get(name), []
    if given is None:
        return []
    if not isinstance(given, list):
        _refuse(f"{place}.{name}", given, "a list of transformations")
    for i, one in enumerate(given):
        at = f"{place}.{name}[{i}]"
        kind = _mapping(one, at).get("type", MISSING)
        if kind == "identity":
            continue
        if kind not in ("scale", "translation"):
            _refuse(f"{at}.type", kind, "identity, scale or translation")
        field = "path" if "path" in one and kind not in one else kind
        vector = values = one.get(field, MISSING)
        if field == "path":
            array = _array(group, values, f"{at}.path")
            vector = np.asarray(array).tolist() if array.shape == (len(axes),) else None
        steps.append((kind, _vector(vector, kind, axes, f"{at}.{field}", values)))
    return steps


def _vector(vector: Any, kind: str, axes: Axes, place: str, shown: Any) -> NDArray[np.float64]:
    numbers = isinstance(vector, list) and all(
        isinstance(one, int | float) and abs(one) < MOST for one in vector
    )
    if numbers and len(vector) == len(axes):
        found = np.array(vector, dtype=float)
        if kind != "scale" or all(found[axes.index(name)] > 0 for name in (ROW, COLUMN)):
            return found
    above = ", above 0 for rows and columns" * (kind == "scale")
    _refuse(place, shown, f"{len(axes)} finite numbers{above}")


def _array(group: Any, path: Any, place: str) -> Any:
    try:
        found = group[path] if isinstance(path, str) and path else None
    except (KeyError, ValueError, OSError) as error:
        _refuse(place, path, ARRAY, error)
    if not hasattr(found, "shape"):
        _refuse(place, path, ARRAY)
    return found


def _mapping(value: Any, place: str, wanted: str = "a mapping") -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        _refuse(place, value, wanted)
    return value


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        _refuse(place, value, LIST)
    return value


def _refuse(place: str, value: Any, wanted: str, cause: Exception | None = None) -> NoReturn:
    shown = repr(value)
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[:SHOWN_CHARACTERS] + "…"
    raise ValueError(
        f"In the OME-Zarr metadata {place} is {'missing' if value is MISSING else shown}; wanted "
        f"{wanted}. Repair the metadata, or open one of the group's arrays, such as group['0']."
    ) from cause
