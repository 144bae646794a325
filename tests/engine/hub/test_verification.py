from __future__ import annotations

import os

import pytest

from fake_hub import NAME
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError
from napari_clipseg.engine.hub.downloads import download
from napari_clipseg.engine.hub.verification import verify


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def folder(hub):
    """A checkpoint that was downloaded."""
    return download(NAME, accept_license=True, endpoint=hub.endpoint)


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_verify_compares_all_files_without_the_hub(folder, hub):
    hub.asked.clear()
    found = verify(NAME, endpoint=hub.endpoint)
    assert found.folder == folder
    assert set(found.files) == {path.name for path in folder.iterdir()}
    assert hub.asked == []


@pytest.mark.parametrize("files", [["config.json"], ["vocab.json", "model.safetensors"]], ids=str)
def test_verify_names_each_damaged_file_and_the_cure(files, folder):
    for file in files:
        damage(folder / file)
    with pytest.raises(CheckpointError, match=f"{len(files)} of 7 files") as caught:
        verify(NAME)
    named = {file for file in (path.name for path in folder.iterdir()) if file in str(caught.value)}
    assert named == set(files)
    assert f"`napari-clipseg download {NAME}` to get them again" in str(caught.value)


def test_verify_succeeds_after_the_cure(folder, hub):
    damage(folder / "model.safetensors")
    download(NAME, accept_license=True, endpoint=hub.endpoint)
    assert verify(NAME).folder == folder


def test_verify_finds_a_truncated_file(folder):
    os.truncate(folder / "model.safetensors", 1000)
    with pytest.raises(CheckpointError, match=r"model\.safetensors \(sha256 "):
        verify(NAME)


def test_verify_refuses_what_is_not_downloaded():
    with pytest.raises(NotDownloadedError, match="not on this machine"):
        verify(NAME)


@pytest.mark.parametrize("model", ["demo", "./folder"])
def test_verify_refuses_what_is_no_hub_name(model):
    with pytest.raises(CheckpointError, match="no name on the hub, so there are no hashes"):
        verify(model)


def test_verify_asks_the_hub_where_there_are_no_links(folder, hub):
    for path in list(folder.iterdir()):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"No hash is known for config.json, "):
        verify(NAME, offline=True)
    assert verify(NAME, endpoint=hub.endpoint).folder == folder
    damage(folder / "merges.txt")
    with pytest.raises(CheckpointError, match=r"1 of 7 files .* merges\.txt \(git-sha1 "):
        verify(NAME, endpoint=hub.endpoint)
