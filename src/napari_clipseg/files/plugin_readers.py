"""Images that readers of napari plugins open, such as those of microscopes' own formats.

npe2 is the part of napari that knows its plugins. Their readers return images as napari takes
layers; here they become sources, without napari.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_clipseg.images.io.axes import (
    CHANNEL,
    COLUMN,
    DEPTH,
    ROW,
    SAMPLE,
    Axes,
    name_axes,
    unnamed_axes,
)
from napari_clipseg.images.io.source import Source, as_source, with_channel_names
from napari_clipseg.images.io.units import in_unit, unit_name

if TYPE_CHECKING:
    from npe2.manifest.contributions import ReaderContribution

# Ours, and those of napari itself: they read what is read here anyway, and one runs scripts.
NOT_ASKED = ("napari", "napari-clipseg")
Reader = tuple[str, str]  # names of a plugin, and of its command


def has_plugin_reader(path: Path) -> bool:
    """Return whether an installed napari plugin has a reader for files of this name."""
    return bool(_readers(path))


def read_with_plugins(path: Path) -> Source | None:
    """Return the first image that the reader of an installed napari plugin finds in a file.

    Parameters
    ----------
    path : Path
        Of the file.

    Returns
    -------
    Source or None
        The first image layer that a plugin would add to napari; None if no plugin has a reader
        for such files.

    Raises
    ------
    ValueError
        If plugins have readers for it, and none of them finds an image; the message says why.
    """
    readers = _readers(path)
    said = []
    for plugin, command in readers:
        try:
            return source_of_layers(_layers(path, command))
        except (MemoryError, PermissionError):
            raise
        except Exception as error:  # whatever a plugin raises, the next one may read the file
            text = str(error).rstrip(".") or type(error).__name__
            said.append(f"the napari plugin {plugin!r} could not open it: {text}")
    if said:
        raise ValueError("; ".join(said))
    return None


def source_of_layers(layers: Iterable[Sequence[Any]]) -> Source:
    """Return the first image among layers, as readers of napari plugins return them.

    Parameters
    ----------
    layers : iterable of tuple
        ``(data,)``, ``(data, keyword arguments)`` or ``(data, keyword arguments, type)``.

    Raises
    ------
    ValueError
        If there is no image among them, or it cannot be used.
    TypeError
        If it holds no real numbers.

    Examples
    --------
    >>> from napari_clipseg.files.plugin_readers import source_of_layers
    >>> data, options = np.zeros((2, 5, 40, 60)), {"channel_axis": 0, "scale": (2, 0.5, 0.5)}
    >>> source = source_of_layers([(data, options, "image")])
    >>> source.axes, source.spacing
    (('c', 'z', 'y', 'x'), (0.5, 0.5))
    """
    kinds = []
    for data, options, kind in (_completed(one) for one in layers):
        if kind == "image" and data is not None:
            return _source(data, options)
        kinds.append(kind)
    raise ValueError(f"it gives no image, but {', '.join(kinds) or 'nothing'}")


def _readers(path: Path) -> list[Reader]:
    """Return the readers of plugins, those for this kind of file before those for any."""
    from npe2 import PluginManager

    manager = PluginManager.instance()
    if "napari" not in manager:  # outside of napari nobody has looked for plugins yet
        manager.discover()
    found = [
        (_is_for_any(one, path.suffix), one.plugin_name, one.command)
        for one in manager.iter_compatible_readers([str(path)])
    ]
    return [(plugin, command) for _, plugin, command in sorted(found) if plugin not in NOT_ASKED]


def _is_for_any(reader: ReaderContribution, suffix: str) -> bool:
    return not any(one.lower().endswith(suffix.lower()) for one in reader.filename_patterns)


def _layers(path: Path, command: str) -> Iterable[Sequence[Any]]:
    from npe2 import read

    return read([str(path)], stack=False, plugin_name=command)


def _completed(layer: Sequence[Any]) -> tuple[Any, Mapping[str, Any], str]:
    """Return data, keyword arguments and type; napari needs the first alone."""
    options = layer[1] if len(layer) > 1 else None
    return layer[0], options or {}, str(layer[2]).lower() if len(layer) > 2 else "image"


def _source(data: Any, options: Mapping[str, Any]) -> Source:
    levels = _levels(data, options.get("multiscale"))
    shape = tuple(levels[0].shape)
    axes = _axes(options, shape)
    if axes is None:
        return as_source(levels)  # which says what is wrong with it
    scale, start = (_along(axes, options, name) for name in ("scale", "translate"))
    units = _units(axes, options)
    known: dict[str, Any] = {}
    if all(scale.get(name, 0) > 0 for name in (ROW, COLUMN)):
        unit = known["unit"] = units.get(ROW, "pixel")
        known["spacing"] = scale[ROW], scale[COLUMN]
        known["translation"] = start.get(ROW, 0.0), start.get(COLUMN, 0.0)
    source = as_source(levels if len(levels) > 1 else levels[0], axes=axes, **known)
    if known and scale.get(DEPTH, 0) > 0:
        lengths = scale[DEPTH], start.get(DEPTH, 0.0)
        spacing, first = (in_unit(one, units.get(DEPTH, "pixel"), unit) for one in lengths)
        source = replace(source, z_spacing=spacing, z_translation=first or 0.0)
    names = options.get("name")
    if options.get("channel_axis") is None or not isinstance(names, list | tuple):
        return source
    return with_channel_names(source, [str(one) for one in names])


def _levels(data: Any, multiscale: bool | None) -> list[Any]:
    """Return the image and its coarser copies; napari takes lists of different shapes as such."""
    if not isinstance(data, Sequence):
        return [data]
    shapes = {tuple(np.shape(one)) for one in data}
    if multiscale or (multiscale is None and (len(data) == 1 or len(shapes) > 1)):
        return list(data)
    return [np.asarray(data)]


def _axes(options: Mapping[str, Any], shape: tuple[int, ...]) -> Axes | None:
    """Return the names of all axes; None where there are too few."""
    channel, rgb = options.get("channel_axis"), options.get("rgb")
    labels = [str(one) for one in options.get("axis_labels") or ()]
    others = len(shape) - (channel is not None)
    if rgb is None:
        rgb = channel is None and len(labels) != others and others > 2 and shape[-1] in (3, 4)
    plain = others - bool(rgb)
    if plain < 2:
        return None

    def whole(names: Sequence[str]) -> Axes:
        placed = [*names, *(SAMPLE * bool(rgb))]
        if channel is not None:
            placed.insert(channel % len(shape), CHANNEL)
        return name_axes(placed, shape)

    try:
        return whole(labels)
    except ValueError:  # none, or words of the plugin's own
        return whole(unnamed_axes(plain, channels=channel is None))


def _along(axes: Axes, options: Mapping[str, Any], name: str) -> dict[str, float]:
    """Return one of the vectors of a layer by axis, without what are no finite numbers."""
    try:
        values = np.asarray(options.get(name, ()), dtype=float).ravel().tolist()
    except (TypeError, ValueError):
        return {}
    by_axis = _by_axis(axes, options, values)
    return {axis: one for axis, one in by_axis.items() if math.isfinite(one)}


def _units(axes: Axes, options: Mapping[str, Any]) -> dict[str, str]:
    given = options.get("units") or ()
    one_for_all = isinstance(given, str) or not isinstance(given, Iterable)
    values = [given] * len(axes) if one_for_all else list(given)
    by_axis = _by_axis(axes, options, values)
    return {axis: unit_name(str(one)) for axis, one in by_axis.items() if one is not None}


def _by_axis(axes: Axes, options: Mapping[str, Any], values: list[Any]) -> dict[str, Any]:
    """Return values by axis; napari counts from the last axis, and no channels or colors."""
    names = [axis for axis in axes if axis != SAMPLE]
    if options.get("channel_axis") is not None and len(values) < len(names):
        names.remove(CHANNEL)
    return dict(zip(reversed(names), reversed(values), strict=False))
