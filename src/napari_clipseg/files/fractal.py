"""A task of Fractal: labels for one OME-Zarr image, of many that a server gives to its tasks.

https://fractal-analytics-platform.github.io/tasks_spec says how a task is called; what it takes is
in ``__FRACTAL_MANIFEST__.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_clipseg.files.formats import recipe_of
from napari_clipseg.files.one import add_labels
from napari_clipseg.files.readers import read_image
from napari_clipseg.recipe import Recipe
from napari_clipseg.segmentation import segment


def segment_image(
    zarr_url: str, recipe: str, label_name: str = "clipseg", overwrite: bool = False
) -> dict[str, Any]:
    """Segment an OME-Zarr image, and add the labels to it.

    Parameters
    ----------
    zarr_url : str
        Path of the image.
    recipe : str
        Path of a saved recipe, or of an output of an earlier run.
    label_name : str
        Name of the labels.
    overwrite : bool
        Whether labels of that name are replaced.

    Returns
    -------
    dict
        What the server is told: nothing, since the list of images stays as it is.

    Raises
    ------
    ValueError, OSError
        If the image or the recipe cannot be used, or there are labels of that name.
    """
    source = Path(recipe)
    wanted = Recipe.load(source) if source.suffix == ".json" else recipe_of(source)
    result = segment(read_image(Path(zarr_url)), wanted)
    add_labels(Path(zarr_url), label_name, result, overwrite=overwrite)
    return {}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the task as a server calls it."""
    parser = argparse.ArgumentParser(description=segment_image.__doc__)
    parser.add_argument("--args-json", type=Path, required=True)
    parser.add_argument("--out-json", type=Path, required=True)
    arguments = parser.parse_args(argv)
    told = segment_image(**json.loads(arguments.args_json.read_text(encoding="utf-8")))
    arguments.out_json.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
