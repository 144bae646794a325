"""Print how long the window stands still where it may: ``python benchmarks/stalls.py``.

A timer of 10 ms runs in the window's thread. A stall is the time by which it comes late; beside it
stands how long the thread itself computed in that time: the rest was spent waiting, for the
processor or for Python's lock. What napari alone needs to show the same layers is printed, too. It
opens a window: without a display, run it through ``tools/virtual_display.py``.

A name such as ``cancel-6000`` as argument takes that case alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_clipseg.widgets.dock import CLIPSegDock

TICK = 0.010
PROMPTS = 30
MOVES = (0.35, 0.45, 0.55, 0.4)
PATIENCE = 600
IDLE = 8  # seconds until the first run: somebody looks and types


class Clock:
    """Notes by how much a timer comes late, and what the thread computed meanwhile."""

    def __init__(self) -> None:
        self._timer = QTimer()
        self._timer.setInterval(int(TICK * 1000))
        self._timer.timeout.connect(self._tick)
        self.late: list[tuple[float, float]] = []

    def __enter__(self) -> Clock:
        self.late = []
        self._at, self._cpu = time.perf_counter(), time.thread_time()
        self._began = self._at
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tick()
        self._timer.stop()
        self.seconds = time.perf_counter() - self._began

    def _tick(self) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        self.late.append((now - self._at - TICK, cpu - self._cpu))
        self._at, self._cpu = now, cpu


def settle(seconds: float = 0.5) -> None:
    """Let the window work for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.001)


def until(done: Callable[[], bool]) -> None:
    """Let the window work until something is so."""
    end = time.monotonic() + PATIENCE
    while not done():
        QApplication.processEvents()
        time.sleep(0.001)
        if time.monotonic() > end:
            raise TimeoutError("the window did not come to rest")


def report(case: str, clock: Clock) -> None:
    """Print a line."""
    worst, cpu = max(clock.late)
    long = sum(late > 0.05 for late, _ in clock.late)
    print(
        f"{case:34} {1000 * worst:7.0f} ms, of it computing {1000 * cpu:6.0f} ms; "
        f"{long:3} above 50 ms in {clock.seconds:6.1f} s",
        flush=True,
    )


def blobs(shape: tuple[int, ...]) -> np.ndarray:
    """Return an image of blobs, such as cells."""
    rng = np.random.default_rng(0)
    planes = []
    for _ in range(shape[0] if len(shape) == 3 else 1):
        coarse = rng.random([n // 8 for n in shape[-2:]], dtype=np.float32)
        coarse = ndimage.gaussian_filter(coarse, 2)
        plane = np.kron((coarse - coarse.min()) / np.ptp(coarse) * 255, np.ones((8, 8)))
        planes.append(np.pad(plane, [(0, n % 8) for n in shape[-2:]]))
    stack = np.stack(planes).astype(np.uint8)
    return stack if len(shape) == 3 else stack[0]


def opened(image: np.ndarray, text: str) -> tuple[napari.Viewer, CLIPSegDock]:
    """Return a viewer with an image, and the dock."""
    viewer = napari.Viewer()
    dock = CLIPSegDock(viewer)
    dock.ask_for_time = lambda *_: True
    viewer.window.add_dock_widget(dock, name="CLIPSeg")
    viewer.add_image(image, name="cells", contrast_limits=(0, 255))
    dock.prompt.set_lines(text)
    viewer.add_labels(np.ones((8, 8), np.int32))  # the first one of all takes napari seconds
    settle()
    viewer.layers.pop()
    settle(IDLE)
    return viewer, dock


def finish(dock: CLIPSegDock) -> None:
    """Wait for the end of a run, and of all that follows it."""
    until(lambda: dock.run_button.enabled)
    until(lambda: dock.results.result is None or not dock.results.result.busy)
    settle()


def cancel(side: int) -> None:
    """Cancel a run on a large image after the first tiles."""
    image = np.zeros((side, side), np.uint8)
    image[:2048, :2048] = blobs((2048, 2048))
    viewer, dock = opened(image, "nuclei")
    dock.run_options.detail.value = "fine"
    dock.run_options.refine_edges.value = False
    dock.run()
    until(lambda: dock.progress.value >= 12)
    with Clock() as clock:
        began = time.perf_counter()
        dock.cancel()
        until(lambda: dock.run_button.enabled)
        idle = time.perf_counter() - began
        finish(dock)
    report(f"cancel at {side} x {side}", clock)
    print(f"{'':34} idle after {idle:.1f} s")
    shown = [layer.as_layer_data_tuple() for layer in viewer.layers if layer.visible][1:]
    viewer.layers.clear()
    settle()
    with Clock() as clock:
        for data, options, kind in shown:
            viewer.add_layer(napari.layers.Layer.create(data, {"name": options["name"]}, kind))
        settle()
    report("  napari alone, the same layers", clock)
    viewer.close()


def threshold(shape: tuple[int, ...], objects: bool) -> None:
    """Move the threshold."""
    viewer, dock = opened(blobs(shape), "nuclei")
    if len(shape) == 3:
        dock.run_options.planes.value = "all of them"
    dock.run_options.refine_edges.value = False
    dock.run()
    finish(dock)
    dock.results.objects.value = objects
    finish(dock)
    maps = next(x.data for x in viewer.layers if x.name.endswith("nuclei"))
    with Clock() as clock:
        for part in MOVES:
            dock.results.threshold.value = round(float(np.quantile(maps, part)), 2)
            settle(0.2)
        finish(dock)
    name = " x ".join(map(str, shape))
    report(f"threshold, {'objects' if objects else 'prompts'}, {name}", clock)
    labels = viewer.layers[-1]
    with Clock() as clock:
        for _ in MOVES:
            labels.data = labels.data.copy()
            settle(0.2)
        settle()
    report("  napari alone, the same labels", clock)
    viewer.close()


def adding(shape: tuple[int, ...], prompts: int) -> None:
    """Run, from the press of the button on; the window was open for a while."""
    text = "\n".join(f"thing {k}" for k in range(prompts))
    viewer, dock = opened(blobs(shape), text)
    with Clock() as clock:
        dock.run()
        finish(dock)
    report(f"a run, {prompts} prompts, {' x '.join(map(str, shape))}", clock)
    shown = [layer.as_layer_data_tuple() for layer in viewer.layers][1:]
    viewer.layers.clear()
    settle()
    with Clock() as clock:
        for data, options, kind in shown:
            given = {name: options[name] for name in ("name", "visible")}
            viewer.add_layer(napari.layers.Layer.create(data, given, kind))
        settle()
    report("  napari alone, the same layers", clock)
    viewer.close()


CASES: dict[str, Callable[[], None]] = {
    "run": lambda: adding((2048, 2048), 1),
    "run-30": lambda: adding((512, 512), PROMPTS),
    "threshold": lambda: threshold((2048, 2048), False),
    "objects": lambda: threshold((2048, 2048), True),
    "objects-stack": lambda: threshold((20, 1024, 1024), True),
    "cancel-6000": lambda: cancel(6000),
    "cancel-20000": lambda: cancel(20000),
}


def main() -> int:
    """Print a table."""
    for name in sys.argv[1:] or CASES:
        CASES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
