"""Draw the images of the README and the documentation: ``tox -e screenshots``.

Each shows the plugin as it is, in a real window, on the bundled checkpoint and samples.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_clipseg.cli.demo import draw
from napari_clipseg.sample_data import coins, load_sample
from napari_clipseg.segmentation import segment
from napari_clipseg.widgets.dock import CLIPSegDock
from napari_clipseg.widgets.window import show_sample

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WINDOW = (1366, 768)
HIGHER = 0.55  # than the checkpoint's own threshold
LONGEST_RUN = 120.0
SETTLING = 1.5
PAINTED = 5  # things of each kind that strokes are painted on
MARGIN = 2  # pixels from the end of a stroke to the border of the thing
Line = tuple[tuple[int, int], tuple[int, int]]


def main() -> None:
    """Write all images."""
    FOLDER.mkdir(exist_ok=True)
    for draw_one in (tour, text_prompts, mixed_prompts, teaching):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["NAPARI_CLIPSEG_CONFIG"] = folder  # as if for the first time
            draw_one()
    for name in ("shapes", "micrograph"):
        sample = load_sample(name)
        draw(sample, segment(sample.image, sample.prompts), FOLDER / f"demo-{name}.png")


def tour() -> None:
    """Draw the five steps of the tour: on a photograph of coins, then on the shapes."""
    viewer = napari.Viewer()
    _, dock = viewer.window.add_plugin_dock_widget("napari-clipseg")
    for data, options, _ in coins():
        viewer.add_image(data, **options)
    shoot(viewer, "tour-1-open.png")
    QTest.keyClick(dock.prompt.line.native, Qt.Key.Key_Return)
    finish(dock)
    shoot(viewer, "tour-2-run.png")
    dock.results.threshold.value = HIGHER
    shoot(viewer, "tour-3-threshold.png")
    dock.results.objects.value = True
    shoot(viewer, "tour-4-objects.png")
    viewer.close()
    mixed_prompts("tour-5-example.png", "")


def text_prompts() -> None:
    """Draw the dock after a run with the sample's text prompts."""
    viewer = napari.Viewer()
    finish(show_sample(viewer, "shapes"))
    shoot(viewer, "dock-text.png")
    viewer.close()


def mixed_prompts(name: str = "dock-example.png", texts: str = "nuclei\n- filaments") -> None:
    """Draw the dock after a run with texts and a box around one example."""
    viewer = napari.Viewer()
    dock = show_sample(viewer, "shapes")
    finish(dock)
    sample = load_sample("shapes")
    for layer in list(viewer.layers)[1:]:
        viewer.layers.remove(layer)
    dock.prompt.set_lines(texts)
    dock.prompt.draw_example()
    box = box_around_one(sample.truth == 2)
    viewer.layers.selection.active.add(box, shape_type="rectangle")
    dock.run()
    finish(dock)
    shoot(viewer, name)
    viewer.close()


def teaching() -> None:
    """Draw the dock after a few strokes on nuclei, and a few beside them."""
    viewer = napari.Viewer()
    sample = load_sample("micrograph")
    viewer.add_image(sample.image, name="micrograph")
    _, dock = viewer.window.add_plugin_dock_widget("napari-clipseg")
    dock.prompt.teach.value = True
    finish(dock)
    strokes = viewer.layers.selection.active
    beside = [line for kind in (2, 3) for line in strokes_on(sample.truth == kind)]
    beside += strokes_far_from(sample.truth > 0)
    for value, lines in ((2, strokes_on(sample.truth == 1)), (1, beside)):
        strokes.selected_label = value
        for start, end in lines:
            with strokes.block_history():
                for along in np.linspace(0, 1, 30):
                    strokes.paint(
                        tuple((1 - along) * np.array(start) + along * np.array(end)), value
                    )
    process(SETTLING)
    finish(dock)
    shoot(viewer, "dock-teach.png")
    viewer.close()


def strokes_on(mask: np.ndarray) -> list[Line]:
    """Return a stroke from the left border inwards for each of the largest parts of a mask."""
    from skimage.measure import label, regionprops

    lines = []
    for part in sorted(regionprops(label(mask)), key=lambda part: -part.area)[:PAINTED]:
        row = round(part.centroid[0])
        columns = np.sort(part.coords[part.coords[:, 0] == row, 1])
        run = columns[: np.flatnonzero(np.append(np.diff(columns), 2) > 1)[0] + 1]
        lines.append(((row, run[0] + MARGIN), (row, run[-1] - MARGIN)))
    return lines


def strokes_far_from(mask: np.ndarray) -> list[Line]:
    """Return strokes where nothing is near."""
    from scipy.ndimage import distance_transform_edt

    taken, lines = mask.copy(), []
    for _ in range(PAINTED):
        far = distance_transform_edt(~np.pad(taken, 1, constant_values=True))[1:-1, 1:-1]
        row, column = map(int, np.unravel_index(far.argmax(), far.shape))
        half = int(far.max() / 2)
        lines.append(((row, column - half), (row, column + half)))
        taken[row, column - half : column + half] = True
    return lines


def box_around_one(mask: np.ndarray) -> np.ndarray:
    """Return the corners ``(4, 2)`` of a rectangle around the largest part of a mask."""
    from skimage.measure import label, regionprops

    largest = max(regionprops(label(mask)), key=lambda part: part.area)
    top, left, bottom, right = largest.bbox
    box = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array(box, dtype=float)


def shoot(viewer: napari.Viewer, name: str) -> None:
    """Write an image of the whole window, once it rests."""
    viewer.window.resize(*WINDOW)
    viewer.reset_view()
    process(SETTLING)
    viewer.screenshot(FOLDER / name, canvas_only=False, flash=False)


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
