"""Draw the images of the README and the documentation: ``tox -e screenshots``.

Each shows the plugin as it is, in a real window, on the bundled checkpoint and samples.
"""

from __future__ import annotations

import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_clipseg.cli.demo import draw
from napari_clipseg.sample_data import load_sample
from napari_clipseg.segmentation import segment
from napari_clipseg.widgets.dock import CLIPSegDock
from napari_clipseg.widgets.window import show_sample

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WINDOW = (1280, 760)
LONGEST_RUN = 120.0
SETTLING = 1.5


def main() -> None:
    """Write all images."""
    FOLDER.mkdir(exist_ok=True)
    text_prompts()
    reference_prompt()
    for name in ("shapes", "micrograph"):
        sample = load_sample(name)
        draw(sample, segment(sample.image, sample.prompts), FOLDER / f"demo-{name}.png")


def text_prompts() -> None:
    """Draw the dock after a run with the sample's text prompts."""
    viewer = napari.Viewer()
    dock = show_sample(viewer, "shapes")
    shoot(viewer, dock, "dock-text.png")


def reference_prompt() -> None:
    """Draw the dock after a run with a rectangle around one example."""
    viewer = napari.Viewer()
    dock = show_sample(viewer, "shapes")
    finish(dock)
    sample = load_sample("shapes")
    for layer in list(viewer.layers)[1:]:
        viewer.layers.remove(layer)
    box = box_around_one(sample.truth == 2)
    region = viewer.add_shapes(
        [box], name="example", edge_color="white", edge_width=3, face_color="transparent"
    )
    dock.prompt.kind.value = "reference image"
    dock.prompt.region.value = region
    dock.run()
    shoot(viewer, dock, "dock-reference.png")


def box_around_one(mask: np.ndarray) -> np.ndarray:
    """Return the corners ``(4, 2)`` of a rectangle around the largest part of a mask."""
    from skimage.measure import label, regionprops

    largest = max(regionprops(label(mask)), key=lambda part: part.area)
    top, left, bottom, right = largest.bbox
    box = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array(box, dtype=float)


def shoot(viewer: napari.Viewer, dock: CLIPSegDock, name: str) -> None:
    """Wait for the run to end, and write an image of the whole window."""
    viewer.window.resize(*WINDOW)
    finish(dock)
    viewer.reset_view()
    process(SETTLING)
    viewer.screenshot(FOLDER / name, canvas_only=False, flash=False)
    viewer.close()


def finish(dock: CLIPSegDock) -> None:
    """Let the window live until the run has ended."""
    until = time.monotonic() + LONGEST_RUN
    while not dock.run_button.enabled:
        if time.monotonic() > until:
            raise TimeoutError(f"the run has not ended within {LONGEST_RUN:.0f} s")
        process(0.02)


def process(seconds: float) -> None:
    """Let the window live for a time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()
