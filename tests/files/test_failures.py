"""What an error says, and what helps: the two columns of a list of failures."""

from __future__ import annotations

import errno

import pytest

from napari_clipseg import CheckpointError
from napari_clipseg.files.failures import LOOK, explain, is_disk_full


@pytest.mark.parametrize(
    ("error", "said", "cure"),
    [
        pytest.param(
            ValueError("a.tif is 3 x 4; wanted\nmore. Choose another one."),
            "a.tif is 3 x 4; wanted more.",
            "Choose another one.",
            id="our own",
        ),
        pytest.param(
            CheckpointError("The weights are others. Get those that it was made with."),
            "The weights are others.",
            "Get those that it was made with.",
            id="our own kind",
        ),
        pytest.param(ValueError("bad magic"), "bad magic.", LOOK, id="of a library"),
        pytest.param(KeyError("x"), "KeyError: 'x'.", LOOK, id="of any kind"),
        pytest.param(RuntimeError(), "RuntimeError: RuntimeError.", LOOK, id="without words"),
        pytest.param(
            ValueError("it needs imagecodecs: python -m pip install imagecodecs"),
            "it needs imagecodecs.",
            "python -m pip install imagecodecs",
            id="a package",
        ),
        pytest.param(
            FileNotFoundError("There is no file a.tif."),
            "There is no file a.tif.",
            "Put it back where it was, and run the same command again.",
            id="gone",
        ),
        pytest.param(
            PermissionError(errno.EACCES, "Permission denied", "a.tif"),
            "[Errno 13] Permission denied: 'a.tif'.",
            "Close the program that has it open, or get the right to read it; then run the same "
            "command again.",
            id="locked",
        ),
        pytest.param(
            OSError(errno.EIO, "Input/output error"),
            "[Errno 5] Input/output error.",
            "See whether the disk of this file can be read, and run the same command again.",
            id="disk",
        ),
        pytest.param(ValueError("x" * 600), "x" * 499 + "…", LOOK, id="long"),
    ],
)
def test_explain(error, said, cure):
    assert explain(error) == (said, cure)


def test_memory_has_a_cure():
    assert "fewer workers" in explain(MemoryError("too large"))[1]


def raised(error, cause):
    try:
        raise error from cause
    except Exception as found:
        return found


@pytest.mark.parametrize(
    ("error", "full"),
    [
        pytest.param(OSError(errno.ENOSPC, "full"), True, id="full"),
        pytest.param(OSError(errno.EACCES, "no"), False, id="another"),
        pytest.param(raised(ValueError("x"), OSError(errno.EDQUOT, "quota")), True, id="cause"),
        pytest.param(ValueError("No space left on device"), False, id="words alone"),
    ],
)
def test_whether_a_disk_is_full(error, full):
    assert is_disk_full(error) is full
