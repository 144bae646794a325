"""Each class that is read from a checkpoint takes the same names for it."""

from __future__ import annotations

import shutil

import pytest

from fake_hub import COMMIT, NAME
from napari_clipseg import engine
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError

READ = (
    "CLIPSegProcessor",
    "CLIPTokenizer",
    "ViTImageProcessor",
    "CLIPSegConfig",
    "CLIPSegTextConfig",
    "CLIPSegVisionConfig",
    "CLIPSegModel",
    "CLIPSegForImageSegmentation",
)


@pytest.fixture(params=READ)
def read(request):
    return getattr(engine, request.param).from_pretrained


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def downloaded(cache):
    repository = cache / "models--CIDAS--clipseg-rd64"
    shutil.copytree(locate("demo"), repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)


@pytest.mark.parametrize("as_path", [False, True], ids=["text", "Path"])
@pytest.mark.usefixtures("downloaded")
def test_from_pretrained_takes_demo_a_folder_and_a_name(as_path, read, tmp_path):
    folder = shutil.copytree(locate("demo"), tmp_path / "mine")
    kind = type(read("demo"))
    assert isinstance(read(folder if as_path else str(folder)), kind)
    assert isinstance(read(NAME), kind)


def test_from_pretrained_says_how_to_download_a_name(read):
    with pytest.raises(NotDownloadedError, match=rf"Run `napari-clipseg download {NAME}`"):
        read(NAME)


@pytest.mark.parametrize("model", ["./nothing", "", "a/b/c"])
def test_from_pretrained_says_what_is_wanted(model, read):
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .*Wanted 'demo', an exist"):
        read(model)


def test_from_pretrained_takes_a_home_folder(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    shutil.copytree(locate("demo"), tmp_path / "mine")
    assert read("~/mine") is not None
