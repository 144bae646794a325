"""The command ``teach``: a prompt learned from strokes in files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from napari_clipseg.cli.models import INTERRUPTED
from napari_clipseg.cli.pairs import add_pairs, read_pairs, require_pairs
from napari_clipseg.files.readers import KINDS

SUFFIX = ".safetensors"  # of a learned prompt


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``napari-clipseg``."""
    teach = commands.add_parser(
        "teach",
        help="learn a prompt from a few painted strokes",
        description=(
            "Learn a prompt from strokes on images, and write it to a file. Strokes are images of "
            "whole numbers, each of its image's size: 0 unpainted, 1 background, 2 and up what you "
            f"look for, one class each. Files are {', '.join(KINDS)}."
        ),
    )
    add_pairs(teach, "strokes")
    teach.add_argument(
        "--output", type=Path, required=True, help=f"{SUFFIX} file to write; replaced if it exists"
    )
    teach.add_argument(
        "--prompt",
        nargs="+",
        metavar="TEXT",
        help=f"what to begin with: a text, or one for each class, or a learned prompt's {SUFFIX}",
    )
    teach.add_argument("--classes", nargs="+", metavar="NAME", help="a name for each class")
    teach.set_defaults(run=_teach)


def _teach(arguments: argparse.Namespace) -> int:
    output = arguments.output
    require_pairs(arguments, "strokes")
    if output.suffix != SUFFIX:
        raise ValueError(f"The output is {output}; wanted a file that ends with {SUFFIX}.")
    if not output.resolve().parent.is_dir():
        raise ValueError(f"There is no folder {output.resolve().parent}. Make it first.")
    try:
        _learn(arguments)
    except KeyboardInterrupt:
        print("Stopped. Nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except TypeError as error:
        raise ValueError(str(error)) from error
    return 0


def _learn(arguments: argparse.Namespace) -> None:
    sources, strokes = read_pairs(arguments, "strokes")
    prompt = _prompt(arguments.prompt)

    from napari_clipseg.teaching.teach import teach
    from napari_clipseg.teaching.words import score_in_words

    learned = teach(
        sources,
        strokes,
        prompt=prompt,
        model=arguments.model,
        classes=arguments.classes,
        detail=arguments.detail,
    )
    learned.save(arguments.output)
    print(f"classes: {', '.join(learned.names)}")
    print(score_in_words(learned))
    print(arguments.output)


def _prompt(given: list[str] | None) -> Any:
    """Return texts as they are, and the learned prompt of a file."""
    if given is None or not any(one.endswith(SUFFIX) for one in given):
        return given
    if len(given) > 1:
        raise ValueError(
            f"Got {len(given)} prompts to begin with, a learned one among them; give it alone."
        )
    from napari_clipseg.learned import LearnedPrompt

    return LearnedPrompt.load(given[0])
