from __future__ import annotations

import subprocess
import sys

import pytest

from napari_clipseg import __version__
from napari_clipseg.cli.main import main


def test_help_says_what_there_is(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "demo" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"napari-clipseg {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["demo", "--sample", "nothing"], ["demo", "--nothing"]], ids=str
)
def test_wrong_usage_is_said_so(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: napari-clipseg" in capsys.readouterr().err


def test_it_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "napari_clipseg", "demo", "--model", "./nothing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("napari-clipseg: There is no checkpoint './nothing'")
