"""An image of a series and its labels as napari layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Labels

from napari_clipseg.images.io.axes import CHANNEL, COLUMN, DEPTH, ROW, SAMPLE
from napari_clipseg.images.io.source import Source
from napari_clipseg.widgets.series_folder import Opened


def fits(image: Image, opened: Opened) -> bool:
    """Return whether a layer can show another image."""
    source = opened.source
    names = tuple(name for name in source.axes if name != SAMPLE)
    return (
        not image.multiscale
        and len(source.levels) == 1
        and image.rgb == source.rgb
        and tuple(image.axis_labels) == names
        and np.dtype(image.data.dtype) == source.dtype
    )


def show_on(image: Image, labels: Labels, opened: Opened) -> None:
    """Show an image and its labels on layers that fit."""
    source = opened.source
    names = [name for name in source.axes if name != SAMPLE]
    image.data = _colors_last(source.levels[0], source)
    image.name = source.name
    if not source.rgb:
        image.reset_contrast_limits()
    labels.data = opened.labels
    labels.name = f"{source.name} · labels"
    labels._reset_history()  # else undo would bring strokes of the image before
    for layer, its in ((image, names), (labels, [name for name in names if name != CHANNEL])):
        for key, value in _placement(source, its).items():
            if tuple(map(str, getattr(layer, key))) != tuple(map(str, value)):
                setattr(layer, key, value)


def layers_of(opened: Opened) -> tuple[Image, Labels]:
    """Return an image and its labels as layers."""
    source = opened.source
    levels = [_colors_last(level, source) for level in source.levels]
    names = [name for name in source.axes if name != SAMPLE]
    image = Image(
        levels if len(levels) > 1 else levels[0],
        name=source.name,
        rgb=source.rgb,
        multiscale=len(levels) > 1,
        **_placement(source, names),
    )
    kept = [name for name in names if name != CHANNEL]
    labels = Labels(
        opened.labels, name=f"{source.name} · labels", opacity=0.5, **_placement(source, kept)
    )
    return image, labels


def _colors_last(level: Any, source: Source) -> Any:
    if not source.rgb:
        return level
    colors = source.axes.index(SAMPLE)
    order = [*(i for i in range(len(source.axes)) if i != colors), colors]
    return level if colors == len(order) - 1 else np.asarray(level).transpose(order)


def _placement(source: Source, names: list[str]) -> dict[str, Any]:
    scale = dict(zip((ROW, COLUMN), source.spacing, strict=True))
    start = dict(zip((ROW, COLUMN), source.translation, strict=True))
    if source.z_spacing is not None:
        scale[DEPTH], start[DEPTH] = source.z_spacing, source.z_translation
    return {
        "scale": [scale.get(name, 1.0) for name in names],
        "translate": [start.get(name, 0.0) for name in names],
        "units": [source.unit if name in scale else "pixel" for name in names],
        "axis_labels": names,
    }
