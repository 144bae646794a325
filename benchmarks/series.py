"""Print how long the next image of a series takes: ``python benchmarks/series.py``.

Images of 2048 x 2048 pixels in uint8, read ahead, from the press of *Next* until image and labels
are layers of the viewer. It opens a window: without a display, run it through
``tools/virtual_display.py``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE = 2048
IMAGES = 12


def main() -> int:
    """Go through a folder, and print the times."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_clipseg.widgets.dock import CLIPSegDock

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(IMAGES):
            image = rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
            np.save(Path(folder) / f"{number}.npy", image)
        viewer = napari.Viewer()
        dock = CLIPSegDock(viewer)
        viewer.window.add_dock_widget(dock, name="CLIPSeg")
        series, seconds = dock.series, []
        series.open_folder(Path(folder))
        for number in range(IMAGES):
            end = time.monotonic() + 1.5  # somebody looks at the image
            while time.monotonic() < end or len(viewer.layers) < 2:
                QApplication.processEvents()
            if number + 1 < IMAGES:
                start = time.perf_counter()
                series.step(1)
                while len(viewer.layers) < 2:
                    QApplication.processEvents()
                seconds.append(time.perf_counter() - start)
        viewer.close()
    print(
        f"next image of {SIDE} x {SIDE}: median {1000 * float(np.median(seconds)):.0f} ms, "
        f"slowest {1000 * max(seconds):.0f} ms of {len(seconds)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
