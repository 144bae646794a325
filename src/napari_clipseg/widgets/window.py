"""napari with a sample and the dock, a run started: ``python -m napari_clipseg.widgets.window``."""

from __future__ import annotations

import sys

import napari

from napari_clipseg.sample_data import load_sample
from napari_clipseg.widgets.dock import CLIPSegDock


def open_sample(name: str, model: str = "demo") -> tuple[napari.Viewer, CLIPSegDock]:
    """Open a viewer with a sample and the dock, its prompts filled in, and run.

    Parameters
    ----------
    name : str
        Of the sample.
    model : str
        The checkpoint, as the dock offers it.

    Returns
    -------
    tuple of napari.Viewer and CLIPSegDock
        The run goes on in the background.
    """
    sample = load_sample(name)
    viewer = napari.Viewer(title=f"napari-clipseg: {name}")
    viewer.add_image(sample.image, name=name)
    _, dock = viewer.window.add_plugin_dock_widget("napari-clipseg")
    dock.offer_model(model)
    dock.prompt.text.value = "\n".join(sample.prompts)
    dock.run()
    return viewer, dock


if __name__ == "__main__":
    open_sample(*sys.argv[1:])
    napari.run()
