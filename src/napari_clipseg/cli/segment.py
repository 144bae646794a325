"""The command ``segment``: one recipe, many images."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_clipseg.cli.models import INTERRUPTED
from napari_clipseg.cli.recipe_options import add_options, recipe_from
from napari_clipseg.files.formats import DEFAULT_FORMATS, FORMATS

if TYPE_CHECKING:  # --help must be quick
    from napari_clipseg.files.batch import Batch
    from napari_clipseg.files.summary import BatchProgress, Summary
    from napari_clipseg.recipe import Recipe

# Exit statuses; that of a command that Ctrl-C ended is 130.
ALL_DONE, SOME_FAILED, WRONG_USE, NO_IMAGE, DISK_FULL = range(5)
EPILOG = f"""\
Exit status: {ALL_DONE} all images are done, {SOME_FAILED} some failed (see failed.csv),
{WRONG_USE} the command is wrong, {NO_IMAGE} there is no image, {DISK_FULL} the disk is full,
{INTERRUPTED} stopped. After each of these, the same command goes on where it stopped."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``napari-clipseg``."""
    segment = commands.add_parser(
        "segment",
        help="segment images: files, folders, lists",
        description=(
            "Segment many images with one recipe. Outputs have the names of their images, in the "
            "same folders. An image that fails is told, and the rest goes on."
        ),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    segment.add_argument(
        "paths",
        nargs="+",
        metavar="IN",
        help="an image, a folder, a pattern in quotes, or a .csv file with a column 'path'",
    )
    segment.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the outputs"
    )
    base = segment.add_mutually_exclusive_group()
    base.add_argument("--recipe", type=Path, metavar="FILE", help="a saved recipe")
    base.add_argument(
        "--like", type=Path, metavar="OUTPUT", help="the recipe of an output, of any format"
    )
    segment.add_argument(
        "--formats",
        default=",".join(DEFAULT_FORMATS),
        metavar="NAMES",
        help=f"with commas between them, of {', '.join(FORMATS)}; default: %(default)s",
    )
    segment.add_argument(
        "--in-image",
        default="",
        metavar="NAME",
        help="OME-Zarr images get their labels themselves, too, as labels/NAME",
    )
    segment.add_argument("--recursive", action="store_true", help="folders within folders, too")
    segment.add_argument(
        "--overwrite", action="store_true", help="replace outputs of other recipes"
    )
    segment.add_argument("--axes", help="names of the axes of all images, such as tzyx")
    where = segment.add_mutually_exclusive_group()
    where.add_argument("--workers", type=int, metavar="N", help="use N processes on this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="use a cluster of dask.distributed")
    segment.add_argument(
        "--dry-run", action="store_true", help="only tell what will be done, its time and disk"
    )
    told = segment.add_mutually_exclusive_group()
    told.add_argument("--quiet", action="store_true", help="tell errors only")
    told.add_argument("--json", action="store_true", help="tell all as lines of JSON")
    add_options(segment)
    segment.set_defaults(run=_segment)


def _segment(arguments: argparse.Namespace) -> int:
    from napari_clipseg.cli.reports import stoppable

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # errors are told by us
    try:
        with stoppable() as stop, ExitStack() as stack:
            return _do(arguments, stop, stack)
    except KeyboardInterrupt:  # a second one
        return INTERRUPTED


def _do(arguments: argparse.Namespace, stop: Callable[[], None], stack: ExitStack) -> int:
    from napari_clipseg.files.batch import cluster, plan_batch

    workers, scheduler = arguments.workers, arguments.scheduler
    try:
        batch = plan_batch(
            arguments.paths,
            recipe_from(arguments, _base(arguments)),
            arguments.output,
            formats=[name.strip() for name in arguments.formats.split(",")],
            recursive=arguments.recursive,
            overwrite=arguments.overwrite,
            axes=arguments.axes,
            in_image=arguments.in_image,
        )
        if workers is not None and workers < 1:
            raise ValueError(f"Got --workers {workers}; wanted a number from 1.")
        if not batch.jobs:
            print(
                f"napari-clipseg: There is no image in {', '.join(arguments.paths)}. For folders "
                f"in folders, add --recursive.",
                file=sys.stderr,
            )
            return NO_IMAGE
        if arguments.dry_run:
            return _tell_plan(batch, as_json=arguments.json)
        client = None
        if workers is not None or scheduler is not None:
            client = stack.enter_context(cluster().connected(workers, scheduler))
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        print(f"napari-clipseg: {error}", file=sys.stderr)
        return WRONG_USE
    return _run(batch, arguments, stop, client)


def _base(arguments: argparse.Namespace) -> Recipe | None:
    from napari_clipseg.recipe import Recipe

    if arguments.like is not None:
        from napari_clipseg.files.formats import recipe_of

        return recipe_of(arguments.like)
    return None if arguments.recipe is None else Recipe.load(arguments.recipe)


def _tell_plan(batch: Batch, *, as_json: bool) -> int:
    from napari_clipseg.cli.reports import tell_estimate
    from napari_clipseg.files.estimate import estimate

    tell_estimate(estimate(batch), batch, as_json=as_json)
    return ALL_DONE


def _run(batch: Batch, arguments: argparse.Namespace, stop: Callable[[], None], client: Any) -> int:
    from napari_clipseg.cli.reports import Reports
    from napari_clipseg.files.batch import run_steps

    with Reports(batch, quiet=arguments.quiet, as_json=arguments.json) as reports:

        def show(step: BatchProgress) -> None:
            stop()
            reports.show(step)

        summary = run_steps(batch.steps(client), show)
    reports.tell(summary)
    return _status(summary)


def _status(summary: Summary) -> int:
    from napari_clipseg.files import summary as ends

    if summary.ended == ends.STOPPED:
        return INTERRUPTED
    if summary.ended == ends.DISK_FULL:
        return DISK_FULL
    return SOME_FAILED if summary.failed else ALL_DONE
