"""A lock on an image: of several runs on one folder, one works on it.

A lock is a file with the host and the process that hold it. It is touched every few seconds: where
the process cannot be seen, its age tells whether it still lives. The clock is that of the disk,
so that machines whose clocks differ agree.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

BEAT = 10.0  # seconds from one touch to the next
STALE = 6 * BEAT


class Lock:
    """A lock that this process holds; `held_lock` makes one.

    Parameters
    ----------
    path : Path
        Of the file.
    token : str
        What is in this lock alone.
    taken : bool
        Whether a run that held it before was killed, and may have left files behind.
    """

    def __init__(self, path: Path, token: str, taken: bool) -> None:
        self._path, self._token, self.taken = path, token, taken
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lock {path.name}", daemon=True)
        self._thread.start()

    @property
    def is_ours(self) -> bool:
        """Whether no other run has taken it for one that was left behind."""
        return _read(self._path).get("token") == self._token

    def release(self) -> None:
        """Give it back."""
        self._ended.set()
        self._thread.join()
        if self.is_ours:
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(OSError):  # of a disk that is away for a moment
                os.utime(self._path)


@contextmanager
def held_lock(path: Path) -> Iterator[Lock | None]:
    """Hold a lock; None if another run has it. A lock that was left behind is taken.

    Parameters
    ----------
    path : Path
        Of its file, in a folder that exists.
    """
    token = secrets.token_hex(8)
    taken = False
    if not _create(path, token):
        taken = _take(path)
        if not taken or not _create(path, token):
            yield None
            return
    lock = Lock(path, token, taken)
    try:
        yield lock
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Return whether some run holds a lock, and still lives."""
    return path.exists() and not _is_stale(path, _read(path))


def _create(path: Path, token: str) -> bool:
    about = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    try:
        with os.fdopen(file, "w", encoding="utf-8") as opened:
            json.dump({**about, "token": token}, opened)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _take(path: Path) -> bool:
    """Remove a lock that was left behind; return whether there is none now."""
    seen = _read(path)
    if not _is_stale(path, seen):
        return False
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        os.rename(path, aside)  # of several runs that noticed it, one succeeds
    except FileNotFoundError:
        return True
    taken = _read(aside)
    if taken != seen:  # another run was quicker, and this is its new lock
        with suppress(OSError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)
    return taken == seen


def _is_stale(path: Path, about: dict[str, Any]) -> bool:
    if about.get("host") == socket.gethostname():
        return about.get("started") != _started(about["pid"])
    try:
        touched = path.stat().st_mtime
    except FileNotFoundError:
        return True
    return _now(path.parent) - touched > STALE


def _started(pid: int) -> float | None:
    """Return when a process of this machine began, or None if there is none of that number."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def _now(folder: Path) -> float:
    """Return the time by the clock of the disk."""
    probe = folder / f"clock.{secrets.token_hex(4)}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # gone, or just being written
        return {}
    return found if isinstance(found, dict) else {}
