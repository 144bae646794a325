"""What a run will take, and what is shown of it while it goes on."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from napari_clipseg.engine.engine import Engine
from napari_clipseg.widgets.estimate import RunEstimate, Speeds, TimeLeft

pytestmark = pytest.mark.window(False)


@pytest.fixture
def large():
    return np.random.default_rng(0).integers(0, 255, (230, 300), dtype=np.uint8)


def test_a_run_in_tiles_is_estimated_and_a_long_one_is_asked_for(viewer, dock, qtbot, large, run):
    viewer.add_image(large, name="cells", contrast_limits=(0, 255))
    dock.prompt.set_lines("nuclei")
    assert not dock.estimate.visible  # of one tile
    dock.run_options.detail.value = "fine"
    qtbot.waitUntil(lambda: dock.estimate.last is not None, timeout=30_000)
    from napari_clipseg import plan

    made = plan(viewer.layers["cells"], "nuclei", model=dock.model.value, detail="fine")
    assert dock.estimate.value.startswith(f"{made.tile_count} tiles, about 1 s, ")
    asked = []
    dock.ask_for_time = lambda estimate, _: bool(asked.append(estimate))
    dock.estimate.last = RunEstimate(64, 240.0, 310_000_000)
    dock.run()
    assert [str(one) for one in asked] == ["64 tiles, about 4 min, 310 MB"]
    assert "Not started: 64 tiles" in dock.status.value
    assert len(viewer.layers) == 1
    dock.ask_for_time = lambda *_: True
    run()
    assert len(viewer.layers) == 3


def test_the_map_is_shown_tile_by_tile_and_a_stopped_run_shows_all_finished_tiles(
    viewer, dock, qtbot, large, monkeypatch
):
    from napari_clipseg.widgets import so_far

    viewer.add_image(large, name="cells", contrast_limits=(0, 255), scale=(2, 2))
    monkeypatch.setattr(so_far, "FIRST_WAIT", 0)
    monkeypatch.setattr(so_far, "LEAST_WAIT", 0)
    dock.run_options.detail.value = "fine"
    encode, seen, go_on = Engine.encode, [], threading.Event()

    def encode_and_wait(self, images, **options):
        seen.append(len(images))
        if len(seen) == 4:
            assert go_on.wait(30)
        return encode(self, images, **options)

    dock.prompt.set_lines("nuclei")
    qtbot.waitUntil(lambda: dock.estimate.last is not None, timeout=30_000)
    monkeypatch.setattr(Engine, "encode", encode_and_wait)
    dock.run()
    qtbot.waitUntil(lambda: len(seen) == 4, timeout=30_000)
    qtbot.waitUntil(lambda: "cells · so far" in viewer.layers, timeout=5_000)
    assert set(seen) == {1}, "a run can be cancelled after each tile"
    growing = viewer.layers["cells · so far"].data
    assert growing.any()
    assert not growing.all()
    assert " left…" in dock.status.value
    dock.cancel()
    go_on.set()
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=30_000)
    assert "cells · so far" not in viewer.layers
    assert len(seen) == 4
    maps = viewer.layers["cells · nuclei"].data
    assert maps[:40, :40].all()  # of the first row of tiles, which is not complete
    assert not maps[-40:].any()
    assert dock.status.value.startswith("Stopped; what was done is shown.")


def test_speeds_are_kept_in_a_file_that_may_be_broken(tmp_path):
    path = tmp_path / "new" / "speeds.json"
    Speeds(path).put("a model", 0.5)
    assert Speeds(path).get("a model") == 0.5
    assert json.loads(path.read_text()) == {"a model": 0.5}
    for text in ("", "[]", '{"a model": []}', "{"):
        path.write_text(text)
        assert Speeds(path).get("a model") is None
    Speeds(path).put("another", 1.0)
    assert Speeds(path).get("another") == 1.0


def test_the_time_left():
    left = TimeLeft()
    assert left.after(1, 10, now=0.0) == ""
    assert left.after(2, 10, now=5.0) == ""
    assert left.after(4, 10, now=9.0) == ", about 12 s left"
    assert left.after(9, 10, now=1000.0) == ", about 2 min left"
