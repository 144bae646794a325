"""Answers of a hub that is hostile or broken: nothing outside the cache is touched."""

from __future__ import annotations

import pytest

from fake_hub import COMMIT, NAME, api
from napari_clipseg.engine.checkpoints.locate import find_snapshot, locate
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError
from napari_clipseg.engine.hub.downloads import describe, download
from napari_clipseg.engine.hub.verification import verify


@pytest.fixture
def precious(tmp_path):
    """A folder that is not in the cache, with files named as those of a checkpoint."""
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("mine")
    return folder


COMMITS = {
    "an absolute path": "{precious}",
    "up and across": "../../../precious",
    "the cache's own folder": "..",
    "upper case": COMMIT.upper(),
    "too short": COMMIT[:-1],
    "a line after it": COMMIT + "\n",
    "no text": 7,
    "nothing": None,
}


@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS)
def test_download_refuses_a_commit_that_is_none(commit, get, hub, precious):
    sha = commit.format(precious=precious) if isinstance(commit, str) else commit
    hub.faults["^/api/"] = api(lambda values: {**values, "sha": sha})
    with pytest.raises(CheckpointError, match=r"its commit is .*; wanted 40 hexadecimal digits"):
        get()
    assert [path.read_text() for path in sorted(precious.iterdir())] == ["mine", "mine"]
    assert not any("/resolve/" in path for path in hub.paths())


def test_download_refuses_another_commit_than_was_asked_for(get, hub):
    hub.faults["^/api/"] = api(lambda values: {**values, "sha": "f" * 40})
    with pytest.raises(CheckpointError, match=rf"its commit is 'f+'; wanted '{COMMIT}'"):
        get(revision=COMMIT)


REVISIONS = {
    "up": "../../../precious",
    "up in the middle": "pr/../../x",
    "absolute": "/precious",
    "a dot": ".",
    "empty part": "a//b",
    "a Windows path": "..\\x",
    "a drive": "C:/x",
    "a zero byte": "a\0b",
    "only a slash": "/",
}


@pytest.mark.parametrize("revision", REVISIONS.values(), ids=REVISIONS)
@pytest.mark.parametrize("do", [download, verify, locate, describe], ids=lambda do: do.__name__)
def test_revision_that_leads_elsewhere_is_refused(do, revision, hub):
    options = {} if do is locate else {"endpoint": hub.endpoint}
    name = "somebody/other" if do is describe else NAME
    with pytest.raises(CheckpointError, match=r"The revision is .*; wanted the name of a branch"):
        do(name, revision=revision, **options)
    assert hub.asked == []


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", "a-b_c", COMMIT])
def test_revision_of_a_usual_form_is_looked_for(revision):
    assert find_snapshot(NAME, revision) is None


@pytest.mark.parametrize("linked", ["snapshots", "snapshots/" + COMMIT, "."])
def test_download_deletes_nothing_where_the_cache_is_a_link(linked, get, cache, precious):
    """A folder of the cache that leads elsewhere is refused; the whole cache may be anywhere."""
    place = cache / "models--CIDAS--clipseg-rd64" / linked
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(precious)
    if linked == "snapshots":
        (precious / COMMIT).mkdir()
        (precious / COMMIT / "config.json").write_text("mine")
    with pytest.raises(CheckpointError, match=r"leads out of the cache .*Remove that link"):
        get()
    assert all(path.read_text() == "mine" for path in precious.rglob("*.*"))


def test_download_into_a_cache_that_is_a_link_itself(get, cache, tmp_path):
    (tmp_path / "another disk").mkdir()
    cache.symlink_to(tmp_path / "another disk")
    assert get() == locate(NAME)


ODD = {
    "a list": lambda values: [values],
    "null": lambda values: None,
    "no JSON": lambda values: b"{",
    "not UTF-8": lambda values: b'{"sha": "\xff"}',
    "deep": lambda values: b"[" * 500_000,
    "a number of 5000 digits": lambda values: b'{"sha": ' + b"9" * 5000 + b"}",
    "no files": lambda values: {**values, "siblings": None},
    "files as a mapping": lambda values: {**values, "siblings": {"rfilename": "config.json"}},
    "files as texts": lambda values: {**values, "siblings": ["config.json"]},
    "a file without a name": lambda values: {**values, "siblings": [{"size": 1}]},
    "a name that is a number": lambda values: {**values, "siblings": [{"rfilename": 3}]},
    "lfs as a text": lambda values: _each(values, lfs="x"),
    "size NaN": lambda values: _each(values, size=float("nan")),
    "size infinite": lambda values: _each(values, size=float("inf")),
    "size below 0": lambda values: _each(values, size=-1),
    "size a fraction": lambda values: _each(values, size=0.5),
    "size a text": lambda values: _each(values, size="12"),
    "size true": lambda values: _each(values, size=True),
    "size of a planet": lambda values: _each(values, size=10**30),
    "hash a number": lambda values: _each(values, blobId=5, lfs=None),
    "hash a path": lambda values: _each(values, blobId="../../../precious", lfs=None),
    "sha256 a path": lambda values: _each(values, lfs={"sha256": "/etc/x" + "0" * 58}),
}


def _each(values, **changed):
    return {**values, "siblings": [{**one, **changed} for one in values["siblings"]]}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_download_of_odd_answers_says_the_cure(change, get, hub):
    hub.faults["^/api/"] = api(change)
    with pytest.raises(CheckpointError, match=r"HF_ENDPOINT"):
        get()
    with pytest.raises(NotDownloadedError):
        locate(NAME)
    hub.faults.clear()
    assert get() == locate(NAME)


USABLE = {
    "config null": {"config": None},
    "config a list": {"config": ["clipseg"]},
    "card a text": {"cardData": "mit"},
    "license a list": {"cardData": {"license": ["mit", "apache-2.0"]}},
    "license a number": {"cardData": {"license": 3}},
    "odd dates and extras": {"lastModified": 5, "gguf": [], "evalResults": [1], "tags": "x"},
}


@pytest.mark.parametrize("changed", USABLE.values(), ids=USABLE)
def test_download_needs_of_an_answer_only_the_files(changed, get, hub):
    hub.faults["^/api/"] = api(lambda values: {**values, **changed})
    assert get() == locate(NAME)
