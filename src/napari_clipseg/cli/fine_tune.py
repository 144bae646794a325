"""The command ``fine-tune``: a checkpoint's decoder fitted to masks in files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from napari_clipseg.cli.models import INTERRUPTED
from napari_clipseg.cli.pairs import add_pairs, read_pairs, require_pairs
from napari_clipseg.files.readers import KINDS


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``napari-clipseg``."""
    command = commands.add_parser(
        "fine-tune",
        help="fit a checkpoint to whole masks of several images",
        description=(
            "Fit the decoder of a checkpoint to whole masks, and write a checkpoint of its own. "
            "Masks are images of whole numbers, each of its image's size: 0 for none of the "
            f"prompts, 1 for the first, 2 for the second. Files are {', '.join(KINDS)}."
        ),
    )
    add_pairs(command, "masks")
    command.add_argument(
        "--prompt", nargs="+", required=True, metavar="TEXT", help="what the masks show"
    )
    command.add_argument("--output", type=Path, required=True, help="folder to make")
    command.add_argument(
        "--epochs", type=int, help="how often each tile is seen; by default a usual number"
    )
    command.set_defaults(run=_fine_tune)


def _fine_tune(arguments: argparse.Namespace) -> int:
    require_pairs(arguments, "masks")
    try:
        _fit(arguments)
    except KeyboardInterrupt:
        print("Stopped. Nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except TypeError as error:
        raise ValueError(str(error)) from error
    return 0


def _fit(arguments: argparse.Namespace) -> None:
    sources, masks = read_pairs(arguments, "masks")

    from napari_clipseg.teaching.fine_tuning import EPOCHS, fine_tune

    told = ""

    def step(message: str) -> None:
        nonlocal told
        if message != told:
            told = message
            print(message, file=sys.stderr)

    found = fine_tune(
        sources,
        masks,
        arguments.prompt,
        arguments.output,
        model=arguments.model,
        detail=arguments.detail,
        epochs=EPOCHS if arguments.epochs is None else arguments.epochs,
        step=step,
    )
    if found.after is None:
        print("No image was held out: with three or more, one tells how well it works.")
    else:
        print(f"held out: {', '.join(found.held_out)}")
        print(f"IoU there: {found.before:.2f} before, {found.after:.2f} after")
    print(found.folder)
