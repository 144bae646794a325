"""The choice of a checkpoint."""

import pytest

from napari_clipseg.engine.checkpoints.locate import BUNDLED, KNOWN
from napari_clipseg.widgets import models
from napari_clipseg.widgets.models import ModelBox


@pytest.fixture
def box(qtbot):
    box = ModelBox()
    qtbot.addWidget(box.native)
    return box


@pytest.fixture
def picked(monkeypatch):
    """Answer the folder dialog."""

    def pick(folder):
        monkeypatch.setattr(models.QFileDialog, "getExistingDirectory", lambda *_: str(folder))

    return pick


def test_the_bundled_one_is_chosen_and_the_published_ones_are_offered(box):
    assert box.value == BUNDLED
    assert box.choices == (BUNDLED, *KNOWN)


def test_each_is_called_by_what_it_is_for_and_what_getting_it_takes(box, monkeypatch):
    monkeypatch.setattr(models, "missing", lambda name: name if name == KNOWN[0] else None)
    box.refresh()
    shown = [box.native.itemText(i) for i in range(box.native.count())]
    assert shown[:3] == [
        "Demo, built in: simple shapes",
        "CLIPSeg, published, 605 MB: any word",
        "CLIPSeg rd64, published: coarser maps",
    ]
    assert box.value == BUNDLED


def test_a_chosen_folder_joins_the_list_by_its_last_part(box, picked, tmp_path):
    heard = []
    box.changed.connect(heard.append)
    picked(tmp_path / "mine")
    box.folder.changed.emit(True)
    assert box.value == str(tmp_path / "mine")
    assert box.current_choice == "mine"
    assert heard == [box.value]
    box.value = BUNDLED
    box.value = str(tmp_path / "mine")  # it stays
    assert box.choices.count(str(tmp_path / "mine")) == 1


def test_no_folder_chosen_leaves_the_choice(box, picked):
    picked("")
    box.value = KNOWN[0]
    box.folder.changed.emit(True)
    assert box.value == KNOWN[0]


def test_what_is_offered_is_chosen_without_a_change_of_the_user_s(box):
    heard = []
    box.changed.connect(heard.append)
    box.offer("somebody/model")
    box.offer(KNOWN[1])
    box.offer("somebody/model")
    assert box.value == "somebody/model"
    assert box.choices.count("somebody/model") == 1
    assert heard == []


def test_another_checkpoint_starts_at_its_own_threshold(dock, checkpoint):
    dock.results.threshold.value = 0.7
    assert dock.results.threshold_chosen
    dock.model.value = BUNDLED
    assert not dock.results.threshold_chosen
    dock.results.threshold.value = 0.6
    dock.offer_model(str(checkpoint("small")))
    assert not dock.results.threshold_chosen
