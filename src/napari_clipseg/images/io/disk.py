"""Files for maps: where they lie, and the room that they need."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.probability import Maps

# A full disk, a used-up quota, and a limit on the size of one file.
NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
# Disks that cannot reserve room say so in different ways.
CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
BLOCK = bytes(1 << 20)
NUMPY_SUFFIX, ZARR_SUFFIX = ".npy", ".zarr"


def output_path(output: str | Path) -> Path:
    """Return where a map is written, whole: it stays true when the current folder changes.

    Raises
    ------
    ValueError
        If it ends neither in ``.npy`` nor in ``.zarr``.
    FileNotFoundError
        If its folder does not exist.
    FileExistsError
        If it exists, and is no empty folder for an OME-Zarr.
    """
    path = Path(os.path.expanduser(output)).absolute()
    if path.suffix not in (NUMPY_SUFFIX, ZARR_SUFFIX):
        raise ValueError(
            f"The map cannot be written into {str(output)!r}; wanted a name that ends in "
            f"{ZARR_SUFFIX} (OME-Zarr) or {NUMPY_SUFFIX} (numpy)."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {path.parent} for {path.name}. Make it first, or choose another "
            f"one."
        )
    empty = path.suffix == ZARR_SUFFIX and path.is_dir() and not any(path.iterdir())
    if path.exists() and not empty:
        there = f", or open the map that is there: Segmentation.load({str(path)!r})"
        raise FileExistsError(
            f"{path} exists and is not overwritten. Choose another name"
            f"{there * (path.suffix == ZARR_SUFFIX)}."
        )
    return path


def hidden(path: Path) -> str:
    """Return what the names of files begin with that are needed while a map is worked on."""
    return f".{path.name.removeprefix('.')}"


def require_map(path: Path) -> None:
    """Raise FileNotFoundError if a folder that a map was written into is there no more."""
    if not path.is_dir():
        raise FileNotFoundError(
            f"The map in {path} is gone: the folder was moved or deleted. Put it back, or segment "
            f"the image again."
        )


def create_npy(path: Path, shape: tuple[int, ...], dtype: str) -> Maps:
    """Make a ``.npy`` file of zeros, its room reserved, and map it into memory.

    Without the room a full disk would end the process: a memory map that cannot be written is no
    error of Python, but a signal (SIGBUS).

    Raises
    ------
    OSError
        If the disk has no room for it; the file is removed then.
    FileExistsError
        If there is such a file.
    """
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    nbytes = int(np.prod(shape, dtype=object)) * np.dtype(dtype).itemsize
    with tell_no_room(path, shape, nbytes), path.open("xb") as file:
        try:
            np.lib.format.write_array_header_1_0(file, header)
            _reserve(file, nbytes)
        except BaseException:
            file.close()  # Windows removes no open file
            path.unlink()
            raise
    mapped: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r+")
    return mapped


def _reserve(file: BinaryIO, nbytes: int) -> None:
    file.flush()
    try:
        os.posix_fallocate(file.fileno(), file.tell(), nbytes)
    except AttributeError:  # neither Windows nor macOS has it
        pass
    except OSError as error:
        if error.errno not in CANNOT_RESERVE:
            raise
    else:
        return
    for start in range(0, nbytes, len(BLOCK)):
        file.write(BLOCK[: nbytes - start])
    file.flush()
    os.fsync(file.fileno())  # some disks tell only now that they are full


@contextmanager
def tell_no_room(
    path: Path,
    shape: tuple[int, ...],
    nbytes: int,
    incomplete: bool = False,
    labels: bool = False,
) -> Iterator[None]:
    """Say what a map, or its labels, need, and the cure, where the disk has no room for it.

    Parameters
    ----------
    path : Path
        Of the map.
    shape : tuple of int
        Of the map.
    nbytes : int
        What it takes at most.
    incomplete : bool
        Whether a part of the map stays in the file.
    labels : bool
        Whether these are the labels of a map, with what is needed on the way.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free = shutil.disk_usage(path.parent).free
        left = f" What {path.name} holds is incomplete." * incomplete
        what, take = ("labels", "take") if labels else ("map", "takes")
        raise OSError(
            f"There is no room in {path.parent} for the {what} of {' x '.join(map(str, shape))} "
            f"values, which {take} up to {nbytes / 2**20:,.1f} MB ({error.strerror}; "
            f"{free / 2**20:,.1f} MB are free). Free some, or choose another folder (output=...), "
            f"a smaller type (dtype='uint8'), a region, or fewer planes.{left}"
        ) from error
