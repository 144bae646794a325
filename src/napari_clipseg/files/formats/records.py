"""What is recorded with a result in each file, and read again: its recipe, first of all."""

from __future__ import annotations

from pathlib import Path

from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Segmentation


def beside(path: Path) -> Path:
    """Return the JSON file that holds the recipe of a file which has no place for it."""
    return path.with_name(f"{path.name}.json")


def write_beside(result: Segmentation, path: Path, *, source: Path | None = None) -> None:
    """Write the record of a result to exactly this path, which `beside` gave."""
    raise NotImplementedError


def recipe_of(path: str | Path) -> Recipe:
    """Read the recipe back from any file or folder that a format wrote."""
    raise NotImplementedError
