"""Segment images in napari by saying what you want: a text or a reference image.

From Python: ``napari_clipseg.segment(image, ["nuclei", "red rings"])``. In napari:
Plugins > Segment with a prompt, or Layers > Segment.

The public names are imported when they are first used, so that napari starts without torch;
``__init__.pyi`` lists them.
"""

from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-clipseg")
    return _load(name)
