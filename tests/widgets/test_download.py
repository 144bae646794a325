"""The dock with a model that is not here: offered, fetched from a hub on the loopback, and run."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

from fake_hub import NAME, as_default, held, status
from napari_clipseg.engine.checkpoints.catalog import catalog_entry
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import NotDownloadedError
from napari_clipseg.engine.hub import transfer
from napari_clipseg.recipe import Recipe
from napari_clipseg.widgets.download import ask


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(transfer, "PAUSE", 0)
    return tmp_path / "hub"


pytestmark = pytest.mark.window(False)


@pytest.fixture
def hub(hub, monkeypatch):
    as_default(hub, monkeypatch)
    return hub


@pytest.fixture
def ready(viewer, dock, hub):
    """A dock that only has to be run, with a model that is not here; answer the offer."""
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (40, 60), dtype=np.uint8))
    dock.prompt.set_lines("nuclei")
    dock.offer_model(NAME)
    offers = []

    def answer(yes):
        dock.ask_to_download = lambda offered, _: offers.append(offered) or yes
        return offers

    return answer


def finish(dock, qtbot):
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=60_000)


def test_a_model_that_is_not_here_is_offered_fetched_and_run(viewer, dock, ready, qtbot, told):
    offers = ready(True)
    shown = []
    dock.progress.changed.connect(shown.append)
    dock.run()
    assert not dock.run_button.enabled
    assert dock.cancel_button.enabled
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=60_000)
    finish(dock, qtbot)
    assert [(one.name, one.size_text) for one in offers] == [(NAME, "605 MB")]
    assert told() == ""
    assert Recipe.of(viewer.layers[-1]).model == NAME
    assert locate(NAME).is_dir()
    assert max(shown) > 0
    dock.run()  # now that it is here, nobody is asked
    finish(dock, qtbot)
    assert len(offers) == 1


def test_the_bar_counts_megabytes(dock, ready, hub, qtbot):
    ready(True)
    go_on = threading.Event()
    hub.faults["/store/"] = held(go_on, after=2_500_000)
    dock.run()
    try:
        qtbot.waitUntil(lambda: dock.progress.value == 2, timeout=30_000)
        assert dock.progress.max == 4
        assert dock.status.value.startswith(f"Downloading {NAME}: ")
        assert "MB of 4 MB" in dock.status.value
    finally:
        go_on.set()
    finish(dock, qtbot)


def test_a_no_fetches_nothing_and_says_how_to_get_it(viewer, dock, ready, hub, cache, told):
    ready(False)
    dock.run()
    assert dock.run_button.enabled
    assert f"`napari-clipseg download {NAME}`" in dock.status.value
    assert told() == ""
    assert hub.asked == []
    assert not cache.exists()
    assert len(viewer.layers) == 1


def test_a_cancelled_download_is_kept_and_goes_on(viewer, dock, ready, hub, qtbot, told, cache):
    ready(True)
    go_on = threading.Event()
    hub.faults["/store/"] = held(go_on, after=1_000_000)
    dock.run()
    qtbot.waitUntil(
        lambda: any(half.stat().st_size > 5e5 for half in cache.rglob("*.incomplete")),
        timeout=30_000,
    )
    dock.cancel()
    assert dock.status.value == "Stopping…"
    go_on.set()
    finish(dock, qtbot)
    assert "What was fetched is kept" in dock.status.value
    assert told() == ""
    assert len(viewer.layers) == 1
    with pytest.raises(NotDownloadedError):
        locate(NAME)
    hub.faults.clear()
    hub.asked.clear()
    dock.run()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=60_000)
    finish(dock, qtbot)
    assert any(hub.ranges())


def test_a_failed_download_is_told_with_its_cure(viewer, dock, ready, hub, qtbot, told):
    ready(True)
    hub.faults["/api/"] = status(503)
    dock.run()
    finish(dock, qtbot)
    assert "answered 503" in told()
    assert dock.status.value in told()
    assert len(viewer.layers) == 1


@pytest.mark.window(True)
def test_closing_the_dock_stops_its_download(viewer, dock, ready, hub, qtbot, cache):
    ready(True)
    go_on = threading.Event()
    hub.faults["/store/"] = held(go_on, after=1_000_000)
    dock.run()
    qtbot.waitUntil(lambda: any(cache.rglob("*.incomplete")), timeout=30_000)
    worker = dock._worker
    viewer.window.remove_dock_widget(dock.native)
    dock.native.close()
    dock.native.deleteLater()
    qtbot.waitUntil(lambda: worker.abort_requested, timeout=30_000)
    go_on.set()
    qtbot.waitUntil(lambda: not worker._worker.is_running, timeout=30_000)
    with pytest.raises(NotDownloadedError):
        locate(NAME)


def test_a_folder_that_is_not_there_is_no_offer(viewer, dock, ready, qtbot, told):
    offers = ready(True)
    dock.offer_model("./nothing")
    dock.run()
    finish(dock, qtbot)
    assert offers == []
    assert "There is no checkpoint './nothing'" in told()


@pytest.mark.parametrize(
    ("button", "answer"), [("Download", True), ("Not now", False), (None, False)], ids=str
)
def test_the_dialog_tells_all_there_is_to_agree_to(button, answer, qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    seen = []

    def press():
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        seen.append(box.text())
        if button is None:
            box.close()
        else:
            next(one for one in box.buttons() if one.text().replace("&", "") == button).click()

    QTimer.singleShot(200, press)
    assert ask(catalog_entry(NAME), parent) is answer
    (text,) = seen
    for part in (NAME, "605 MB", "apache-2.0", "MIT license does not apply to the weights"):
        assert part in text
    assert f'<a href="https://huggingface.co/{NAME}">' in text
