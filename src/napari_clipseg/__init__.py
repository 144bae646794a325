"""Segment images in napari by saying what you want: a text or a reference image.

From Python: ``napari_clipseg.segment(image, ["nuclei", "red rings"])``. In napari:
Plugins > Segment with a prompt, or Layers > Segment.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_clipseg.engine.loading import load
    from napari_clipseg.segmentation import segment

    __version__: str

__all__ = ["__version__", "load", "segment"]

# Imported when first used, so that napari starts without torch.
_LAZY = {"load": "napari_clipseg.engine.loading", "segment": "napari_clipseg.segmentation"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-clipseg")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
