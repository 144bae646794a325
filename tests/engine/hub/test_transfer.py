"""Files over lines that are slow, break often, or answer what was not asked for."""

from __future__ import annotations

import gzip
import itertools
import json
import tracemalloc

import pytest

from fake_hub import NAME, api, cut, drip, ranged, status
from napari_clipseg.cli.main import main
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError, DownloadCancelledError
from napari_clipseg.engine.hub import transfer
from napari_clipseg.engine.hub.downloads import describe

STORE = "/store/"


def stored(cache):
    (partial,) = cache.rglob("*.incomplete")
    return partial.stat().st_size


def test_download_on_a_slow_line_is_stopped_at_once(get, hub, cache):
    hub.faults[STORE] = drip(1000, seconds=0.01)
    with pytest.raises(DownloadCancelledError):
        get(cancel=lambda: any(cache.rglob(f"{'?' * 64}.incomplete")))
    assert stored(cache) < 50_000


def test_download_over_a_line_that_breaks_loses_no_byte(get, hub):
    hub.faults[STORE] = cut(after=20_000)
    hub.repos[NAME]["model.safetensors"] = hub.repos[NAME]["model.safetensors"][:300_000]
    assert get().is_dir()
    asked = [given for _, path, given in hub.asked if STORE in path]
    assert asked == [None, *(f"bytes={start}-" for start in range(20_000, 300_000, 20_000))]


def test_download_keeps_what_came_before_the_connection_was_lost(get, hub, cache, monkeypatch):
    monkeypatch.setattr(transfer, "TRIES", 1)
    hub.faults[STORE] = cut(after=50_000)
    with pytest.raises(CheckpointError, match="it continues where it stopped"):
        get()
    assert stored(cache) == 50_000


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_download_ends_when_tries_bring_nearly_nothing(size, get, hub):
    hub.faults[STORE] = cut(after=size)
    with pytest.raises(CheckpointError, match="failed or was lost"):
        get()
    assert len([path for path in hub.paths() if STORE in path]) == transfer.TRIES


SPANS = {
    "one byte before": "bytes {before}-{last}/*",
    "from the start": "bytes 0-{last}/*",
    "of a larger file": "bytes {start}-{last}/9999999999",
    "of another unit": "lines {start}-{last}/*",
    "no numbers": "bytes */*",
    "codes of a terminal": "\x1b[31m",
    "none": None,
}


@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_download_refuses_another_part_than_was_asked_for(span, get, hub, cache):
    hub.faults[STORE] = cut(after=400_000, times=1)
    hub.faults[f"{STORE}."] = ranged(span)
    with pytest.raises(CheckpointError, match=r"came with the part .*wanted the bytes from") as got:
        get()
    assert str(got.value).isprintable()
    assert not any(cache.rglob(f"{'?' * 64}.incomplete")), "the next try begins anew"
    hub.faults.clear()
    assert get() == locate(NAME)


def test_download_begins_anew_where_the_server_has_no_such_part(get, hub):
    hub.faults[STORE] = cut(after=400_000, times=1)
    answer = status(416)
    hub.faults[f"{STORE}."] = lambda handler, content: (
        "Range" in handler.headers and answer(handler, content)
    )
    with pytest.raises(CheckpointError, match=r"ends before 400,000 bytes.*it was deleted"):
        get()
    assert get() == locate(NAME)


def test_download_of_a_bomb_is_refused_at_once(get, hub):
    bomb = gzip.compress(b" " * (1 << 28))  # 256 MB in 260 kB

    def answer(handler, _):
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        handler.answer(200, bomb, headers)
        return True

    hub.faults["^/api/"] = answer
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"more than 16,777,216 bytes.*HF_ENDPOINT"):
            get()
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()


def test_download_reads_a_compressed_answer(get, hub):
    def compressed(handler, _):
        values = handler.info(NAME, hub.repos[NAME])
        headers = {"Content-Encoding": "gzip"}
        handler.answer(200, gzip.compress(json.dumps(values).encode()), headers)
        return True

    hub.faults["^/api/"] = compressed
    assert get() == locate(NAME)


ERRORS = [b'{"error": 5}', b"[]", b'{"errors": 3}', b"[" * 100_000, b"\xff", b"x" * 10**6]


@pytest.mark.parametrize(("text", "code"), [*itertools.product(ERRORS, [404, 500])])
def test_download_does_not_read_the_text_of_an_error(text, code, get, hub):
    def fail(handler, _):
        handler.answer(code, text, {"Content-Type": "application/json"})
        return True

    hub.faults["^/api/"] = fail
    with pytest.raises(CheckpointError, match=f"answered {code}"):
        get()


LICENSES = {
    "colors": "\x1b[31mfree\x1b[0m",
    "a title": "\x1b]0;owned\x07mit",
    "lines": "mit\nDownload it? y\r",
    "right to left": "mit\u202e",
    "long": "mit " * 10**5,
    "several": ["mit", "\x1b[2Japache-2.0"],
}


@pytest.mark.parametrize("license_", LICENSES.values(), ids=LICENSES)
def test_describe_shows_a_license_without_codes_of_a_terminal(license_, hub):
    hub.repos["somebody/model"] = hub.repos[NAME]
    hub.faults["^/api/"] = api(lambda values: {**values, "cardData": {"license": license_}})
    text = describe("somebody/model", endpoint=hub.endpoint).license_text
    assert text.isprintable()
    assert "mit" in text or "free" in text
    assert len(text) < 200


def test_download_command_prints_no_codes_of_a_hub(hub, capsys, monkeypatch):
    from fake_hub import as_default

    as_default(hub, monkeypatch)
    hub.repos["somebody/model"] = hub.repos[NAME]
    hub.model_type = "\x1b[2J"
    assert main(["download", "somebody/model", "--accept-license"]) == 1
    assert "\x1b" not in capsys.readouterr().err
