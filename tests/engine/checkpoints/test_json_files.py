from __future__ import annotations

import os

import pytest

from napari_clipseg.engine.checkpoints.json_files import read_json, write_json, write_text
from napari_clipseg.engine.errors import CheckpointError

FILES = {
    "no JSON": (b"{", "cannot be read as JSON"),
    "no text": (b"\xff\xfe\x00", "cannot be read as JSON"),
    "a list": (b"[1]", "holds a list, wanted a mapping"),
    "null": (b"null", "holds a NoneType, wanted a mapping"),
    "deep": (b"[" * 500_000, "cannot be read as JSON"),
    "deep mappings": (b'{"a":' * 500_000, "cannot be read as JSON"),
    "a number of 5000 digits": (b'{"a": ' + b"1" * 5000 + b"}", "cannot be read as JSON"),
    "larger than any": (b'{"a": "' + b" " * (1 << 26) + b'"}', "wanted at most 67,108,864"),
}


@pytest.mark.parametrize(("content", "says"), FILES.values(), ids=FILES)
def test_read_json_names_a_broken_file_and_the_cure(content, says, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=f"{says}.*Get the checkpoint's files again"
    ) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_read_json_names_a_missing_file_and_the_cure(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json\. Choose a folder"):
        read_json(tmp_path / "config.json")


def test_write_json_makes_the_folder_and_is_read_back(tmp_path):
    path = tmp_path / "new" / "config.json"
    write_json(path, {"a": [1, None], "b": "ä"})
    assert read_json(path) == {"a": [1, None], "b": "ä"}
    assert [one.name for one in path.parent.iterdir()] == ["config.json"]


def test_write_text_leaves_the_older_file_after_an_error(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "merges.txt"
    write_text(path, "old")
    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
