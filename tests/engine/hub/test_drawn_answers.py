"""Answers of a hub with anything anywhere: taken, or refused; nothing leaves the cache."""

from __future__ import annotations

import json
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawing import changed, damaged, damages, examples, json_values, refusal
from fake_hub import COMMIT, NAME, git_sha1, sha256
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.hub import listing
from napari_clipseg.engine.hub.listing import ask_hub
from napari_clipseg.engine.hub.snapshots import Snapshot

FILES = ("config.json", "vocab.json", "merges.txt", "preprocessor_config.json")
ANSWER = {
    "id": NAME,
    "sha": COMMIT,
    "siblings": [
        *({"rfilename": one, "size": 9, "blobId": git_sha1(one.encode())} for one in FILES),
        {
            "rfilename": "model.safetensors",
            "size": 300_000,
            "blobId": git_sha1(b"pointer"),
            "lfs": {"sha256": sha256(b"weights"), "size": 300_000, "pointerSize": 134},
        },
    ],
    "config": {"model_type": "clipseg"},
    "cardData": {"license": "apache-2.0"},
}
WRITTEN = json.dumps(ANSWER).encode()
paths = st.sampled_from(
    ["..", "../../x", "/etc/passwd", "a/../../b", "C:\\x", "a\0b", ".", "", "blobs", "a\nb"]
)


def check(content, cache):
    """Ask a hub that answers with a content; whatever becomes a path stays within the cache."""
    with patch.object(listing, "_answer", lambda *_: content):
        found, said = refusal(lambda: ask_hub(NAME, endpoint="https://hub"), CheckpointError)
    if said:
        assert len(said) < 2000
        return None
    snapshot = Snapshot(found, cache)
    places = [snapshot.folder, snapshot.repository, snapshot.locks]
    for file in found.files:
        places += [snapshot.blob(file), snapshot.folder / file.name]
        assert type(file.size) is int
        assert 0 <= file.size <= listing.LARGEST_FILE
    for place in places:
        assert place.resolve().is_relative_to(cache.resolve())
    assert found.entry.license_text.isprintable()
    assert found.size >= 0
    return found


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


def test_the_answer_itself_is_taken(somewhere):
    found = check(json.dumps(ANSWER).encode(), somewhere)
    assert [file.name for file in found.files][-1] == "model.safetensors"
    assert len(found.files) == len(FILES) + 1


@examples(200)
@given(data=st.data())
def test_any_value_anywhere(data, somewhere):
    values = data.draw(changed(ANSWER, json_values() | paths))
    check(json.dumps(values).encode(), somewhere)


@examples(100)
@given(values=json_values())
def test_any_json(values, somewhere):
    assert check(json.dumps(values).encode(), somewhere) is None


@examples(100)
@given(damage=damages(len(WRITTEN)))
def test_any_damage_of_bytes(damage, somewhere):
    check(damaged(WRITTEN, damage), somewhere)
