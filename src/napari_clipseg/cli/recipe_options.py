"""The fields of a recipe as options: one table, and how texts become values."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_clipseg.cli.values import (
    colormap,
    contrast,
    corners,
    holes,
    number,
    or_none,
    pair,
    planes,
    threshold,
    whole_numbers,
    word_or_number,
)

if TYPE_CHECKING:  # --help must be quick
    from napari_clipseg.recipe import Recipe

LEARNED = ".safetensors"


@dataclass(frozen=True)
class Option:
    """A field of a recipe as an option.

    Attributes
    ----------
    field : str
        Name of the field; "detail.overlap" for a field of a field.
    help : str
        What it is.
    metavar : str, optional
        What its value is called; without it, it is a switch with an opposite.
    read : callable
        Makes the value of its text; raises ValueError.
    flag : str
        Its name; by default that of the field.
    more : bool
        Whether it may be given several times.
    """

    field: str
    help: str
    metavar: str | None = None
    read: Callable[[str], Any] = str
    flag: str = ""
    more: bool = False

    @property
    def name(self) -> str:
        """Name on the command line."""
        return self.flag or "--" + self.field.rpartition(".")[2].replace("_", "-")


OPTIONS = (
    Option("model", "checkpoint", "NAME"),
    Option("weights", "hash that the checkpoint must have, or none", "HASH", or_none(str)),
    Option(
        "detail.tile_size",
        "whole, medium, fine, or a tile's side",
        "SIZE",
        word_or_number,
        "--detail",
    ),
    Option("detail.physical", "whether that side is in units, not in pixels"),
    Option("detail.overlap", "least share of a tile in common with the next", "SHARE", number),
    Option("detail.overview", "weight of the whole plane as one more tile", "WEIGHT", number),
    Option("detail.shift", "share by which all tiles are moved", "SHARE", number),
    Option("planes", "such as z=3 or z=3:9; for each axis", "AXIS=PLANES", planes, more=True),
    Option(
        "region",
        "x0,y0,x1,y1 in pixels, or all corners of an outline; or none",
        "CORNERS",
        or_none(corners),
    ),
    Option("level", "level of a multiscale image, or none for the best", "LEVEL", or_none(int)),
    Option("appearance.contrast", "auto, dtype, or black,white values", "VALUES", contrast),
    Option("appearance.percentiles", "of the contrast auto, such as 0.2,99.8", "LOW,HIGH", pair),
    Option("appearance.gamma", "exponent of the brightness, or none", "GAMMA", or_none(number)),
    Option("appearance.invert", "whether black and white change places"),
    Option(
        "appearance.channels",
        "one channel, or up to three such as 2,0; or none",
        "NUMBERS",
        or_none(whole_numbers),
    ),
    Option(
        "appearance.colormap",
        "gray, colors such as #000000,#00ff00, or none",
        "COLORS",
        or_none(colormap),
    ),
    Option(
        "threshold",
        "0 to 1; one for each prompt, such as 0.4,0.5; otsu; or none",
        "VALUE",
        or_none(threshold),
    ),
    Option("low_threshold", "for hysteresis, 0 to 1, or none", "VALUE", or_none(number)),
    Option("instances", "one label for each object", flag="--objects"),
    Option("instances.split", "how touching objects are split: none, distance, probability", "HOW"),
    Option("instances.min_distance", "least distance of two peaks", "LENGTH", number),
    Option("instances.min_size", "smallest area of an object", "AREA", number),
    Option("instances.max_size", "largest area of an object, or none", "AREA", or_none(number)),
    Option(
        "instances.fill_holes", "largest area of a hole that is filled; all; none", "AREA", holes
    ),
    Option("instances.smooth", "window in which outlines are smoothed", "LENGTH", number),
    Option("instances.drop_border", "whether objects at the edge are removed"),
    Option("instances.link", "whether objects get one label through planes"),
    Option("instances.least_overlap", "of two linked objects, 0 to 1", "IOU", number),
    Option("refine_edges", "whether maps follow the edges of the image"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add prompts, and all other fields of a recipe, to a command."""
    prompts = parser.add_argument_group("what to look for")
    for flag, dest, kind, metavar, text in (
        ("--prompt", "prompts", "text", "TEXT", f"a text, or a learned prompt's {LEARNED} file"),
        (
            "--reference",
            "prompts",
            "image",
            "IMAGE[:x0,y0,x1,y1]",
            "an image, or a rectangle in it, as an example",
        ),
        ("--not", "negative_prompts", "text", "TEXT", "what is not wanted"),
        (
            "--not-reference",
            "negative_prompts",
            "image",
            "IMAGE[:x0,y0,x1,y1]",
            "an example of what is not wanted",
        ),
    ):
        prompts.add_argument(
            flag,
            dest=dest,
            action="append",
            type=partial(_tagged, kind),
            metavar=metavar,
            help=f"{text}; may be given several times",
        )
    prompts.add_argument(
        "--name", dest="names", action="append", help="of each prompt in results, in their order"
    )
    fields = parser.add_argument_group("how (fields of a recipe)")
    for option in OPTIONS:
        if option.metavar is None:
            fields.add_argument(
                option.name,
                dest=option.field,
                action=argparse.BooleanOptionalAction,
                help=option.help,
                default=argparse.SUPPRESS,
            )
        else:
            fields.add_argument(
                option.name,
                dest=option.field,
                type=option.read,
                action="append" if option.more else "store",
                metavar=option.metavar,
                help=option.help,
                default=argparse.SUPPRESS,
            )


def recipe_from(arguments: argparse.Namespace, base: Recipe | None) -> Recipe:
    """Return the recipe that options ask for.

    Parameters
    ----------
    arguments : Namespace
        Of a command with `add_options`.
    base : Recipe, optional
        What is changed; without it there must be a prompt.

    Raises
    ------
    ValueError, TypeError
        If a value is not possible.
    """
    from napari_clipseg.images.labels.instances import InstanceOptions
    from napari_clipseg.images.rendering import Appearance
    from napari_clipseg.images.tiling.plan import Detail
    from napari_clipseg.recipe import Recipe

    given = vars(arguments)
    changes: dict[str, Any] = {
        one.field: given[one.field]
        for one in OPTIONS
        if "." not in one.field and one.field in given
    }
    if "planes" in changes:
        changes["planes"] = dict(changes["planes"])
    for field in ("prompts", "negative_prompts"):
        if given[field]:
            changes[field] = [prompt_of(kind, text) for kind, text in given[field]]
    if arguments.names:
        changes["names"] = arguments.names
    wanted = changes.pop("instances", None)
    kinds = {"detail": Detail, "appearance": Appearance, "instances": InstanceOptions}
    for name, kind in kinds.items():
        inner = _inner(given, name)
        now = getattr(base, name, None)
        if name == "instances" and wanted is False:
            changes[name] = None
        elif inner or (name == "instances" and wanted):
            changes[name] = dataclasses.replace(now or kind(), **inner)
    if base is not None:
        return base.replace(**changes)
    if "prompts" not in changes:
        raise ValueError(
            "There is no prompt. Say what to look for: --prompt nuclei, --reference IMAGE, or "
            "--recipe FILE."
        )
    return Recipe(**changes)


def prompt_of(kind: str, text: str) -> Any:
    """Return the prompt that an option names.

    Raises
    ------
    ValueError, FileNotFoundError
        If its file cannot be used.
    """
    if kind == "image":
        return reference_of(text)
    if text.endswith(LEARNED):
        from napari_clipseg.learned import LearnedPrompt

        return LearnedPrompt.load(text)
    return text


def reference_of(text: str) -> Any:
    """Return the example in IMAGE or IMAGE:x0,y0,x1,y1.

    Raises
    ------
    ValueError, FileNotFoundError
        If the image cannot be read, or the rectangle is none.
    """
    from napari_clipseg.files.readers import read_image
    from napari_clipseg.images.visual_prompts import Example

    path, colon, where = text.rpartition(":")
    if not colon or Path(text).exists() or not set(where) <= set("0123456789.,- "):
        return Example(read_image(Path(text)))
    try:
        rectangle = corners(where)
    except ValueError as error:
        raise ValueError(
            f"The reference is {text!r}; wanted IMAGE:x0,y0,x1,y1, the pixels of two corners."
        ) from error
    return Example(read_image(Path(path)), rectangle)


def _inner(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    start = f"{name}."
    return {key.removeprefix(start): x for key, x in given.items() if key.startswith(start)}


def _tagged(kind: str, text: str) -> tuple[str, str]:
    return kind, text
