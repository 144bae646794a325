from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.maps import create_map
from napari_clipseg.segmentation import segment
from seeing import Seeing

FORMATS = ["map.npy", "map.zarr"]
ONES = np.ones((1, 8, 9), np.float32)


def written(output):
    made = create_map(Extent(height=8, width=9), 1, output=output)
    made.write((), slice(0, 8), ONES)
    made.end_plane(())
    return made


@pytest.mark.parametrize("name", FORMATS)
def test_a_map_is_still_read_after_the_folder_was_changed(name, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    made = written(name)
    data = made.data
    monkeypatch.chdir(tmp_path / "other")
    assert np.asarray(data).all()
    assert np.asarray(made.data).all()


@pytest.mark.parametrize("name", FORMATS)
def test_a_result_knows_its_whole_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = segment(np.eye(12), "x", model=Seeing(12), output=name)
    monkeypatch.chdir("/")
    assert result.path == tmp_path / name
    assert np.asarray(result.probability).any()


@pytest.mark.parametrize("name", FORMATS)
def test_a_tilde_is_the_home_folder(name, tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    written(f"~/{name}")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_folder_is_an_error_and_not_made(name, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        written(tmp_path / "results" / "today" / name)
    assert str(caught.value) == (
        f"There is no folder {tmp_path / 'results' / 'today'} for {name}. Make it first, or choose "
        f"another one."
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("lazily", [False, True], ids=["read", "read later"])
def test_a_deleted_map_is_no_map_of_zeros(lazily, tmp_path):
    made = written(tmp_path / "map.zarr")
    data = made.data[:, 2:]
    if lazily:
        assert data.compute().all()
    shutil.rmtree(tmp_path / "map.zarr")
    with pytest.raises(FileNotFoundError, match=r"map\.zarr is gone.*Put it back, or segment"):
        np.asarray(data)


def test_a_map_that_is_deleted_during_a_run_is_not_made_anew(tmp_path):
    made = written(tmp_path / "map.zarr")
    shutil.rmtree(tmp_path / "map.zarr")
    with pytest.raises(FileNotFoundError, match="is gone"):
        made.write((), slice(0, 8), ONES)
    assert not Path(tmp_path / "map.zarr").exists()


def test_a_lazy_map_can_be_sent_to_another_process(tmp_path):
    import pickle

    again = pickle.loads(pickle.dumps(written(tmp_path / "map.zarr").data))
    assert again.compute().all()
    assert again.chunksize == (1, 8, 9)
