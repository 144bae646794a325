"""``tools/fuzz.py``: it draws many cases, counts them, and says how a failure is repeated."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest
from hypothesis import given, strategies as st
from drawing import examples

@examples(10)
@given(st.integers())
def test_that_holds(number):
    assert isinstance(number, int)

@examples(200)
@given(st.integers(0, 10**6))
def test_that_fails(number):
    assert number < 1000

@pytest.mark.parametrize("kind", [int, float])
@given(st.data())
def test_of_two_kinds(kind, data):
    data.draw(st.integers())

def test_that_draws_nothing():
    pytest.fail("it is run")
"""


@pytest.fixture
def folder(tmp_path):
    """Tests with the profiles of ours."""
    for name in ("conftest.py", "drawing.py"):
        (tmp_path / name).write_bytes((ROOT / "tests" / name).read_bytes())
    (tmp_path / "test_drawn.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def fuzz(folder, *options):
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "tools" / "fuzz.py",
            *options,
            "-p",
            "no:napari",
            "-p",
            "no:pytest-qt",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_it_counts_what_it_drew_and_repeats_what_failed(folder):
    code, out = fuzz(folder, "--minutes", "0")
    assert code == 1
    found = re.findall(r"(?m)^ *([\d,]+)  .*::(\w+)$", out)
    counts = {name: int(count.replace(",", "")) for count, name in found}
    assert counts["test_that_holds"] == 50  # five times as many as in a usual run
    assert counts["test_of_two_kinds"] == 1000
    assert "test_that_draws_nothing" not in out
    assert re.search(r"(?m)^ +[\d,]+  cases of 3 tests, 1 rounds\n +1  tests failed$", out)
    told = out.partition("to repeat test_drawn.py::test_that_fails")[2]
    assert "number=1000" in told
    (blob,) = re.findall(r"(?m)^(@reproduce_failure\(.*\))  # above the test$", told)
    # The line repeats it, and the failure is kept for the next run.
    source = TESTS.replace("@examples(200)", f"@examples(200)\n{blob}")
    source = source.replace("import given,", "import given, reproduce_failure,")
    (folder / "test_repeated.py").write_text(source)
    _, again = fuzz(folder, "--minutes", "0", "test_repeated.py", "-k", "fails")
    assert "number=1000" in again
    assert any((folder / ".hypothesis" / "fuzz").iterdir())


def test_it_draws_until_the_time_is_over(folder):
    code, out = fuzz(folder, "--minutes", "0.05", "-k", "holds")
    assert code == 0
    rounds = int(re.search(r"(\d+) rounds", out)[1])
    (count,) = re.findall(r"(?m)^ *([\d,]+)  .*::test_that_holds$", out)
    assert rounds > 1
    assert int(count.replace(",", "")) == 50 * rounds
