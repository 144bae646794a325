"""The commands about checkpoints, run as a user runs them, against a hub on the loopback."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from fake_hub import COMMIT, NAME, as_default, held
from napari_clipseg.cli.main import main
from napari_clipseg.engine.checkpoints.locate import KNOWN, locate

TOLD = ("605 MB", "the hub's card says apache-2.0", "MIT license does not apply", f"co/{NAME}")


@pytest.fixture
def hub(hub, monkeypatch):
    as_default(hub, monkeypatch)
    return hub


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "home" / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def answer(monkeypatch):
    """Sit at a terminal and type an answer."""

    def answer(text):
        stdin = io.StringIO(text)
        stdin.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", stdin)

    return answer


def row(out, name):
    (line,) = [line for line in out.splitlines() if line.startswith(f"{name} ")]
    return re.split(r"  +", line)


def test_models_lists_what_is_published(capsys, cache):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    size = sum(path.stat().st_size for path in locate("demo").iterdir())
    shown = row(out, "demo")
    assert [*shown[:2], shown[3]] == ["demo", "yes", "bsd-3-clause"]
    assert size / 1e6 <= int(shown[2].removesuffix(" MB")) < size / 1e6 + 1
    assert row(out, "demo")[4] == str(locate("demo"))
    for name in KNOWN:
        assert row(out, name)[1] == "no"
        assert re.fullmatch(r"\d{3} MB", row(out, name)[2])
    assert "the hub's card says apache-2.0" in out
    assert "MIT license does not apply to the weights" in out
    assert f"Cache: {cache}" in out


def test_models_lists_what_is_downloaded(hub, capsys, cache):
    hub.repos["somebody/other"] = hub.repos[NAME]
    main(["download", "somebody/other", "--accept-license"])
    main(["download", NAME, "--accept-license"])
    half = cache / "models--CIDAS--clipseg-rd16" / "blobs" / "0.incomplete"
    half.parent.mkdir(parents=True)
    half.touch()
    capsys.readouterr()
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert row(out, NAME) == [NAME, "yes", "4 MB", "see note", str(locate(NAME))]
    assert row(out, "somebody/other")[1:4] == ["yes", "4 MB", "see card"]
    assert row(out, "CIDAS/clipseg-rd16")[1] == "in part"
    assert row(out, "CIDAS/clipseg-rd64-refined")[1] == "no"


def _broken_reference(repository):
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_bytes(b"\xff\xfe")


def _loop(repository):
    (repository / "snapshots").symlink_to(repository / "snapshots")


def _commit(repository):
    """A snapshot whose config says CLIPSeg."""
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "clipseg"}')
    return folder


# name of the folder: what is odd in it
ODD_FOLDERS = {
    "models--a--b--c": _commit,
    "models--a--": _commit,
    "models----b": _commit,
    "models--.a--b.": _commit,
    "models--a--b\nc": _commit,
    "models--a--broken-reference": _broken_reference,
    "models--a--a-loop": _loop,
    "models--a--deep-config": lambda place: (_commit(place) / "config.json").write_text(
        "[" * 200_000
    ),
    "models--a--a-folder-as-config": lambda place: (
        (_commit(place) / "config.json").unlink(),
        (place / "snapshots" / COMMIT / "config.json").mkdir(),
    ),
    "models--CIDAS--clipseg-rd16": _loop,
}


@pytest.mark.parametrize(("folder", "make"), ODD_FOLDERS.items(), ids=list(ODD_FOLDERS))
def test_models_lists_the_others_beside_an_odd_folder(folder, make, hub, capsys, cache):
    main(["download", NAME, "--accept-license"])
    (cache / folder).mkdir(parents=True)
    make(cache / folder)
    (cache / "models--a--file").write_text("")
    capsys.readouterr()
    assert main(["models"]) == 0
    assert row(capsys.readouterr().out, NAME)[1] == "yes"


def test_models_says_what_cannot_be_read(capsys, cache, monkeypatch):
    (cache / "models--a--b").mkdir(parents=True)
    folder = _commit(cache / "models--a--b")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    for name in ("vocab.json", "merges.txt", "preprocessor_config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    real = type(folder).iterdir
    monkeypatch.setattr(
        type(folder), "iterdir", lambda path: refuse(path) if path == folder else real(path)
    )
    assert main(["models"]) == 0
    assert row(capsys.readouterr().out, "a/b")[1] == "cannot be read"


@pytest.mark.parametrize("text", ["y\n", "YES\n"], ids=repr)
def test_download_describes_asks_and_shows_progress(text, hub, answer, capsys):
    answer(text)
    assert main(["download", NAME]) == 0
    out, err = capsys.readouterr()
    assert out == f"{locate(NAME)}\n"
    for part in (*TOLD, "[y/N]", "100%"):
        assert part in err
    assert err.index("[y/N]") < err.index("100%")


@pytest.mark.parametrize("text", ["n\n", "\n", "", "maybe\n"], ids=repr)
def test_download_does_nothing_without_a_yes(text, hub, answer, capsys):
    answer(text)
    assert main(["download", NAME]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "Nothing was downloaded" in err
    assert hub.asked == []


def test_download_without_a_terminal_wants_accept_license(hub, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["download", NAME]) == 1
    err = capsys.readouterr().err
    assert "no terminal to ask on" in err
    assert "run it again with --accept-license" in err
    assert hub.asked == []
    assert main(["download", NAME, "--accept-license"]) == 0
    assert "apache-2.0" in capsys.readouterr().err


def test_download_shows_progress_in_one_line_on_a_terminal(hub, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["download", NAME, "--accept-license"]) == 0
    err = capsys.readouterr().err
    lines = [line for line in err.split("\n") if "\r" in line]
    assert len(lines) == 1
    assert lines[0].count("\r") > 10
    assert lines[0].split("\r")[-1].split() == [
        "100%",
        "4",
        "MB",
        "of",
        "4",
        "MB",
        *["model.safetensors"],
    ]


def test_download_does_not_ask_about_what_is_downloaded(hub, capsys):
    main(["download", NAME, "--accept-license"])
    capsys.readouterr()
    hub.asked.clear()
    assert main(["download", NAME]) == 0
    out, err = capsys.readouterr()
    assert out == f"{locate(NAME)}\n"
    assert err == ""
    assert hub.asked == []


def test_verify_and_path_after_a_download(hub, capsys):
    main(["download", NAME, "--accept-license", "--revision", "refs/pr/1"])
    capsys.readouterr()
    assert main(["path", NAME, "--revision", "refs/pr/1"]) == 0
    folder = locate(NAME, revision=COMMIT)
    assert capsys.readouterr().out == f"{folder}\n"
    assert main(["verify", NAME, "--revision", "refs/pr/1"]) == 0
    out = capsys.readouterr().out
    assert f"7 files in {folder} have the hashes that the hub announced" in out
    assert "model.safetensors" in out.splitlines()
    (folder / "config.json").write_text("{}")
    assert main(["verify", NAME, "--revision", "refs/pr/1"]) == 1
    err = capsys.readouterr().err
    assert "config.json (git-sha1 " in err
    assert f"`napari-clipseg download {NAME} --revision refs/pr/1`" in err


FAULTS = {
    "path of what is not here": (["path", NAME], f"`napari-clipseg download {NAME}`"),
    "path of nothing": (["path", "./nothing"], "There is no checkpoint './nothing'"),
    "verify what is not here": (["verify", NAME], "not on this machine"),
    "verify the bundled one": (["verify", "demo"], "no hashes to compare"),
    "download the bundled one": (["download", "demo"], "'demo' is no name on the hub"),
    "download an unknown one": (
        ["download", "nobody/nothing", "--accept-license"],
        "no model 'nobody/",
    ),
}


@pytest.mark.parametrize(("arguments", "says"), FAULTS.values(), ids=FAULTS)
def test_error_is_one_line_and_status_1(arguments, says, hub, capsys):
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("napari-clipseg: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["download", "verify", "path"])
def test_command_wants_a_name(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command])
    assert ended.value.code == 2
    assert "name" in capsys.readouterr().err


def test_path_of_the_bundled_checkpoint(capsys):
    assert main(["path", "demo"]) == 0
    assert capsys.readouterr().out == f"{locate('demo')}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a process there cannot be sent a Ctrl-C alone")
def test_download_continues_after_ctrl_c(hub, cache):
    go_on = threading.Event()
    hub.faults["/store/"] = held(go_on, after=1_000_000)
    command = [sys.executable, "-m", "napari_clipseg", "download", NAME, "--accept-license"]
    variables = {"HF_HOME": str(cache.parent), "HF_ENDPOINT": hub.endpoint}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | variables
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has programs in its background ignore Ctrl-C, and these tests may run there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 60
        while not any(half.stat().st_size > 0 for half in cache.rglob(f"{'?' * 64}.incomplete")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        go_on.set()
        process.kill()
    assert process.returncode == 130
    assert out == ""
    assert "continues where it stopped" in err
    assert "Traceback" not in err
    hub.faults.clear()
    hub.asked.clear()
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    assert any(hub.ranges())


@pytest.mark.parametrize("command", [[], ["download"], ["models"]], ids=str)
def test_help_is_quick(command):
    code = (
        "import sys; from napari_clipseg.cli.main import main\n"
        f"try: main([*{command!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "loaded = {'torch', 'napari', 'huggingface_hub', 'httpx', 'httpx2'} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: napari-clipseg" in done.stdout
