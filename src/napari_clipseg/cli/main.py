"""The command ``napari-clipseg``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from napari_clipseg import __version__
from napari_clipseg.cli import completion, demo, fine_tune, models, recipe, segment, teach


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="napari-clipseg",
        description="Segment images by saying what you want: a text or a reference image.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo.add_command(commands)
    segment.add_command(commands)
    models.add_commands(commands)
    teach.add_command(commands)
    fine_tune.add_command(commands)
    recipe.add_command(commands)
    completion.add_command(commands, parser)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (ValueError, OSError) as error:
        print(f"napari-clipseg: {error}", file=sys.stderr)
        return 1
