"""What a download leaves in the cache: as the hub announced it, or nothing that is trusted."""

from __future__ import annotations

import os

import pytest

from fake_hub import COMMIT, NAME, etag, git_sha1, instead, only, sha256, status
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError
from napari_clipseg.engine.hub.verification import verify


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


MIRRORS = {
    "own ETags": lambda content: "x" * 8,
    "weak ETags": lambda content: f"W/{etag(content)}",
    "SHA-256 of everything": sha256,
    "SHA-1 of everything": git_sha1,
    "a path": lambda content: "../../../../precious",
    "the ETag of another file": lambda content: "0" * 64,
}


@pytest.mark.parametrize("mirror", MIRRORS.values(), ids=MIRRORS)
def test_download_gets_each_file_once_whatever_a_mirror_calls_it(mirror, get, hub):
    hub.etag = mirror
    folder = get()
    assert {name: hub.repos[NAME][name] for name in files_of(folder)} == files_of(folder)
    fetched = [path for path in hub.paths() if "/resolve/" in path]
    assert len(fetched) == len(set(fetched)) == len(files_of(folder))
    assert len([path for path in hub.paths() if "/store/" in path]) == 1
    assert verify(NAME, offline=True).folder == folder


HEADS = {
    "no such file": status(404, X_Error_Code="EntryNotFound"),
    "another server": status(200, ETag='"x"'),
    "a fault": status(500),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_download_does_not_ask_for_heads(head, get, hub):
    hub.faults["/resolve/"] = only("HEAD", head)
    assert get() == locate(NAME)
    assert hub.paths("HEAD") == []


def out_of_step(wrong):
    """Announce the hash of other bytes as the ETag, and send them from the second time on."""
    sent = []

    def fault(handler, content):
        if handler.command == "GET":
            sent.append(content)
        if len(sent) == 1 and handler.command == "GET":
            return False
        handler.answer(200, wrong, {"ETag": f'"{etag(wrong)}"', "X-Repo-Commit": COMMIT})
        return True

    return fault


@pytest.mark.parametrize("file", ["config.json", "merges.txt"])
def test_download_takes_only_what_the_listing_announced(file, get, hub):
    hub.faults[f"/{file}"] = out_of_step(b"{}")
    assert (get() / file).read_bytes() == hub.repos[NAME][file]


@pytest.mark.parametrize("file", ["config.json", "merges.txt", "model.safetensors"])
def test_download_that_failed_is_not_trusted_and_can_be_mended(file, get, hub):
    content = hub.repos[NAME][file]
    hub.faults[f"/{file}|/store/"] = instead(lambda content: content[::-1])
    with pytest.raises(CheckpointError, match="as the hub announced it; it was deleted"):
        get()
    for trust in (locate, verify):
        with pytest.raises(NotDownloadedError):
            trust(NAME)
    hub.faults.clear()
    assert (get() / file).read_bytes() == content


def test_download_mends_what_another_program_linked_wrongly(get, hub, cache):
    """A link to a blob that the hub does not announce, beside a missing file."""
    folder = get()
    wrong = folder.parents[1] / "blobs" / git_sha1(b"{}")
    wrong.write_bytes(b"{}")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(wrong)
    (folder / "merges.txt").unlink()
    hub.faults["/merges.txt"] = instead(lambda content: content[::-1])
    (folder.parents[1] / "blobs" / etag(hub.repos[NAME]["merges.txt"])).unlink()
    with pytest.raises(CheckpointError, match=r"merges\.txt came with"):
        get()
    assert not (folder / "config.json").exists(), "the wrong file is removed, not only replaced"
    hub.faults.clear()
    assert (get() / "config.json").read_bytes() == hub.repos[NAME]["config.json"]


def test_download_removes_a_damaged_file_even_if_it_cannot_get_it_again(get, hub):
    (get() / "vocab.json").write_bytes(b"{}")
    hub.faults["/vocab.json"] = status(503)
    with pytest.raises(CheckpointError, match="answered 503"):
        get()
    with pytest.raises(NotDownloadedError, match=r"lacks vocab\.json"):
        locate(NAME)


def test_download_records_the_revision_last(get, hub, monkeypatch):
    replaced = []
    real = os.replace
    monkeypatch.setattr(
        os, "replace", lambda a, b: (replaced.append(os.path.basename(b)), real(a, b))
    )
    get()
    assert replaced[-2:] == ["model.safetensors", "main"]


def test_snapshot_is_one_that_the_hubs_library_reads(get, hub):
    from huggingface_hub import snapshot_download

    folder = get()
    hub.asked.clear()
    assert snapshot_download(NAME, local_files_only=True) == str(folder)
    assert hub.asked == []
