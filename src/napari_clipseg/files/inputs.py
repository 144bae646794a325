"""Which files are meant: files, folders, patterns and lists; no file of them is opened."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from napari_clipseg.files.readers import ZARR, is_image

LIST = ".csv"
# Of a column that holds the paths; without such a column it is the first one.
PATH_COLUMNS = ("path", "file", "filename", "image")


@dataclass(frozen=True)
class Input:
    """An image, and where its outputs belong below the output folder.

    Attributes
    ----------
    path : Path
        Of the image.
    relative : Path
        Below the folder that was named; the name alone for a file that was named.
    """

    path: Path
    relative: Path


@dataclass
class Inputs:
    """What was found.

    Attributes
    ----------
    images : list of Input
        Each once, in natural order within a folder.
    left_out : Counter of str
        How many other files each suffix has; they are no images.
    """

    images: list[Input] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find_inputs(
    given: Iterable[str | Path], *, recursive: bool = False, outputs: Iterable[str] = ()
) -> Inputs:
    """Return the images that paths, folders, patterns and lists name.

    Parameters
    ----------
    given : iterable of str or Path
        Files; folders; patterns such as ``data/*/a.tif`` or ``data/**/*.png``; lists, which are
        .csv files with a column ``path``.
    recursive : bool
        Whether folders within folders count.
    outputs : iterable of str
        Ends of names that files have that this package wrote: in folders they are no images.

    Raises
    ------
    FileNotFoundError
        If nothing is named so.
    ValueError
        If a list has no column of paths.
    """
    found, seen = Inputs(), set()
    ends = tuple(one for one in outputs if one.count(".") > 1)
    for one in given:
        for image in _of(Path(one).expanduser(), found.left_out, recursive, ends):
            place = os.path.abspath(image.path)
            if place not in seen:
                seen.add(place)
                found.images.append(image)
    return found


def natural(name: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts ``a2`` before ``a10``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def _of(path: Path, left_out: Counter[str], recursive: bool, ends: tuple[str, ...]) -> list[Input]:
    if _is_folder(path):
        return list(_in_folder(path, Path(), left_out, recursive, ends))
    if path.exists():
        if path.suffix.lower() == LIST:
            return _in_list(path)
        return [Input(path, Path(path.name))]
    if glob.has_magic(str(path)):
        return _matching(path, left_out, recursive, ends)
    raise FileNotFoundError(
        f"There is no file or folder {path}. Check its spelling; from another folder, give the "
        f"whole path."
    )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not _is_zarr(path)


def _is_zarr(path: Path) -> bool:
    return path.suffix.lower() in ZARR or any(
        (path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")
    )


def _in_folder(
    folder: Path, below: Path, left_out: Counter[str], recursive: bool, ends: tuple[str, ...]
) -> Iterator[Input]:
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda one: natural(one.name))
    for entry in entries:
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            continue  # ours, or what systems hide, such as the ._a.tif of macOS
        if entry.name.endswith(ends):
            left_out["our own outputs"] += 1
        elif entry.is_dir() and suffix not in ZARR:
            if recursive:
                inner = below / entry.name
                yield from _in_folder(Path(entry.path), inner, left_out, recursive, ends)
        elif is_image(path := Path(entry.path)):
            yield Input(path, below / entry.name)
        else:
            left_out[suffix or "no suffix"] += 1


def _in_list(path: Path) -> list[Input]:
    """Return the files of a list; what is not whole there is looked for beside the list."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    if not rows:
        raise ValueError(f"{path} lists no file. Write one path in each line.")
    head = [cell.strip().lower() for cell in rows[0]]
    column = next((head.index(name) for name in PATH_COLUMNS if name in head), None)
    if column is None:
        column = 0
    else:
        rows = rows[1:]
    images = []
    for row in rows:
        named = Path(row[column].strip() if column < len(row) else "").expanduser()
        if named == Path():
            raise ValueError(f"{path} has a line without a path: {row!r}. Complete or delete it.")
        whole = Path(os.path.abspath(path.parent / named))
        start = Path(os.path.abspath(path.parent))
        inside = whole.is_relative_to(start)
        images.append(Input(whole, whole.relative_to(start) if inside else Path(whole.name)))
    return images


def _matching(
    pattern: Path, left_out: Counter[str], recursive: bool, ends: tuple[str, ...]
) -> list[Input]:
    """Return what matches; folders are mirrored below the part that has no pattern."""
    parts = pattern.parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    start = Path(*parts[:fixed])
    images: list[Input] = []
    for name in sorted(glob.glob(str(pattern), recursive=True), key=natural):
        path = Path(name)
        if _is_folder(path):
            if parts[-1] != "**":
                below = path.relative_to(start)
                images += _in_folder(path, below, left_out, recursive, ends)
        elif any(parent.suffix.lower() in ZARR for parent in path.parents):
            continue  # a part of an OME-Zarr
        elif not is_image(path) and not _is_zarr(path):
            left_out[path.suffix.lower() or "no suffix"] += 1
        elif path.name.endswith(ends):
            left_out["our own outputs"] += 1
        else:
            images.append(Input(path, path.relative_to(start)))
    if not images:
        raise FileNotFoundError(f"No image matches {pattern}. Check the pattern, and quote it.")
    return images
