"""What is done: a small file for each image, in a hidden folder of the output folder.

It is written when all outputs of an image are whole, under temporary names, and before they get
their own. So whenever a run is killed, the next one knows: without an entry nothing of the image
counts, and with one the rest is to rename.
"""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_clipseg.files.inputs import natural
from napari_clipseg.files.jobs import Job

FOLDER = ".napari-clipseg"
FAILED = "failed.csv"
COLUMNS = ("path", "error", "cure")
ENTRY, FAILURE = ".json", ".failed.json"
PART = ".part-"  # what names of files begin with that are not whole


@dataclass(frozen=True)
class Entry:
    """What became of an image.

    Attributes
    ----------
    image : str
        Its path.
    key : str
        What it was made with, see `batch.key_of`.
    stat : tuple of int
        Size and time of the image's file then, to notice another one.
    parts : dict
        Temporary name of each output, by its own name; both without their folder.
    in_image : str
        Name of the labels that were added to the image itself; empty for none.
    """

    image: str
    key: str
    stat: tuple[int, ...]
    parts: Mapping[str, str]
    in_image: str = ""


@dataclass(frozen=True)
class Failure:
    """Why nothing was made of an image in the latest run.

    Attributes
    ----------
    image, error, cure : str
        Its path, what was wrong, and what helps.
    """

    image: str
    error: str
    cure: str


class Ledger:
    """The entries of an output folder, and the locks of its images.

    Parameters
    ----------
    output : Path
        The output folder.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._folder = output / FOLDER

    def create(self) -> None:
        """Make the folders."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def lock_path(self, job: Job) -> Path:
        """Return where the lock of an image is."""
        return self._folder / f"{job.id}.lock"

    def read(self, job: Job) -> Entry | None:
        """Return the entry of an image, if there is one."""
        return _entry(_read(self._folder / f"{job.id}{ENTRY}"))

    def read_all(self) -> tuple[dict[str, Entry], dict[str, Failure]]:
        """Return all entries, and all failures, by the id of their image."""
        names = os.listdir(self._folder) if self._folder.exists() else []
        entries, failures = {}, {}
        for name in names:
            key, dot, kind = name.partition(".")
            if dot + kind == ENTRY and (entry := _entry(_read(self._folder / name))):
                entries[key] = entry
            elif dot + kind == FAILURE and (failure := _failure(_read(self._folder / name))):
                failures[key] = failure
        return entries, failures

    def write(self, job: Job, entry: Entry) -> None:
        """Write the entry of an image, whole or not at all."""
        write_whole(self._folder / f"{job.id}{ENTRY}", json.dumps(asdict(entry)).encode())

    def write_failure(self, job: Job, failure: Failure) -> None:
        """Write why nothing was made of an image; an entry of another run stays."""
        write_whole(self._folder / f"{job.id}{FAILURE}", json.dumps(asdict(failure)).encode())

    def remove_failure(self, key: str) -> None:
        """Remove the failure of an image, by its id."""
        (self._folder / f"{key}{FAILURE}").unlink(missing_ok=True)

    def write_failed(self, images: Iterable[Path]) -> Path | None:
        """Write `failed.csv`: each image of which nothing could be made, with error and cure.

        Parameters
        ----------
        images : iterable of Path
            Those of this run. Of others, those that do not exist any more are left out.

        Returns
        -------
        Path or None
            Of the file; None if there is nothing to tell, and no file.
        """
        here, path, rows = set(map(str, images)), self.output / FAILED, []
        for key, one in self.read_all()[1].items():
            if one.image in here or os.path.exists(one.image):
                rows.append((one.image, one.error, one.cure))
            else:
                self.remove_failure(key)
        if not rows:
            path.unlink(missing_ok=True)
            return None
        text = io.StringIO()
        rows.sort(key=lambda row: natural(row[0]))
        csv.writer(text).writerows([COLUMNS, *rows])
        write_whole(path, text.getvalue().encode())
        return path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name, and rename it when it is on the disk."""
    part = path.with_name(f"{PART}{path.name}-{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def part_path(job: Job, name: str, token: str | None = None) -> Path:
    """Return a temporary path for an output of this name, in the output's own folder.

    By default it is another one each time.
    """
    # Not the name itself, which may be as long as the disk allows.
    suffixes = "".join(Path(name).suffixes[-3:])
    return job.folder / f"{PART}{job.id}-{token or secrets.token_hex(4)}{suffixes[-40:]}"


def sync(path: Path) -> None:
    """Wait until a file, or all in a folder, is on the disk; some disks tell only then if full."""
    for folder, _, names in os.walk(path):
        for name in names:
            _sync_file(Path(folder, name))
    if path.is_file():
        _sync_file(path)
    _sync_folder(path.parent)


def finish(job: Job, entry: Entry) -> None:
    """Give the outputs of an entry their own names."""
    for name, part in entry.parts.items():
        whole, path = job.folder / part, job.folder / name
        if not whole.exists():
            continue
        if path.is_dir():  # which nothing can replace in one step
            older = part_path(job, name)
            os.rename(path, older)
            os.replace(whole, path)
            shutil.rmtree(older, ignore_errors=True)
        else:
            os.replace(whole, path)
    _sync_folder(job.folder)


def remove_parts(job: Job, keep: Path | None = None) -> None:
    """Remove files of an image that are not whole, but one: what a killed run left behind."""
    for part in list(job.folder.glob(f"{PART}{job.id}-*")):
        if part == keep:
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    # Windows opens no folders, and some disks cannot do it.
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _read(path: Path) -> dict[str, Any]:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _entry(values: dict[str, Any]) -> Entry | None:
    try:
        return Entry(**{**values, "stat": tuple(values["stat"])})
    except (TypeError, KeyError):
        return None  # none, or one that no run of this version wrote: the image is done anew


def _failure(values: dict[str, Any]) -> Failure | None:
    try:
        return Failure(**values)
    except TypeError:
        return None
