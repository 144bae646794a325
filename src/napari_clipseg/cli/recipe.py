"""The command ``recipe``: recipes shown, checked, and brought to the newest version."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # --help must be quick
    from napari_clipseg.recipe import Recipe

SHOWN_CHARACTERS = 90


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of ``napari-clipseg``."""
    recipe = commands.add_parser(
        "recipe",
        help="show, check or upgrade recipes",
        description=(
            "show: the fields of a recipe. check: whether it can be used here, with the weights "
            "that it names. upgrade: write it in the version of this napari-clipseg. A recipe is "
            "in a file of its own, or in any output."
        ),
    )
    recipe.add_argument("what", choices=("show", "check", "upgrade"))
    recipe.add_argument("files", nargs="+", type=Path, metavar="FILE", help="recipe, or output")
    recipe.add_argument(
        "--output", type=Path, help="of upgrade: where to write; by default the file itself"
    )
    recipe.set_defaults(run=_recipe)


def recipe_in(path: Path) -> Recipe:
    """Return the recipe of a file of its own, or of an output.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none.
    """
    from napari_clipseg.files.formats import recipe_of
    from napari_clipseg.recipe import Recipe

    if path.suffix == ".json" and path.is_file():
        try:
            return Recipe.load(path)
        except ValueError as error:
            if "lacks the field 'format'" not in str(error):
                raise  # it is a recipe, and a wrong one
    return recipe_of(path)


def _recipe(arguments: argparse.Namespace) -> int:
    if arguments.output is not None and (arguments.what != "upgrade" or len(arguments.files) > 1):
        raise ValueError("--output is for the upgrade of one file; leave it out.")
    wrong = 0
    for path in arguments.files:
        try:
            recipe = recipe_in(path)
            if arguments.what == "show":
                _show(path, recipe)
            elif arguments.what == "check":
                _check(recipe)
                print(f"{path}: can be used here")
            else:
                _upgrade(path, recipe, arguments.output or path)
        except (ValueError, OSError, RuntimeError) as error:
            wrong += 1
            print(f"napari-clipseg: {path}: {error}", file=sys.stderr)
    return 1 if wrong else 0


def _show(path: Path, recipe: Recipe) -> None:
    print(f"{path}: {recipe.hash}")
    for field in dataclasses.fields(recipe):
        value: Any = getattr(recipe, field.name)
        if field.name in ("prompts", "negative_prompts"):
            names = recipe.prompt_names if field.name == "prompts" else recipe.negative_names
            value = ", ".join(names) or "none"
        elif field.name == "names":
            continue
        elif field.name in ("region", "planes") and value is not None:
            value = recipe.to_dict()[field.name]
        text = str(value)
        print(f"  {field.name:<17} {text[:SHOWN_CHARACTERS]}{'…' * (len(text) > SHOWN_CHARACTERS)}")


def _check(recipe: Recipe) -> None:
    from napari_clipseg.engine.checkpoints.locate import locate
    from napari_clipseg.engine.checkpoints.weight_files import weights_digest
    from napari_clipseg.segmentation import require_weights

    require_weights(recipe, weights_digest(locate(recipe.model)))


def _upgrade(path: Path, recipe: Recipe, output: Path) -> None:
    if path.suffix != ".json" and output == path:
        raise ValueError(f"It is no file of a recipe alone. Add --output {path.stem}.json.")
    partial = output.with_name(f"{output.name}.partial")
    try:
        recipe.save(partial)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{output}: version {recipe.to_dict()['version']}")
