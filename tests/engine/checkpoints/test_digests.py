from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_clipseg.engine.checkpoints import digests
from napari_clipseg.engine.checkpoints.digests import Digest, linked_digest, parse_digest, sha256

# As `git hash-object` and `sha256sum` print them.
KNOWN = {
    b"": (
        "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    b"hello\n": (
        "ce013625030ba8dba906f756967f9e9ca394464a",
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    ),
}


@pytest.mark.parametrize("content", KNOWN, ids=str)
def test_digest_of_gives_what_git_and_sha256sum_print(content, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    git, sha = KNOWN[content]
    assert Digest(git).of(path) == git
    assert Digest(sha).of(path) == sha256(path) == sha
    assert Digest(git).fits(path)
    assert not Digest("0" * 40).fits(path)
    assert (Digest(git).kind, Digest(sha).kind) == ("git-sha1", "sha256")


@given(content=st.binary(max_size=50), chunk=st.integers(1, 60))
def test_digest_of_reads_the_whole_file(content, chunk, tmp_path_factory):
    path = tmp_path_factory.mktemp("hashed") / "file"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "CHUNK", chunk)
        assert Digest("0" * 64).of(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "text", ["", "main", "0" * 39, "0" * 65, "G" * 40, "0" * 64 + "\n", "0" * 63 + "-"], ids=repr
)
def test_parse_digest_of_other_names_is_none(text):
    assert parse_digest(text) is None


def test_parse_digest_takes_both_lengths():
    assert parse_digest("a" * 40) == Digest("a" * 40)
    assert parse_digest("0" * 64) == Digest("0" * 64)


@pytest.mark.parametrize(("name", "wanted"), [("a" * 64, "a" * 64), ("model.bin", None)])
def test_linked_digest_is_the_name_of_the_blob(name, wanted, tmp_path):
    (tmp_path / name).touch()
    link = tmp_path / "link"
    try:
        link.symlink_to(name)
    except OSError:
        pytest.skip("symbolic links cannot be made here")
    found = linked_digest(link)
    assert (found and found.value) == wanted
    assert linked_digest(tmp_path / name) is None
