"""Downloads where symbolic links cannot be made, as on Windows: files are moved, not linked."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from fake_hub import COMMIT, NAME, cut, sha256
from napari_clipseg.engine.checkpoints.locate import cached_models, locate
from napari_clipseg.engine.errors import (
    CheckpointError,
    DownloadCancelledError,
    LicenseNotAcceptedError,
    NotDownloadedError,
)
from napari_clipseg.engine.hub.verification import verify

WEIGHTS = "model.safetensors"
SYMLINK = os.symlink


def refuse(*_, **__):
    raise OSError("no symbolic links here")


@pytest.fixture
def no_links(monkeypatch):
    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS_WARNING", True)


pytestmark = pytest.mark.usefixtures("no_links")


@pytest.fixture(autouse=True)
def small(hub):
    """A hub with fewer bytes: these tests do not run the model."""
    hub.repos[NAME][WEIGHTS] = hub.repos[NAME][WEIGHTS][:300_000]


def blobs(cache):
    return [path.name for path in (cache / "models--CIDAS--clipseg-rd64" / "blobs").iterdir()]


def fetched(hub):
    return [path.rsplit("/")[-1] for path in hub.paths() if "/resolve/" in path]


def check(folder, hub):
    """Check that the folder is what the hub has, every file a file of its own."""
    assert locate(NAME) == folder
    for path in folder.iterdir():
        assert not path.is_symlink()
        assert path.read_bytes() == hub.repos[NAME][path.name]
    assert not list(folder.glob(".*"))
    assert WEIGHTS in {path.name for path in folder.iterdir()}
    assert cached_models() == [NAME]


def test_download_stores_files_once(get, hub, cache):
    check(get(), hub)
    assert blobs(cache) == []


def test_download_gets_only_a_damaged_file_again(get, hub):
    folder = get()
    (folder / "vocab.json").write_text("{}")
    hub.asked.clear()
    check(get(), hub)
    assert fetched(hub) == ["vocab.json"]


def test_download_of_what_is_complete_fetches_nothing(get, hub):
    folder = get()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    hub.asked.clear()
    assert get() == folder
    assert fetched(hub) == []
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    # Hashes are recorded in the names of blobs alone, so the hub has to be asked.
    with pytest.raises(LicenseNotAcceptedError):
        get(accept_license=False)


def test_download_of_another_revision_of_the_same_commit_fetches_nothing(get, hub):
    folder = get()
    hub.asked.clear()
    assert get(revision="refs/pr/1") == folder
    assert fetched(hub) == []
    assert locate(NAME, revision="refs/pr/1") == locate(NAME, revision=COMMIT) == folder


def test_download_resumes_and_is_not_located_before(get, hub, cache):
    def half(**_):
        return any(path.stat().st_size > 100_000 for path in cache.rglob("*.incomplete"))

    with pytest.raises(DownloadCancelledError):
        get(cancel=half)
    with pytest.raises(NotDownloadedError):
        locate(NAME)
    (partial,) = cache.rglob("*.incomplete")
    stored = partial.stat().st_size
    hub.asked.clear()
    check(get(), hub)
    assert fetched(hub) == [WEIGHTS]
    assert hub.ranges() == [f"bytes={stored}-"] * len(hub.ranges())
    assert blobs(cache) == []


def test_download_over_a_line_that_breaks(get, hub, cache):
    hub.faults["/store/"] = cut(after=90_000)
    check(get(), hub)
    assert blobs(cache) == []


@pytest.mark.parametrize("position", range(8))
def test_download_goes_on_where_a_file_could_not_be_moved(position, get, hub, cache, monkeypatch):
    """Windows does not move a file over one that is open: the next try moves the others."""
    replace, calls = os.replace, []

    def sometimes(source, target):
        if "snapshots" in str(target) or "refs" in str(target):
            calls.append(target)
            if len(calls) == position + 1:
                raise PermissionError(13, "used by another process", str(target))
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", sometimes)
        with pytest.raises(CheckpointError, match=r"cannot be written .*used by another process"):
            get()
    if position < 7:  # the last one is the name of the branch: by its commit it is found
        with pytest.raises(NotDownloadedError):
            locate(NAME)
    hub.asked.clear()
    check(get(), hub)
    assert fetched(hub) == []
    assert blobs(cache) == []


def test_download_turns_links_into_files(get, hub, cache, monkeypatch):
    """As where links were allowed once, and one file was damaged since."""
    monkeypatch.setattr(os, "symlink", SYMLINK)
    folder = get()
    assert all(path.is_symlink() for path in folder.iterdir())
    (folder / "config.json").resolve().write_text("{}")
    monkeypatch.setattr(os, "symlink", refuse)
    hub.asked.clear()
    check(get(), hub)
    assert fetched(hub) == ["config.json"]
    assert blobs(cache) == []


def test_verify_asks_the_hub_and_names_what_is_wrong(get, hub):
    folder = get()
    assert len(verify(NAME, endpoint=hub.endpoint).files) == 7
    with pytest.raises(CheckpointError, match=r"No hash is known for .*config\.json.*verify again"):
        verify(NAME, offline=True)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"1 of 7 files .*model\.safetensors \(sha256"):
        verify(NAME, endpoint=hub.endpoint)
    get()
    assert sha256((folder / WEIGHTS).read_bytes()) == sha256(hub.repos[NAME][WEIGHTS])
    assert verify(NAME, endpoint=hub.endpoint).folder == folder


def test_two_downloads_at_once_leave_one_whole_folder(get, hub, cache):
    outcomes = []

    def fetch():
        try:
            outcomes.append(get())
        except CheckpointError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    folders = [one for one in outcomes if not isinstance(one, str)]
    assert folders
    assert len(outcomes) == 3
    assert all("Another program" in one for one in outcomes if isinstance(one, str)), outcomes
    check(folders[0], hub)
    assert blobs(cache) == []


def test_a_copied_checkpoint_is_loaded(hub, get):
    from napari_clipseg.engine.loading import load

    hub.repos[NAME][WEIGHTS] = (locate("demo") / WEIGHTS).read_bytes()
    get()
    engine = load(NAME, device="cpu")
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    demo = load("demo", device="cpu")
    maps = [one.decode(one.encode([image]), one.embed(["red rings"])) for one in (engine, demo)]
    np.testing.assert_array_equal(*maps)
