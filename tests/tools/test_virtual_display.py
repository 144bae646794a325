"""Where a command runs: on the screen, on a virtual one, after installing packages, or not yet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import virtual_display
from virtual_display import Machine, Way, decide

SCRIPT = Path(virtual_display.__file__)
QT = frozenset({"libxcb-cursor0"})
SERVER = frozenset({"xvfb"})

# name: machine, environment, --always-virtual, the way it runs
DECISIONS = {
    "a desktop": (Machine("linux", display=True), {}, False, Way.DIRECT),
    "a desktop without Xvfb": (
        Machine("linux", display=True, missing=SERVER), {}, False, Way.DIRECT,
    ),
    "a desktop, asked to hide": (Machine("linux", display=True), {}, True, Way.VIRTUAL),
    "a desktop on which Qt was told to draw nowhere": (
        Machine("linux", display=True), {"QT_QPA_PLATFORM": "offscreen"}, False, Way.VIRTUAL,
    ),
    "a desktop without OpenGL, as root": (
        Machine("linux", display=True, missing=frozenset({"libgl1"}), may_install=True),
        {}, False, Way.INSTALL,
    ),
    "a desktop that Qt cannot use": (
        Machine("linux", display=True, missing=QT), {}, False, Way.STOP,
    ),
    "a server with all packages": (Machine("linux"), {}, False, Way.VIRTUAL),
    "a fresh server, as root": (
        Machine("linux", missing=SERVER | QT, may_install=True), {}, False, Way.INSTALL,
    ),
    "a fresh server, as a user": (Machine("linux", missing=SERVER | QT), {}, False, Way.STOP),
    "continuous integration on Linux": (
        Machine("linux", display=True), {"CI": "true"}, False, Way.VIRTUAL,
    ),
    "continuous integration switched off": (
        Machine("linux", display=True), {"CI": "false"}, False, Way.DIRECT,
    ),
    "continuous integration on Windows": (Machine("win32"), {"CI": "true"}, False, Way.DIRECT),
    "macOS": (Machine("darwin"), {}, False, Way.DIRECT),
    "macOS, asked to hide": (Machine("darwin"), {}, True, Way.DIRECT),
}  # fmt: skip

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="virtual displays are for Linux")
needs_xvfb = pytest.mark.skipif(
    sys.platform != "linux" or bool(virtual_display.look_around(os.environ).missing),
    reason="a desktop that runs these tests on its screen need not have Xvfb",
)


@pytest.mark.parametrize(
    ("machine", "environ", "always_virtual", "way"), DECISIONS.values(), ids=DECISIONS
)
def test_the_way_to_run(
    machine: Machine, environ: dict[str, str], always_virtual: bool, way: Way
) -> None:
    assert decide(machine, environ, always_virtual) is way


@only_linux
@pytest.mark.parametrize(
    ("sign", "there"),
    [
        ("libc.so.6", True),
        ("libnonesuch.so.0", False),
        ("sh", True),
        ("no-such-program", False),
        ("/no/such/file:/proc/self/st*us", True),
        ("/no/such/file:/no/such/other", False),
    ],
)
def test_what_shows_that_a_package_is_there(sign: str, there: bool) -> None:
    assert virtual_display.is_there(sign) is there


@only_linux
@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"DISPLAY": ""},
        {"DISPLAY": ":4242"},
        {"DISPLAY": "no display at all"},
        {"WAYLAND_DISPLAY": "wayland-4242", "XDG_RUNTIME_DIR": "/nonexistent"},
        {"WAYLAND_DISPLAY": "/dev/null"},
    ],
    ids=str,
)
def test_a_display_that_leads_nowhere_is_noticed(environ: dict[str, str]) -> None:
    assert not virtual_display.display_answers(environ)


def test_who_may_not_install_is_told_the_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine("linux", missing=SERVER | QT)
    monkeypatch.setattr(virtual_display, "look_around", lambda environ: machine)
    assert virtual_display.main(["--", "true"]) == 1
    line = "sudo apt-get update && sudo apt-get install -y --no-install-recommends "
    assert f"{line}libxcb-cursor0 xvfb\n" in capsys.readouterr().err


def start(code: str) -> subprocess.Popen[str]:
    tools = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); "
    return subprocess.Popen(
        [sys.executable, SCRIPT, "--", sys.executable, "-c", tools + code],
        env={**os.environ, "DISPLAY": ":4242", "CI": "", "WAYLAND_DISPLAY": ""},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )


def hear_ctrl_c() -> None:
    """Let the child hear Ctrl-C also where the tests themselves run in a shell's background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@needs_xvfb
def test_a_command_finds_a_display_that_answers_and_its_status_is_passed_on() -> None:
    ask = "import os, virtual_display as v; sys.exit(40 + v.display_answers(os.environ))"
    with start(ask) as process:
        process.communicate(timeout=60)
    assert process.returncode == 41


@needs_xvfb
def test_ctrl_c_lets_the_command_close_its_windows_before_the_display_goes() -> None:
    close_windows = """
import os, time, virtual_display as v
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(0.5)
    sys.exit(40 + v.display_answers(os.environ))
"""
    with start(close_windows) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all that run in it
        assert process.wait(timeout=30) == 41


@needs_xvfb
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_command_and_display_end_with_it(sent: str) -> None:
    say = "import os, time; print(os.getpid(), os.environ['DISPLAY'], flush=True); time.sleep(60)"
    with start(say) as process:
        assert process.stdout is not None
        child, display = process.stdout.readline().split()
        process.send_signal(signal.Signals[sent])
        assert process.wait(timeout=30) != 0
    until = time.monotonic() + 10
    while time.monotonic() < until and (
        Path(f"/proc/{child}/cmdline").exists()
        or virtual_display.display_answers({"DISPLAY": display})
    ):
        time.sleep(0.1)
    assert not Path(f"/proc/{child}/cmdline").exists()
    assert not virtual_display.display_answers({"DISPLAY": display})
