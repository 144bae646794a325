"""Locks: held by one, given back, and taken where a run left them behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from napari_clipseg.files import locks
from napari_clipseg.files.locks import held_lock, is_held


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.lock"


def write(path, host, pid, started=None, age=0.0):
    path.write_text(json.dumps({"host": host, "pid": pid, "started": started, "token": "t"}))
    os.utime(path, (time.time() - age, time.time() - age))


def test_one_of_two_holds_it(path):
    with held_lock(path) as first, held_lock(path) as second:
        assert first is not None
        assert first.is_ours
        assert not first.taken
        assert second is None
        assert is_held(path)
    assert not path.exists()
    assert not is_held(path)


def test_it_is_given_back_after_an_error(path):
    with pytest.raises(RuntimeError), held_lock(path):
        raise RuntimeError
    assert not path.exists()


def test_a_killed_process_leaves_one_that_is_taken(path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from napari_clipseg.files.locks import held_lock\n"
        "with held_lock(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.exists()
    with held_lock(path) as lock:
        assert lock is not None
        assert lock.taken
    assert os.listdir(path.parent) == []


OTHER = "another machine"


@pytest.mark.parametrize(
    ("host", "age", "held"),
    [
        pytest.param(OTHER, 0, True, id="touched just now"),
        pytest.param(OTHER, locks.STALE - 5, True, id="touched a while ago"),
        pytest.param(OTHER, locks.STALE + 5, False, id="not touched any more"),
        pytest.param(None, 10 * locks.STALE, True, id="of a process that lives, however old"),
    ],
)
def test_whether_another_holds_it(path, host, age, held):
    started = None if host else locks._started(os.getppid())
    write(path, host or socket.gethostname(), os.getppid(), started, age)
    assert is_held(path) is held
    with held_lock(path) as lock:
        assert (lock is None) is held


def test_a_process_that_has_the_number_of_a_dead_one_does_not_hold_it(path):
    write(path, socket.gethostname(), os.getppid(), started=1.0)
    assert not is_held(path)


def test_one_that_is_just_being_written_is_held(path):
    path.touch()
    assert is_held(path)


def test_who_is_too_late_gives_the_new_one_back(path, monkeypatch):
    write(path, OTHER, 1, age=2 * locks.STALE)
    seen = locks._read(path)
    real = os.rename

    def slow(source, target):  # another run takes the lock between a look and the rename
        monkeypatch.setattr(os, "rename", real)
        write(path, OTHER, 2)
        real(source, target)

    monkeypatch.setattr(os, "rename", slow)
    with held_lock(path) as lock:
        assert lock is None
    assert locks._read(path)["pid"] == 2 != seen["pid"]


def test_it_is_touched_while_it_is_held(path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.01)
    with held_lock(path) as lock:
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1
        write(path, OTHER, 3)
        assert not lock.is_ours
    assert path.exists()  # what another run took is not removed
