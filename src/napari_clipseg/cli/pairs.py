"""Images with a file beside each, for the commands ``teach`` and ``fine-tune``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_clipseg.files.readers import read_image, read_strokes_file

if TYPE_CHECKING:  # --help must be quick
    from napari_clipseg.images.io.source import Source


def add_pairs(command: argparse.ArgumentParser, name: str) -> None:
    """Add images, the option of their files, the model and the detail to a command."""
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="what is annotated")
    command.add_argument(
        f"--{name}",
        nargs="+",
        type=Path,
        required=True,
        metavar=name.upper(),
        help="one for each image, in the same order",
    )
    command.add_argument(
        "--model", default="demo", help="checkpoint to begin with; default: %(default)s"
    )
    command.add_argument(
        "--detail",
        type=_detail,
        default="whole",
        help="whole, medium, fine, or the side of a tile in pixels; default: %(default)s",
    )


def require_pairs(arguments: argparse.Namespace, name: str) -> None:
    """Raise ValueError unless there is a file for each image."""
    images, files = arguments.images, getattr(arguments, name)
    if len(images) != len(files):
        raise ValueError(
            f"Got {len(images)} images and {len(files)} files of {name}; wanted one for each "
            f"image, in the same order."
        )


def read_pairs(arguments: argparse.Namespace, name: str) -> tuple[list[Source], list[NDArray[Any]]]:
    """Read the images, and the whole numbers in their files."""
    return (
        [read_image(path) for path in arguments.images],
        [read_strokes_file(path) for path in getattr(arguments, name)],
    )


def _detail(given: str) -> str | float:
    try:
        return float(given)
    except ValueError:
        return given
