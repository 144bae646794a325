"""What the tests of the window share: a dock in a real viewer, and what napari told the user."""

from __future__ import annotations

import pytest
from napari.utils.notifications import notification_manager


@pytest.fixture(autouse=True)
def forgetful(monkeypatch, tmp_path):
    """What a dock remembers is for one test only."""
    monkeypatch.setenv("NAPARI_CLIPSEG_CONFIG", str(tmp_path / "config"))


def in_window(request):
    """Whether a test is to have a window; with `pytest.mark.window(False)` it has none.

    What does not depend on one is tested in a third of the time without.
    """
    mark = request.node.get_closest_marker("window")
    return mark is None or mark.args[0]


@pytest.fixture
def viewer(request):
    """A viewer, as napari gives it to plugins; or its model alone."""
    if in_window(request):
        return request.getfixturevalue("make_napari_viewer_proxy")(show=True)
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def dock(viewer, checkpoint, qtbot, request):
    """The dock in a viewer, a small random checkpoint chosen."""
    from napari_clipseg.widgets.dock import CLIPSegDock

    dock = CLIPSegDock(viewer)
    if in_window(request):
        viewer.window.add_dock_widget(dock, name="CLIPSeg")
    else:  # as napari does it
        qtbot.addWidget(dock.native)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(dock.reset_choices)
        dock.native.show()
    dock.offer_model(str(checkpoint("small")))
    return dock


@pytest.fixture
def run(dock, qtbot):
    """Run what the dock shows, and wait for the end."""

    def run(**prompt):
        fill(dock, **prompt)
        dock.run()
        wait(dock, qtbot)

    return run


@pytest.fixture
def told():
    """The messages of napari's notifications, since the test began."""
    notification_manager.records.clear()
    return lambda: " | ".join(record.message for record in notification_manager.records)


def fill(dock, text=None, reference=None, region=None):
    if reference is not None:
        dock.prompt.list.set_rows([])
        dock.prompt.add_example(reference if region is None else region, reference)
    elif text is not None:
        dock.prompt.set_lines(text)


def wait(dock, qtbot):
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=30_000)
