"""Run a command where windows can open: ``python tools/virtual_display.py -- pytest``.

On a desktop the command simply runs. On Linux without a usable display or without OpenGL it runs
on a virtual display (Xvfb, drawn by Mesa in software); the Debian packages for that are installed
first where they are missing and may be installed, and else named in the one line to run.
"""

from __future__ import annotations

import argparse
import ctypes
import glob
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

SCREEN = "1400x900x24"

# Debian package → what shows that it is there: a shared library, a program, or file patterns.
# Libraries are looked for rather than packages, so that other distributions are judged right too.
PACKAGES = {
    "xvfb": "Xvfb",
    "libgl1-mesa-dri": "/usr/lib/*/dri/swrast_dri.so:/usr/lib*/dri/swrast_dri.so",
    "libgl1": "libGL.so.1",
    "libegl1": "libEGL.so.1",
    "libopengl0": "libOpenGL.so.0",
    "libdbus-1-3": "libdbus-1.so.3",
    "libfontconfig1": "libfontconfig.so.1",
    "libglib2.0-0": "libgthread-2.0.so.0",
    "libgssapi-krb5-2": "libgssapi_krb5.so.2",
    "libxkbcommon-x11-0": "libxkbcommon-x11.so.0",
    "libxcb-cursor0": "libxcb-cursor.so.0",
    "libxcb-icccm4": "libxcb-icccm.so.4",
    "libxcb-image0": "libxcb-image.so.0",
    "libxcb-keysyms1": "libxcb-keysyms.so.1",
    "libxcb-randr0": "libxcb-randr.so.0",
    "libxcb-render-util0": "libxcb-render-util.so.0",
    "libxcb-shape0": "libxcb-shape.so.0",
    "libxcb-xinerama0": "libxcb-xinerama.so.0",
}
# A screen of one's own brings its server and its driver along.
ONLY_VIRTUAL = {"xvfb", "libgl1-mesa-dri"}

# A child that was told to stop may still tear down windows and print its summary.
GRACE_SECONDS = 5.0

# libxcb speaks with the server as Qt will, access rights included. In a process of its own,
# because a connection to a host that drops packets would hang.
_CONNECT = """
import ctypes, sys
xcb = ctypes.CDLL("libxcb.so.1")
xcb.xcb_connect.restype = ctypes.c_void_p
sys.exit(xcb.xcb_connection_has_error(ctypes.c_void_p(xcb.xcb_connect(None, None))))
"""


class Way(Enum):
    """How the command is going to run."""

    DIRECT = auto()
    VIRTUAL = auto()
    INSTALL = auto()  # packages first, then as VIRTUAL
    STOP = auto()  # packages are missing, and someone else must install them


@dataclass(frozen=True)
class Machine:
    """What was found: the platform, a display that answers, packages that are missing."""

    platform: str
    display: bool = False
    missing: frozenset[str] = frozenset()
    may_install: bool = False


def decide(machine: Machine, environ: Mapping[str, str], always_virtual: bool = False) -> Way:
    """Choose the way to run; only Linux has virtual displays."""
    if machine.platform != "linux":
        return Way.DIRECT
    refused = (
        always_virtual
        or environ.get("CI", "").lower() not in ("", "0", "false")
        # Qt's own virtual platforms have no OpenGL, so that the first image layer would fail.
        or environ.get("QT_QPA_PLATFORM", "").startswith(("offscreen", "minimal", "vnc"))
    )
    if machine.display and not refused and machine.missing <= ONLY_VIRTUAL:
        return Way.DIRECT
    if not machine.missing:
        return Way.VIRTUAL
    return Way.INSTALL if machine.may_install else Way.STOP


def look_around(environ: Mapping[str, str]) -> Machine:
    if sys.platform != "linux":
        return Machine(sys.platform)
    missing = frozenset(name for name, sign in PACKAGES.items() if not is_there(sign))
    return Machine(sys.platform, display_answers(environ), missing, may_install())


def is_there(sign: str) -> bool:
    """Whether a library loads, one of the file patterns matches, or a program is on the path."""
    if "/" in sign:
        return any(glob.glob(pattern) for pattern in sign.split(":"))
    if ".so." not in sign:
        return shutil.which(sign) is not None
    try:
        ctypes.CDLL(sign)
    except OSError:
        return False
    return True


def display_answers(environ: Mapping[str, str]) -> bool:
    """Whether the X or Wayland server that the environment names lets us in."""
    if wayland := environ.get("WAYLAND_DISPLAY"):
        path = os.path.join(environ.get("XDG_RUNTIME_DIR", ""), wayland)  # keeps an absolute one
        with socket.socket(socket.AF_UNIX) as connection:
            if connection.connect_ex(path) == 0:
                return True
    if not environ.get("DISPLAY"):
        return False
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _CONNECT], env=environ, stderr=subprocess.DEVNULL, timeout=10
        )
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0


def may_install() -> bool:
    """Whether apt-get is here and can be run as root without asking anyone."""
    if not shutil.which("apt-get") or (os.geteuid() and not shutil.which("sudo")):
        return False
    return subprocess.run([*_as_root(), "true"], capture_output=True).returncode == 0


def install(packages: Sequence[str]) -> bool:
    """Install Debian packages without asking; False where that failed."""
    apt_get = [*_as_root(), *["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]]
    apt_get += ["-o", "DPkg::Lock::Timeout=300"]  # seconds; another apt-get may be at work
    # One source that does not answer need not matter to these packages: let install judge.
    subprocess.run([*apt_get, "update"])
    done = subprocess.run([*apt_get, "install", "-y", "--no-install-recommends", *packages])
    return done.returncode == 0


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command, pass on that it should stop, and return its exit status as a shell does."""
    try:
        child = subprocess.Popen(command, env=environ, preexec_fn=_die_with_parent())
    except FileNotFoundError:
        say(f"there is no program called {command[0]!r}")
        return 127
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        status = child.wait()
    except KeyboardInterrupt:  # Ctrl-C reached the child as well: let it end by itself first
        status = _end(child)
    return status if status >= 0 else 128 - status


def run_virtually(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command on an Xvfb of its own, which ends with it."""
    ours, theirs = os.pipe()
    with tempfile.TemporaryFile("w+") as log, open(ours) as number:
        # Not xvfb-run: that leaves its server behind when it is interrupted. The server picks a
        # free number and tells it; in a session of its own, Ctrl-C ends the command before it.
        server = subprocess.Popen(
            f"Xvfb -displayfd {theirs} -screen 0 {SCREEN} -nolisten tcp -noreset".split(),
            pass_fds=[theirs],
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )
        os.close(theirs)
        try:
            ready, _, _ = select.select([number], [], [], 60)
            display = number.readline().strip() if ready else ""
            if not display:
                log.seek(0)
                say(f"Xvfb did not start:\n{log.read()}")
                return 1
            kept = {k: v for k, v in environ.items() if k != "WAYLAND_DISPLAY"}
            return run(command, {**kept, "DISPLAY": f":{display}", "QT_QPA_PLATFORM": "xcb"})
        finally:
            _end(server, grace=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Decide, install what is missing, and run."""
    parser = argparse.ArgumentParser(description=__doc__, prog=Path(__file__).name)
    parser.add_argument("--always-virtual", action="store_true", help="even where a screen is")
    parser.add_argument("command", nargs="+", help="the command and its arguments, after --")
    asked = parser.parse_args(arguments)
    environ = dict(os.environ)
    machine = look_around(environ)
    way = decide(machine, environ, asked.always_virtual)
    if way is Way.DIRECT:
        return run(asked.command, environ)
    packages = sorted(machine.missing)
    if way is Way.INSTALL:
        say(f"a virtual display needs {' '.join(packages)}: installing")
    if way is Way.STOP or (way is Way.INSTALL and not install(packages)):
        say("no window can open here yet. Run this line (Debian, Ubuntu), then try again:")
        options = "-y --no-install-recommends"
        say(f"sudo apt-get update && sudo apt-get install {options} {' '.join(packages)}")
        return 1
    return run_virtually(asked.command, environ)


def say(message: str) -> None:
    """Speak beside the command's own output."""
    print(message, file=sys.stderr, flush=True)


def _as_root() -> list[str]:
    return ["sudo", "-n"] if os.geteuid() else []


def _end(process: subprocess.Popen[bytes], grace: float = GRACE_SECONDS) -> int:
    for insist in (process.terminate, process.kill):
        try:
            return process.wait(grace)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            insist()
        grace = GRACE_SECONDS
    return process.wait()


def _die_with_parent() -> Callable[[], object] | None:
    """Return what makes a child end when this process is killed, where the system can do it."""
    if sys.platform != "linux":
        return None
    prctl, set_parent_death_signal = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(set_parent_death_signal, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
