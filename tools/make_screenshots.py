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
# Strokes on the background and on a thread of the sample, beside those on green rings.
BESIDE = [((220, 240), (220, 270)), ((60, 140), (90, 160)), ((330, 300), (330, 330))]


def main() -> None:
    """Write all images."""
    FOLDER.mkdir(exist_ok=True)
    text_prompts()
    reference_prompt()
    teaching()
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


def teaching() -> None:
    """Draw the dock after a few strokes on rings, and a few beside them."""
    viewer = napari.Viewer()
    sample = load_sample("shapes")
    viewer.add_image(sample.image, name="shapes")
    _, dock = viewer.window.add_plugin_dock_widget("napari-clipseg")
    dock.prompt.kind.value = "teach"
    finish(dock)
    strokes = viewer.layers.selection.active
    rings = strokes_on(sample.truth == 1)
    for value, lines in ((2, rings), (1, strokes_on(sample.truth == 2) + BESIDE)):
        strokes.selected_label = value
        for start, end in lines:
            with strokes.block_history():
                for along in np.linspace(0, 1, 30):
                    strokes.paint(
                        tuple((1 - along) * np.array(start) + along * np.array(end)), value
                    )
    process(SETTLING)
    shoot(viewer, dock, "dock-teach.png")


def strokes_on(mask: np.ndarray) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the ends of a stroke across each of the largest parts of a mask."""
    from skimage.measure import label, regionprops

    parts = sorted(regionprops(label(mask)), key=lambda part: -part.area)[:4]
    ends = []
    for part in parts:
        rows, columns = part.coords.T
        top = rows.min() + 6
        middle = int(np.median(columns[rows == top]))
        ends.append(((top, middle - 12), (top, middle + 12)))
    return ends


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
    while not dock.run_button.enabled or dock.teaching.busy:
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
