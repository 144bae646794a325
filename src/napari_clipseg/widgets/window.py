"""napari with a sample and the dock, a run started: ``python -m napari_clipseg.widgets.window``."""

from __future__ import annotations

import sys

import napari

from napari_clipseg.sample_data import load_sample
from napari_clipseg.widgets.dock import CLIPSegDock


def show_sample(viewer: napari.Viewer, name: str, model: str = "demo") -> CLIPSegDock:
    """Open a sample and the dock in a viewer, fill in the sample's prompts, and run.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    name : str
        Of the sample.
    model : str
        The checkpoint, as the dock offers it.

    Returns
    -------
    CLIPSegDock
        Its run goes on in the background.
    """
    sample = load_sample(name)
    viewer.add_image(sample.image, name=name)
    _, dock = viewer.window.add_plugin_dock_widget("napari-clipseg")
    dock.offer_model(model)
    dock.prompt.set_lines("\n".join(sample.prompts))
    dock.run()
    assert isinstance(dock, CLIPSegDock)
    return dock


if __name__ == "__main__":
    show_sample(napari.Viewer(title="napari-clipseg"), *sys.argv[1:])
    napari.run()
