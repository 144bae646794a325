"""What waits for the network is stopped while it waits; values and errors come through a thread."""

from __future__ import annotations

import threading

import pytest

from fake_hub import NAME, status
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import DownloadCancelledError
from napari_clipseg.engine.hub import background as module
from napari_clipseg.engine.hub import transfer
from napari_clipseg.engine.hub.background import background, in_background


class Standing:
    """A fault: a server that stands still until it is let go."""

    def __init__(self, after=None):
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.went_on = False
        self._after = after

    def __call__(self, handler, content):
        if self._after is not None:
            _, part, headers = handler.part(content)
            handler.head(200, {**headers, "Content-Length": str(len(part))})
            handler.wfile.write(part[: self._after])
            handler.wfile.flush()
        self.reached.set()
        self.go_on.wait(20)
        self.went_on = True
        return self._after is not None


PLACES = {
    "the hub's answer": ("^/api/", None),
    "a small file": ("/resolve/.*/config.json", None),
    "the store": ("/store/", None),
    "the middle of a file": ("/store/", 200_000),
}


@pytest.mark.parametrize(("path", "after"), PLACES.values(), ids=PLACES)
def test_download_is_cancelled_while_the_line_stands_still(
    path, after, get, hub, cache, monkeypatch
):
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", 60)
    standing = hub.faults[path] = Standing(after)

    def all_came():
        half = after and any(one.stat().st_size == after for one in cache.rglob("*.incomplete"))
        return standing.reached.is_set() and (half or not after)

    try:
        with pytest.raises(DownloadCancelledError, match=r"was stopped.*it continues there"):
            get(cancel=all_came)
        assert not standing.went_on
    finally:
        standing.go_on.set()
    hub.faults.clear()
    assert get() == locate(NAME)
    if after:
        assert f"bytes={after}-" in hub.ranges()


def test_download_is_cancelled_while_it_waits_for_the_next_try(get, hub, monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 20)
    hub.faults["/store/"] = lambda handler, _: handler.connection.close() or True
    asked = iter(range(2))
    with pytest.raises(DownloadCancelledError):
        get(cancel=lambda: any("/store/" in path for path in hub.paths()) and not next(asked, 0))
    assert len([path for path in hub.paths() if "/store/" in path]) == 1


def test_download_is_cancelled_while_another_program_has_the_file(get, cache, monkeypatch):
    from filelock import FileLock

    from napari_clipseg.engine.hub import snapshots

    monkeypatch.setattr(snapshots, "LOCK_WAIT", 600)
    with pytest.raises(DownloadCancelledError):
        get(cancel=lambda: any(cache.rglob("*.lock")))
    (lock, *_) = cache.rglob("*.lock")
    calls = iter(range(5))
    with FileLock(lock), pytest.raises(DownloadCancelledError, match=r"clipseg-rd64 was stopped\."):
        get(cancel=lambda: next(calls, None) is None)


def test_download_tells_what_failed_in_the_thread(get, hub):
    hub.faults["/resolve/"] = status(403)
    with pytest.raises(Exception, match="answered 403"):
        get()


def test_background_gives_values_in_order_and_errors_last(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.001)

    def make():
        yield from range(50)
        raise KeyError("the end")

    got = []
    with pytest.raises(KeyError, match="the end"):
        got.extend(background(make))
    assert [value for value in got if value is not None] == list(range(50))


def test_background_asks_while_nothing_comes(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.001)
    go_on = threading.Event()

    def call():
        assert go_on.wait(20)
        return "done"

    waiting = in_background(call)
    assert next(waiting) is None
    go_on.set()
    ended = []

    def wait():
        ended.append((yield from waiting))

    assert set(wait()) <= {None}
    assert ended == ["done"]


def test_background_ends_its_thread_when_nobody_wants_the_values(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.001)
    closed, threads = threading.Event(), []

    def endless():
        threads.append(threading.current_thread())
        try:
            while True:
                yield 1
        finally:
            closed.set()

    values = background(endless)
    assert next(values) == 1
    values.close()
    assert closed.wait(20)
    threads[0].join(20)
    assert not threads[0].is_alive()
