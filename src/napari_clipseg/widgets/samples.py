"""The samples as napari opens them: the dock opens with them, a prompt filled in."""

from __future__ import annotations

from typing import Any

import napari

from napari_clipseg import sample_data
from napari_clipseg.sample_data import LayerData

PLUGIN = "napari-clipseg"


def shapes() -> list[LayerData]:
    """Colored shapes."""
    return _with_dock(sample_data.shapes())


def micrograph() -> list[LayerData]:
    """A scene as a fluorescence microscope would show it."""
    return _with_dock(sample_data.micrograph())


def coins() -> list[LayerData]:
    """A photograph of coins."""
    return _with_dock(sample_data.coins())


def deep_field() -> list[LayerData]:
    """A photograph of distant galaxies."""
    return _with_dock(sample_data.deep_field())


def _with_dock(layers: list[LayerData]) -> list[LayerData]:
    """Return layers; when the next one is added, the dock opens beside it."""
    viewer: Any = napari.current_viewer()
    if viewer is not None:

        def open_dock(_: Any) -> None:
            viewer.layers.events.inserted.disconnect(open_dock)
            viewer.window.add_plugin_dock_widget(PLUGIN)

        viewer.layers.events.inserted.connect(open_dock)
    return layers
