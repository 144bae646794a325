"""One recipe for many images: what is done is kept, what fails is told, and the rest goes on."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.files.formats import DEFAULT_FORMATS, FORMATS
from napari_clipseg.files.formats.extras import require
from napari_clipseg.files.inputs import Inputs, find_inputs
from napari_clipseg.files.jobs import Job, plan_jobs
from napari_clipseg.files.ledger import Entry, Ledger
from napari_clipseg.files.one import (
    BUSY,
    FileReport,
    Order,
    file_steps,
    key_of,
    report_if_done,
)
from napari_clipseg.files.summary import DISK_FULL, STOPPED, BatchProgress, Summary
from napari_clipseg.plans import with_fields
from napari_clipseg.prompts import Prompts
from napari_clipseg.recipe import Recipe, as_recipe
from napari_clipseg.run import Answer
from napari_clipseg.segmentation import require_weights

WAIT = 1.0  # seconds until it is looked again at what other runs work on
Paths = str | Path | Iterable[str | Path]


BatchSteps = Generator[BatchProgress, None, Summary]


@dataclass
class Batch:
    """Images, and what is to be made of them; `plan_batch` makes one.

    Attributes
    ----------
    output : Path
        The output folder.
    jobs : list of Job
        One for each image.
    order : Order
        What is asked for.
    already : list of FileReport
        Of the images of which nothing is left to do.
    entries : dict
        What is known of images, by the id of their job.
    left_out : Counter of str
        How many other files the folders hold, by suffix.
    """

    output: Path
    jobs: list[Job]
    order: Order
    already: list[FileReport]
    entries: dict[str, Entry]
    left_out: Counter[str]

    @property
    def to_do(self) -> list[Job]:
        """The images of which something is left to do."""
        done = {one.path for one in self.already}
        return [job for job in self.jobs if job.image not in done]

    def steps(self, client: Any = None) -> BatchSteps:
        """Do all images, step by step.

        An error of KeyboardInterrupt that is thrown in ends it after the step: then the
        summary says so, and what is done stays.

        Parameters
        ----------
        client : distributed.Client, optional
            Whose workers do it; by default this process.
        """
        started, ledger = time.monotonic(), Ledger(self.output)
        ledger.create()
        reports, ended = list(self.already), ""
        if client is None:
            work = local_steps(self.to_do, self.order)
        else:
            work = cluster().cluster_steps(client, self.to_do, self.order)
        try:
            for part, message, report in work:
                if report is not None:
                    reports.append(report)
                yield BatchProgress(len(reports), len(self.jobs), part, message, report)
                if report is not None and report.disk_full:
                    reports.pop()  # nothing is wrong with the image
                    ended = DISK_FULL
                    break
        except KeyboardInterrupt:
            ended = STOPPED
        finally:
            work.close()
        failed = None
        try:
            failed = ledger.write_failed(job.image for job in self.jobs)
        except OSError:
            ended = ended or DISK_FULL
        seconds = time.monotonic() - started
        return Summary(
            self.output, tuple(reports), len(self.jobs), self.left_out, ended, failed, seconds
        )


# How far the image is that is worked on, what comes next, and the report of one that is ended.
Work = Generator[tuple[float, str, FileReport | None], None, None]


def local_steps(jobs: Sequence[Job], order: Order, answer: Answer | None = None) -> Work:
    """Do images one after another; those that another run works on come last.

    `answer` is that of `run.Run`.
    """
    waiting = list(jobs)
    while waiting:
        busy = []
        for job in waiting:
            steps = file_steps(job, order, answer)
            try:
                while True:
                    step = next(steps)
                    yield step.done / step.total, f"{job.image.name}: {step.message}", None
            except StopIteration as stop:
                report: FileReport = stop.value
            finally:
                steps.close()
            if report.status == BUSY:
                busy.append(job)
            else:
                yield 0.0, job.image.name, report
        if len(busy) == len(waiting):
            yield 0.0, f"Waiting for {len(busy)} images that another run works on", None
            time.sleep(WAIT)
        waiting = busy


def plan_batch(
    paths: Paths,
    recipe: Recipe,
    output: str | Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    recursive: bool = False,
    overwrite: bool = False,
    axes: str | None = None,
    in_image: str = "",
) -> Batch:
    """Return what is to do; no image is opened. See `segment_files`."""
    from napari_clipseg.engine.checkpoints.weight_files import weights_digest

    inputs = _found(paths, recursive)
    output = Path(os.path.abspath(Path(output).expanduser()))
    jobs = plan_jobs(inputs.images, output, formats)
    weights = weights_digest(locate(recipe.model))
    require_weights(recipe, weights)
    recipe = recipe.resolve().replace(weights=weights)
    order = Order(recipe, key_of(recipe, axes), axes, overwrite, in_image)
    ledger = Ledger(output)
    entries, failures = ledger.read_all()
    already = []
    for job in jobs:
        if report := report_if_done(job, order, entries.get(job.id)):
            already.append(report)
            if job.id in failures:
                ledger.remove_failure(job.id)
    return Batch(output, jobs, order, already, entries, inputs.left_out)


def _found(paths: Paths, recursive: bool) -> Inputs:
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    return find_inputs(given, recursive=recursive, outputs=[one.suffix for one in FORMATS.values()])


def cluster() -> Any:
    """Return the module `files.cluster`.

    Raises
    ------
    ModuleNotFoundError
        If dask.distributed is missing.
    """
    require("distributed", "A cluster")
    return import_module("napari_clipseg.files.cluster")


@with_fields
def segment_files(
    paths: Paths,
    recipe: Recipe | Prompts,
    output: str | Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    client: Any = None,
    recursive: bool = False,
    overwrite: bool = False,
    axes: str | None = None,
    in_image: str = "",
    progress: Callable[[BatchProgress], object] | None = None,
    **fields: Any,
) -> Summary:
    """Segment many images with one recipe, and write what is found beside each other.

    An image of which nothing can be made is told in the summary, and the rest goes on. Outputs
    are whole or not there. If it is stopped, or killed, the same call goes on where it was.
    Several runs on one folder share the work.

    Parameters
    ----------
    paths : str, Path, or iterable of these
        Images; folders; patterns such as "data/*/a.tif"; .csv files with a column "path".
    recipe : Recipe, or prompts
        What to look for; see `Recipe`.
    output : str or Path
        Folder for the outputs; it is made. They have the names of their images, in the same
        folders.
    formats : sequence of str
        What is written: names of `files.formats.FORMATS`.
    client : distributed.Client, optional
        Of a cluster that does it; by default this process.
    recursive : bool
        Whether folders within folders count.
    overwrite : bool
        Whether outputs of other recipes are replaced; without it they are in the way.
    axes : str, optional
        Names of the axes of all images, such as "zyx"; by default what each file says.
    in_image : str
        With it, images that are OME-Zarr get their labels themselves, too, as ``labels/NAME``.
    progress : callable, optional
        Is called with a `BatchProgress` before each step.
    **fields
        Fields of a recipe by name; they win over those of a recipe that is given.

    Returns
    -------
    Summary
        What became of each image.

    Raises
    ------
    FileNotFoundError
        If nothing is named so.
    ValueError
        If the recipe, the model or the formats cannot be used, or two images would give one
        output.
    KeyboardInterrupt
        If the user stopped it; no half file is left.

    Examples
    --------
    >>> from napari_clipseg import segment_files
    >>> for name in ("a.npy", "b.npy"):
    ...     np.save(name, np.zeros((40, 60), np.uint8))
    >>> summary = segment_files(["a.npy", "b.npy"], "nuclei", "found")
    >>> print(summary)
    2 of 2 images done
    >>> sorted(path.name for path in summary.files[0].outputs)
    ['a.csv', 'a.csv.json', 'a.labels.ome.tif']
    """
    batch = plan_batch(
        paths,
        as_recipe(recipe, fields),
        output,
        formats=formats,
        recursive=recursive,
        overwrite=overwrite,
        axes=axes,
        in_image=in_image,
    )
    summary = run_steps(batch.steps(client), progress or (lambda _: None))
    if summary.ended == STOPPED:
        raise KeyboardInterrupt
    return summary


def run_steps(steps: BatchSteps, progress: Callable[[BatchProgress], object]) -> Summary:
    """Run a batch to its end; whatever `progress` raises ends it first."""
    try:
        while True:
            step = next(steps)
            try:
                progress(step)
            except KeyboardInterrupt as stop:
                steps.throw(stop)
    except StopIteration as end:
        summary: Summary = end.value
        return summary
    finally:
        steps.close()
