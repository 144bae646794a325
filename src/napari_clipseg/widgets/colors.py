"""A color for each prompt: the same in all its results, and the next free one for a new prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from napari_clipseg.recipe import METADATA
from napari_clipseg.results import COLORS

if TYPE_CHECKING:
    import napari

COLOR_OF = "colors"  # of each prompt, in the record of a layer


def prompt_colors(viewer: napari.Viewer, names: Sequence[str]) -> dict[str, str]:
    """Return the color of each prompt: that of its results in the viewer, or the next free one.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose results are looked at.
    names : sequence of str
        What prompts are called in results, as `Recipe.prompt_names` has them.

    Returns
    -------
    dict of str
        Names of colors, which are also those of napari's colormaps. Where all are taken, the one
        that the fewest prompts have.
    """
    known: dict[str, str] = {}
    for layer in viewer.layers:
        for name, color in layer.metadata.get(METADATA, {}).get(COLOR_OF, {}).items():
            known.setdefault(name, color)
    return {name: known.setdefault(name, _next_free(known.values())) for name in names}


def _next_free(taken: Iterable[str]) -> str:
    used = list(taken)
    return min(COLORS, key=used.count)  # the first of those that are used least
