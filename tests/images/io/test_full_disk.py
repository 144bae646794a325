"""A disk that is full, or a limit on the size of files: an error with the cure, never a crash."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.maps import create_map

EXTENT = Extent(height=600, width=700)
BYTES = 2 * 600 * 700 * 4
RANDOM = np.random.default_rng(0)
SAYS = (
    "There is no room in ",
    " for the map of 2 x 600 x 700 values, which takes up to ",
    "another folder (output=...), a smaller type (dtype='uint8'), a region, or fewer planes.",
)
needs_blocks = pytest.mark.skipif(
    not hasattr(os.stat_result, "st_blocks"), reason="this system does not tell blocks"
)


def write_noise(written):
    """Write all rows of a map that compresses badly."""
    for rows in (slice(0, 512), slice(512, 600)):
        shape = (2, rows.stop - rows.start, 700)
        written.write((), rows, RANDOM.random(shape, np.float32))
    written.end_plane(())


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def unsupported(*_):
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


@needs_blocks
@pytest.mark.parametrize("reserve", ["at once", "no such call", "not on this disk"])
def test_room_for_a_memory_map_is_reserved_before_it_is_written(reserve, tmp_path, monkeypatch):
    if reserve == "no such call":
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    elif reserve == "not on this disk":
        monkeypatch.setattr(os, "posix_fallocate", unsupported, raising=False)
    written = create_map(EXTENT, 2, output=tmp_path / "map.npy")
    os.sync()
    assert (tmp_path / "map.npy").stat().st_blocks * 512 >= BYTES
    assert not written.data.any()
    write_noise(written)
    assert np.load(tmp_path / "map.npy").shape == (2, 600, 700)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get)
def test_a_full_disk_leaves_no_memory_map(code, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(code, "no")

    monkeypatch.setattr(os, "posix_fallocate", fails, raising=False)
    with pytest.raises(OSError, match="There is no room") as caught:
        create_map(EXTENT, 2, output=tmp_path / "map.npy")
    assert all(part in str(caught.value) for part in SAYS)
    assert "up to 3.2 MB" in str(caught.value)
    assert caught.value.__cause__.errno == code
    assert not list(tmp_path.iterdir())


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "posix_fallocate", fails, raising=False)
    with pytest.raises(OSError, match="Input/output error"):
        create_map(EXTENT, 2, output=tmp_path / "map.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("step", ["write", "end_plane"])
def test_a_disk_that_fills_during_a_run_has_the_same_words(step, tmp_path, monkeypatch):
    import zarr

    written = create_map(EXTENT, 2, output=tmp_path / "map.zarr")
    if step == "write":
        monkeypatch.setattr(zarr.Array, "__setitem__", full)
    else:  # the coarser levels
        written.write((), slice(0, 512), np.ones((2, 512, 700), np.float32))
        monkeypatch.setattr(zarr.Array, "__setitem__", full)
    go_on = {"write": lambda: write_noise(written), "end_plane": lambda: written.end_plane(())}
    with pytest.raises(OSError, match="There is no room") as caught:
        go_on[step]()
    assert all(part in str(caught.value) for part in SAYS)
    assert str(caught.value).endswith("What map.zarr holds is incomplete.")


# A limit on the size of files makes the system itself refuse, as a full disk does.
LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.maps import create_map
import numpy as np
try:
    written = create_map(Extent(height=600, width=700), 2, output={path!r})
    noise = np.random.default_rng(0).random((2, 512, 700), np.float32)
    written.write((), slice(0, 512), noise)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of a process")
@pytest.mark.parametrize("name", ["map.npy", "map.zarr"])
def test_what_the_system_refuses_to_write_is_an_error_with_the_cure(name, tmp_path):
    code = LIMITED.format(path=str(tmp_path / name))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(part in done.stdout for part in SAYS)
