"""One image of many: read, segmented, and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_clipseg.files import large
from napari_clipseg.files.failures import explain, in_the_way, is_disk_full
from napari_clipseg.files.formats import FORMATS, add_labels_to_zarr, recipe_of, write_beside
from napari_clipseg.files.jobs import Job
from napari_clipseg.files.ledger import (
    PART,
    Entry,
    Failure,
    Ledger,
    finish,
    part_path,
    remove_parts,
    sync,
)
from napari_clipseg.files.locks import Lock, held_lock
from napari_clipseg.files.readers import read_image
from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Progress, Segmentation
from napari_clipseg.run import Answer
from napari_clipseg.segmentation import segment_steps

DONE, ALREADY, FAILED, BUSY = "done", "already done", "failed", "busy"
Steps = Generator[Progress, None, "FileReport"]


@dataclass(frozen=True)
class FileReport:
    """What became of one image.

    Attributes
    ----------
    path : Path
        Of the image.
    status : {"done", "already done", "failed", "busy"}
        "busy": another run works on it.
    outputs : tuple of Path
        What was written, or was there.
    seconds : float
        How long that took.
    error, cure : str
        Why nothing was written, and what helps.
    disk_full : bool
        Whether the disk has no room for the outputs.
    """

    path: Path
    status: str
    outputs: tuple[Path, ...] = ()
    seconds: float = 0.0
    error: str = ""
    cure: str = ""
    disk_full: bool = False


@dataclass(frozen=True)
class Order:
    """What is asked for, the same for all images.

    Attributes
    ----------
    recipe : Recipe
        With the hash of the weights.
    key : str
        Stands for all that decides over the values in the outputs; see `key_of`.
    axes : str, optional
        Names of the axes of the images.
    overwrite : bool
        Whether outputs of other recipes are replaced.
    in_image : str
        Name of labels that OME-Zarr images get themselves; empty for none.
    """

    recipe: Recipe
    key: str
    axes: str | None = None
    overwrite: bool = False
    in_image: str = ""


def key_of(recipe: Recipe, axes: str | None) -> str:
    """Return a hash of a recipe, and of the names of axes that images are read with."""
    return hashlib.sha256(f"{recipe.hash} {axes}".encode()).hexdigest()


def report_if_done(job: Job, order: Order, entry: Entry | None) -> FileReport | None:
    """Return a report if nothing is left to do for an image."""
    if entry is None or not _is_of(entry, job, order):
        return None
    names = [path.name for name in job.formats for path in job.outputs(name)]
    parts = (job.folder / part for part in entry.parts.values())
    whole = all((job.folder / name).exists() for name in names)
    if _adds_labels(job, order) and entry.in_image != order.in_image:
        return None
    if not whole or not set(names) <= set(entry.parts) or any(part.exists() for part in parts):
        return None
    return FileReport(job.image, ALREADY, tuple(job.folder / name for name in names))


def file_steps(job: Job, order: Order, answer: Answer | None = None) -> Steps:
    """Do all for one image, step by step; errors are reported, and recorded for `failed.csv`.

    Wherever it is stopped, no file is left that is not whole. `answer` is that of `run.Run`.
    """
    ledger, started = Ledger(job.output), time.monotonic()
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        with held_lock(ledger.lock_path(job)) as lock:
            if lock is None:
                return FileReport(job.image, BUSY)
            report = yield from _locked_steps(job, order, ledger, lock, answer)
    except Exception as error:
        report = _failed(job, ledger, error)
    return replace(report, seconds=time.monotonic() - started)


def _locked_steps(
    job: Job, order: Order, ledger: Ledger, lock: Lock, answer: Answer | None
) -> Steps:
    entry = ledger.read(job)
    if entry is not None:
        finish(job, entry)
    stat = stat_of(job.image)
    path = large.map_path(job, order.key, stat)
    if lock.taken:
        remove_parts(job, keep=path)
    if report := report_if_done(job, order, entry):
        return report
    ours = entry is not None and _is_of(entry, job, order)
    wanted = _wanted(job, entry if ours else None, order.overwrite)
    in_image = entry.in_image if ours and entry is not None else ""
    try:
        result, source = yield from _segment_steps(job, order, path, answer)
        parts = yield from _write_steps(job, wanted, result, source)
        if not lock.is_ours:  # this machine stood still for so long that another run took over
            return FileReport(job.image, BUSY)
        before = dict(entry.parts) if ours and entry is not None else {}
        if _adds_labels(job, order):
            add_labels(job.image, order.in_image, result, overwrite=order.overwrite)
            # Which changes the image's own metadata, but not what it shows.
            in_image, stat = order.in_image, stat_of(job.image)
        done = Entry(str(job.image), order.key, stat, before | parts, in_image)
        ledger.write(job, done)
        finish(job, done)
    except BaseException:  # a run that is stopped leaves nothing behind, too
        remove_parts(job)
        raise
    if result.path is not None:
        shutil.rmtree(result.path, ignore_errors=True)
    ledger.remove_failure(job.id)
    outputs = [path for name in job.formats for path in job.outputs(name)]
    return FileReport(job.image, DONE, tuple(outputs))


def _adds_labels(job: Job, order: Order) -> bool:
    """Return whether labels are added to the image itself."""
    return bool(order.in_image) and job.image.is_dir()


def add_labels(image: Path, name: str, result: Segmentation, *, overwrite: bool) -> None:
    """Add labels to an OME-Zarr image; the same ones, of a run that was killed, stay.

    Raises
    ------
    FileExistsError
        If it has others of that name, and they are not to be replaced.
    """
    path = image / "labels" / name
    if path.exists():
        # Those of a run that was killed before it could note them are the same.
        if recipe_of(path).hash == result.recipe.hash:
            return
        if not overwrite:
            raise in_the_way(path)
        aside = path.with_name(f"{PART}{name}-{secrets.token_hex(4)}")
        os.rename(path, aside)
        shutil.rmtree(aside)
    add_labels_to_zarr(image, name, result)


def _wanted(job: Job, entry: Entry | None, overwrite: bool) -> list[str]:
    """Return the formats that are to be written.

    Raises
    ------
    FileExistsError
        If an output is in the way.
    """
    known = {} if entry is None else entry.parts
    wanted = []
    for name in job.formats:
        paths = job.outputs(name)
        if all(path.exists() and path.name in known for path in paths):
            continue
        wanted.append(name)
        for path in paths:
            if path.exists() and path.name not in known and not overwrite:
                raise in_the_way(path)
    return wanted


def _segment_steps(
    job: Job, order: Order, path: Path, answer: Answer | None
) -> Generator[Progress, None, tuple[Segmentation, Source]]:
    """Return the result, and the image; `path` is for a map that is better in a file."""
    source = read_image(job.image)
    if order.axes is not None:
        source = as_source(source, axes=order.axes)
    whole = large.whole_map(path)
    if whole is not None:
        if order.recipe.instances is not None:
            yield from whole.label_steps()
        return whole, source
    output = path if large.is_large(source, order.recipe) else None
    try:
        result = yield from segment_steps(source, order.recipe, output=output, answer=answer)
    except MemoryError:
        if order.recipe.refine_edges or output is not None:
            raise  # edges are refined in memory
        result = yield from segment_steps(source, order.recipe, output=path, answer=answer)
    return result, source


def _write_steps(
    job: Job, formats: list[str], result: Segmentation, source: Source
) -> Generator[Progress, None, dict[str, str]]:
    """Write the outputs under temporary names; return these, by their own names."""
    parts: dict[str, str] = {}
    for name in formats:
        yield Progress(1, 1, f"Writing {FORMATS[name].about}")
        path, *record = job.outputs(name)
        part = part_path(job, path.name)
        FORMATS[name].write(result, part, source=job.image, image=source)
        sync(part)
        parts[path.name] = part.name
        for one in record:
            part = part_path(job, one.name)
            write_beside(result, part, source=job.image)
            sync(part)
            parts[one.name] = part.name
    return parts


def _failed(job: Job, ledger: Ledger, error: Exception) -> FileReport:
    full = is_disk_full(error)
    said, cure = explain(error)
    report = FileReport(job.image, FAILED, error=said, cure=cure, disk_full=full)
    if not full:
        try:
            ledger.write_failure(job, Failure(str(job.image), said, cure))
        except OSError as other:
            return replace(report, disk_full=is_disk_full(other))
    return report


def stat_of(path: Path) -> tuple[int, ...]:
    """Return size and time of a file, or of what says most about a folder; () if it is gone."""
    for one in (path / "zarr.json", path / ".zattrs", path / ".zarray", path):
        try:
            found: Any = os.stat(one)
        except OSError:
            continue
        return (found.st_size, found.st_mtime_ns)
    return ()


def _is_of(entry: Entry, job: Job, order: Order) -> bool:
    """Return whether an entry is of this image, as it is now, and of this recipe."""
    stat = stat_of(job.image)
    return entry.key == order.key and stat in ((), entry.stat)
