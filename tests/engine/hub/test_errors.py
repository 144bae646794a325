"""What can go wrong with a download: an error with the cure, incomplete snapshots are rejected."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from fake_hub import NAME, cut, etag, instead, slow, status, text
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError
from napari_clipseg.engine.hub import transfer
from napari_clipseg.engine.hub.downloads import download


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    constants = "huggingface_hub.constants"
    monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(f"{constants}.HF_HUB_ETAG_TIMEOUT", 0.3)
    monkeypatch.setattr(f"{constants}.HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr(transfer, "PAUSE", 0)
    monkeypatch.setattr(transfer, "TRIES", 2)
    return folder


@pytest.fixture
def fails(hub):
    """Download, and return the error's text; what is left must be rejected."""

    def fails(name=NAME, match="", chained=True, **options):
        with pytest.raises(CheckpointError, match=match) as caught:
            download(name, **{"accept_license": True, "endpoint": hub.endpoint, **options})
        assert (caught.value.__cause__ is not None) is chained
        with pytest.raises(NotDownloadedError):
            locate(name)
        return str(caught.value)

    return fails


API = r"^/api/"
FILE = r"/store/|/config.json"
WRONG = r"came with .* as the hub announced it; it was deleted\. Try again"
GATED = {"X_Error_Code": "GatedRepo"}

FAULTS = {
    "no such model": (API, status(404, X_Error_Code="RepoNotFound"), "there is none, or it is"),
    "a private model": (API, status(401, X_Error_Code="RepoNotFound"), "`hf auth login`"),
    "a wrong token": (API, status(401), r"answered 401 .* Log in with `hf auth login`"),
    "a gated model": (API, status(403, **GATED), "Request it on https://huggingface.co/CIDAS"),
    "gated files": (FILE, status(403, **GATED), r"access on request\. Request it on"),
    "forbidden": (
        API,
        status(403),
        r"answered 403 .* request access on https://huggingface.co/CIDAS",
    ),
    "too many requests": (API, status(429), r"answered 429 .* too many requests\. Wait a while"),
    "a fault of the server": (API, status(500), r"answered 500 .* error of the server\. Wait"),
    "a file that the server fails to give": (
        FILE,
        status(503),
        r"answered 503 .* error of the",
    ),
    "a file that is gone": (FILE, status(404, X_Error_Code="EntryNotFound"), "answered 404"),
    "a page of the network": (API, text(b"<html>log in</html>"), "perhaps the login page"),
    "no answer in time": (API, slow(0.8), r"failed or was lost \(ReadTimeout"),
    "a file that does not come in time": (FILE, slow(0.8), r"failed or was lost \(ReadTimeout"),
    "always cut in the head": (
        FILE,
        cut(0),
        r"lost \(RemoteProtocolError.*continues where",
    ),
}


@pytest.mark.parametrize(("pattern", "fault", "says"), FAULTS.values(), ids=FAULTS)
def test_download_error_of_the_network_says_the_cure(pattern, fault, says, hub, fails):
    hub.faults[pattern] = fault
    message = fails(match=says)
    assert NAME in message or hub.endpoint in message
    hub.faults.clear()
    assert download(NAME, accept_license=True, endpoint=hub.endpoint) == locate(NAME)


CHANGED = {
    "other bytes": lambda content: content[::-1],
    "one bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "more": lambda content: content + b"\0",
    "a page": lambda _: b"<html>blocked</html>" * 200_000,
}


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_download_deletes_wrong_content(change, file, hub, fails, cache):
    digest = etag(hub.repos[NAME][file])
    hub.faults[rf"/store/{digest}|/{file}"] = instead(change)
    message = fails(match=WRONG, chained=False)
    assert file in message
    assert not any(path.name.startswith(digest) for path in cache.rglob("blobs/*"))
    hub.faults.clear()
    assert download(NAME, accept_license=True, endpoint=hub.endpoint) == locate(NAME)


def test_download_error_of_an_incomplete_answer(hub, fails):
    hub.faults["/store/"] = instead(lambda content: content[:1000])
    fails(match=r"model\.safetensors ended after 1,000 of .* bytes.*Check the network")


def test_download_error_of_an_unknown_revision(fails):
    assert "'v9'" in fails(match="has no revision", revision="v9")


def test_download_error_of_an_unknown_name(fails, hub):
    assert "CIDAS/clipseg-rd64-refined" in fails("nobody/nothing", match="no model 'nobody/")


def test_download_error_without_a_server(fails):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert endpoint in fails(match=r"failed or was lost \(ConnectError", endpoint=endpoint)


def test_download_error_in_offline_mode(fails, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    fails(match="HF_HUB_OFFLINE is set. Unset it, or get the files on another machine")
    assert hub.asked == []


def test_download_error_of_another_type_of_model(fails, hub):
    hub.model_type = "bert"
    fails(match="a model of type 'bert'; wanted one of .'clipseg', 'clip'", chained=False)
    assert not any("/resolve/" in path for path in hub.paths())


def test_download_error_without_known_weights(fails, hub):
    del hub.repos[NAME]["model.safetensors"]
    fails(match=r"it lacks model\.safetensors or pytorch_model\.bin", chained=False)
    assert not any("/resolve/" in path for path in hub.paths())


def test_download_error_of_a_mirror_without_hashes(fails, hub, monkeypatch):
    monkeypatch.setattr("fake_hub.git_sha1", lambda _: None)
    fails(match=r"gives no hash for config\.json of .*not be verified", chained=False)


# --- the disk ----------------------------------------------------------------------------


def test_download_error_of_a_small_disk_comes_first(fails, hub, monkeypatch):
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("napari_clipseg.engine.hub.downloads.shutil.disk_usage", lambda _: usage)
    fails(match="needs 4 MB more, and the disk of .* has 1 MB free. Make room", chained=False)
    assert not any("/resolve/" in path for path in hub.paths())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_download_error_of_a_full_disk(fails, hub, cache):
    digest = etag(hub.repos[NAME]["model.safetensors"])
    blobs = cache / "models--CIDAS--clipseg-rd64" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{digest}.incomplete").symlink_to("/dev/full")
    assert str(cache) in fails(match="The disk of .* is full. Make room, or set HF_HUB_CACHE")


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.EPERM], ids=errno.errorcode.get
)
def test_download_error_of_a_read_only_cache(number, fails, cache, monkeypatch):
    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    message = fails(match="cannot be written .* Make it writable, or set HF_HUB_CACHE")
    assert str(cache) in message


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_download_error_without_permission(fails, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    fails(match="cannot be written", cache_dir=locked / "hub")


@pytest.mark.parametrize("where", ["hub", "hub/models--CIDAS--clipseg-rd64"])
def test_download_error_of_a_file_in_the_way(where, fails, tmp_path):
    (tmp_path / where).parent.mkdir(exist_ok=True)
    (tmp_path / where).write_text("not a folder")
    fails(match="A file is in the way .* Remove it, or set HF_HUB_CACHE")


def test_download_error_of_a_failing_disk(fails, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(transfer.os, "replace", refuse)
    fails(match="could not be used .*Input/output error.* Check the disk")
