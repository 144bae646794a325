"""Completion of commands and options, in the shells that are here."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from napari_clipseg.cli.main import main

CASES = {
    "napari-clipseg rec": "recipe",
    "napari-clipseg segment --recu": "--recursive",
    "napari-clipseg recipe sh": "show",
    "napari-clipseg completion zs": "zsh",
    "napari-clipseg teach --str": "--strokes",
}


@pytest.fixture
def script(capsys, tmp_path):
    def make(shell):
        assert main(["completion", shell]) == 0
        path = tmp_path / f"c.{shell}"
        path.write_text(capsys.readouterr().out)
        return path

    return make


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_all_commands_and_options_are_in_it(shell, script):
    text = script(shell).read_text()
    for word in ("segment", "recipe", "teach", "download", "upgrade"):
        assert word in text
    for option in ("like", "min-distance", "scheduler", "strokes", "accept-license"):
        assert option in text


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")
@pytest.mark.parametrize(("line", "wanted"), CASES.items())
def test_bash_completes(line, wanted, script):
    words = line.split()
    code = (
        f"source {script('bash')}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        '_napari_clipseg; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [wanted]


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not here")
@pytest.mark.parametrize(("line", "wanted"), CASES.items())
def test_fish_completes(line, wanted, script):
    code = f"source {script('fish')}; complete -C '{line}'"
    done = subprocess.run(["fish", "-c", code], capture_output=True, text=True, check=True)
    assert [one.split("\t")[0] for one in done.stdout.splitlines()] == [wanted]


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not here")
def test_zsh_understands_it(script):
    subprocess.run(["zsh", "-n", script("zsh")], check=True)
