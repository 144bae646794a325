"""Downloads that succeed, are stopped, or continue: against a hub on the loopback."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from fake_hub import COMMIT, NAME, cut, etag, held, without_ranges
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import (
    CheckpointError,
    DownloadCancelledError,
    LicenseNotAcceptedError,
    NotDownloadedError,
)
from napari_clipseg.engine.hub import snapshots, transfer
from napari_clipseg.engine.hub.downloads import describe, download, download_steps

NEEDED = {
    "config.json",
    "vocab.json",
    "merges.txt",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "model.safetensors",
}


def incomplete(cache):
    return list(cache.rglob("*.incomplete"))


def blob(hub, cache, file="model.safetensors"):
    return cache / "models--CIDAS--clipseg-rd64" / "blobs" / etag(hub.repos[NAME][file])


def test_download_gives_a_checkpoint_that_is_loaded_by_its_name(get, hub):
    from napari_clipseg.engine.engine import Engine
    from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
    from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor

    folder = get()
    assert folder == locate(NAME)
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    logits = []
    for name in (NAME, "demo"):
        model = CLIPSegForImageSegmentation.from_pretrained(name)
        engine = Engine(model, CLIPSegProcessor.from_pretrained(locate(name)))
        logits.append(engine.decode(engine.encode([image]), engine.embed(["red rings"])))
    np.testing.assert_array_equal(*logits)
    assert np.ptp(logits[0]) > 0


def test_download_gets_only_the_needed_files_byte_for_byte(get, hub):
    folder = get()
    assert {path.name for path in folder.iterdir()} == NEEDED
    for name in NEEDED:
        assert (folder / name).read_bytes() == hub.repos[NAME][name]


def test_download_gets_pickled_weights_where_there_are_no_others(get, hub):
    from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation

    files = hub.repos[NAME]
    state = load_file(locate("demo") / "model.safetensors")
    buffer = io.BytesIO()
    torch.save(state, buffer)
    del files["model.safetensors"]
    files["pytorch_model.bin"] = buffer.getvalue()
    folder = get()
    assert (folder / "pytorch_model.bin").is_file()
    loaded = CLIPSegForImageSegmentation.from_pretrained(NAME).state_dict()
    name = "decoder.film_mul.weight"
    torch.testing.assert_close(loaded[name], state[name].float())


def test_download_asks_the_hub_nothing_before_the_license_is_accepted(get, hub, cache):
    with pytest.raises(LicenseNotAcceptedError, match="license was not accepted") as caught:
        get(accept_license=False)
    assert hub.asked == []
    assert not cache.exists()
    assert caught.value.entry.size > 600e6
    for part in ("605 MB", "apache-2.0", "MIT license does not apply", f"huggingface.co/{NAME}"):
        assert part in str(caught.value)


def test_download_of_what_is_complete_needs_no_license_and_no_network(get, hub):
    folder = get()
    hub.asked.clear()
    assert get(accept_license=False) == folder
    assert hub.asked == []


def test_download_reports_progress_in_bytes(get, hub):
    seen = []
    get(progress=seen.append)
    total = sum(len(hub.repos[NAME][name]) for name in NEEDED)
    assert {step.total for step in seen} == {total}
    done = [step.done for step in seen]
    assert done == sorted(done)
    assert done[-1] == total
    assert len(done) > total / (2 * transfer.CHUNK)  # a read may bring more than was asked for
    assert seen[-1].file == "model.safetensors"


def test_download_continues_where_it_was_stopped(get, hub, cache):
    pieces = []

    def enough():
        return len(pieces) == 12

    with pytest.raises(DownloadCancelledError, match="Start it again, and it continues there"):
        get(progress=pieces.append, cancel=enough)
    (partial,) = incomplete(cache)
    stored = partial.stat().st_size
    assert 0 < stored < len(hub.repos[NAME]["model.safetensors"])
    with pytest.raises(NotDownloadedError):
        locate(NAME)
    hub.asked.clear()
    get()
    assert f"bytes={stored}-" in hub.ranges()
    assert incomplete(cache) == []
    assert (locate(NAME) / "model.safetensors").read_bytes() == hub.repos[NAME]["model.safetensors"]


def test_download_steps_release_the_file_when_closed(get, hub):
    steps = download_steps(NAME, accept_license=True, endpoint=hub.endpoint)
    while (step := next(steps)) is None or step.file != "model.safetensors":
        pass
    steps.close()
    assert get() == locate(NAME)


def test_download_is_stopped_by_an_event_of_another_thread(get, hub, cache):
    stop, go_on = threading.Event(), threading.Event()
    hub.faults["/store/"] = held(go_on, after=600_000)
    seen = []

    def seen_some(step):
        seen.append(step)
        if step.done > 500_000:
            stop.set()
            go_on.set()

    with pytest.raises(DownloadCancelledError):
        get(progress=seen_some, cancel=stop.is_set)
    assert len(incomplete(cache)) == 1


@pytest.mark.parametrize("times", [1, 3])
def test_download_continues_after_a_cut_connection(times, get, hub):
    hub.faults["/store/"] = cut(after=400_000, times=times)
    assert get() == locate(NAME)
    assert len(hub.ranges()) >= times


def test_download_finishes_as_long_as_each_try_brings_bytes(get, hub):
    hub.faults["/store/"] = cut(after=transfer.CHUNK)
    assert get() == locate(NAME)
    assert len(hub.ranges()) > transfer.TRIES


def test_download_starts_again_where_the_server_knows_no_ranges(get, hub, cache):
    with pytest.raises(DownloadCancelledError):
        get(
            cancel=lambda: (
                len(incomplete(cache)) == 1 and incomplete(cache)[0].stat().st_size > 300_000
            )
        )
    hub.faults["/store/"] = without_ranges
    assert get() == locate(NAME)


def test_download_replaces_an_incomplete_file_that_is_too_long(get, hub, cache):
    path = blob(hub, cache)
    path.parent.mkdir(parents=True)
    path.with_name(f"{path.name}.incomplete").write_bytes(b"x" * 9_000_000)
    assert get() == locate(NAME)


def test_download_verifies_and_uses_an_incomplete_file_that_is_complete(get, hub, cache):
    path = blob(hub, cache)
    path.parent.mkdir(parents=True)
    path.with_name(f"{path.name}.incomplete").write_bytes(hub.repos[NAME]["model.safetensors"])
    get()
    assert not any("/store/" in path for path in hub.paths())


def test_download_gets_only_a_damaged_file_again(get, hub, cache):
    folder = get()
    content = bytearray(hub.repos[NAME]["model.safetensors"])
    content[-1] ^= 1
    blob(hub, cache).write_bytes(content)
    hub.asked.clear()
    assert get() == folder
    assert (folder / "model.safetensors").read_bytes() == hub.repos[NAME]["model.safetensors"]
    fetched = [path for path in hub.paths() if "/resolve/" in path]
    assert [path.rsplit("/")[-1] for path in fetched] == ["model.safetensors"]


def test_download_of_another_revision_does_not_become_main(get):
    folder = get(revision="refs/pr/1")
    assert locate(NAME, revision="refs/pr/1") == folder
    assert locate(NAME, revision=COMMIT) == folder
    with pytest.raises(NotDownloadedError):
        locate(NAME)


def test_download_into_another_cache(get, tmp_path, cache):
    folder = get(cache_dir=tmp_path / "mine")
    assert folder.is_relative_to(tmp_path / "mine")
    assert not cache.exists()


def test_download_refuses_a_file_that_another_program_downloads(get, hub, cache, monkeypatch):
    monkeypatch.setattr(snapshots, "LOCK_WAIT", 0.05)
    locks = cache / ".locks" / "models--CIDAS--clipseg-rd64"
    locks.mkdir(parents=True)
    lock = FileLock(locks / f"{blob(hub, cache).name}.lock")
    with lock, pytest.raises(CheckpointError, match=r"Another program downloads .* Wait for it"):
        get()
    assert get() == locate(NAME)


# --- describe ------------ -------------------------------------------------------------


def test_describe_does_not_ask_the_hub_about_a_published_checkpoint(hub):
    assert "apache-2.0" in str(describe(NAME, endpoint=hub.endpoint))
    assert hub.asked == []


@pytest.mark.parametrize(
    ("card", "says"),
    [({"license": "mit"}, "the hub's card says mit"), (None, "see its card")],
    ids=["with a license", "without"],
)
def test_describe_asks_the_hub_about_another_model(card, says, hub):
    hub.repos["somebody/model"] = hub.repos[NAME]
    hub.card = card
    entry = describe("somebody/model", endpoint=hub.endpoint)
    assert entry.size == sum(len(hub.repos[NAME][name]) for name in NEEDED)
    assert says in str(entry)
    assert hub.paths() == ["/api/models/somebody/model"]


@pytest.mark.parametrize("name", ["demo", "./here", "a/b/c", "", "C:\\x/y"])
@pytest.mark.parametrize("do", [download, describe])
def test_download_and_describe_refuse_what_is_no_hub_name(name, do):
    with pytest.raises(CheckpointError, match=r"no name on the hub.*wanted OWNER/NAME"):
        do(name)
