from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import napari_clipseg
from napari_clipseg.engine import hub
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.hub import KNOWN, locate

FILES = {"config.json", "vocab.json", "merges.txt", "preprocessor_config.json", "model.safetensors"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        pytest.fail("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The hub's cache, empty."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


def put(cache, name, commit="0123456789abcdef0123456789abcdef01234567"):
    """Lay a checkpoint out as a download does."""
    place = cache / f"models--{name.replace('/', '--')}"
    snapshot = place / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    return snapshot


def test_the_bundled_checkpoint_is_whole():
    folder = locate("demo")
    assert folder.is_relative_to(Path(napari_clipseg.__file__).parent)
    assert {path.name for path in folder.iterdir()} >= FILES


def test_a_folder_called_demo_does_not_hide_the_bundled_one(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("demo") == hub.CHECKPOINTS / "demo"
    assert locate("./demo").samefile(tmp_path / "demo")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_is_itself(kind, tmp_path):
    assert locate(kind(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["here", "two/parts", "./here", "white space"])
def test_a_folder_may_be_relative(name, tmp_path, monkeypatch):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate(name).samefile(tmp_path / name)


def test_a_tilde_is_the_home(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert locate("~/mine") == tmp_path / "mine"


NOT_THERE = {
    "an unknown name": "nuclei",
    "a path that starts here": "./no/thing",
    "a path that starts above": "../nothing",
    "an absolute path": os.path.abspath("no thing"),
    "a Path that could be a name": Path("CIDAS/clipseg-rd64"),
    "a path of Windows": "C:\\checkpoints/x",
    "a deep path": "a/b/c",
    "a path at home": "~/nothing-there",
    "the home of nobody": "~nobody-of-this-name/x",
    "nothing": "",
    "a name beyond the file system": "x" * 5000,
    "a name with a null": "a\0b",
}


@pytest.mark.parametrize("model", NOT_THERE.values(), ids=NOT_THERE)
def test_what_is_not_there_is_named_with_the_cure(model):
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .* Wanted 'demo'") as e:
        locate(model)
    assert repr(str(model)) in str(e.value)


def test_a_file_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(CheckpointError, match="an existing folder"):
        locate(path)


@pytest.mark.parametrize("name", [*KNOWN, "nobody/nothing", "--/.."])
def test_a_name_that_was_not_downloaded_comes_with_the_command_and_the_licence(name):
    with pytest.raises(CheckpointError, match="not on this machine") as caught:
        locate(name)
    assert f"hf download {name}" in str(caught.value)
    assert "licence" in str(caught.value)


@pytest.mark.parametrize("name", KNOWN)
def test_a_downloaded_name_is_found_in_the_cache(name, cache):
    snapshot = put(cache, name)
    assert locate(name).samefile(snapshot)
    for other in set(KNOWN) - {name}:
        with pytest.raises(CheckpointError, match="not on this machine"):
            locate(other)


def test_a_download_that_has_no_files_yet_is_not_there(cache):
    snapshot = put(cache, KNOWN[0])
    (snapshot / "config.json").unlink()
    snapshot.rmdir()
    with pytest.raises(CheckpointError, match="not on this machine"):
        locate(KNOWN[0])


def test_the_cache_lies_where_the_hubs_own_variable_says(tmp_path):
    snapshot = put(tmp_path / "home" / "hub", KNOWN[0])
    code = f"from napari_clipseg.engine.hub import locate; print(locate({KNOWN[0]!r}))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment["HF_HOME"] = str(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).samefile(snapshot)
