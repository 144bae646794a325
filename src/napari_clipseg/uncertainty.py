"""How much a result depends on what should not matter: how the image was cut into tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.uncertainty import disagreement
from napari_clipseg.plans import with_fields
from napari_clipseg.prompts import Prompts
from napari_clipseg.recipe import Recipe, as_recipe
from napari_clipseg.segmentation import segment

SHIFTS = (0.0, 1 / 3, 2 / 3)


@with_fields
def shift_disagreement(
    image: Any,
    prompts: Recipe | Prompts,
    *,
    shifts: Sequence[float] = SHIFTS,
    axes: str | Sequence[str] | None = None,
    **fields: Any,
) -> NDArray[np.float32]:
    """Segment with tiles that begin elsewhere each time, and tell where the maps differ.

    Parameters
    ----------
    image, prompts, axes, **fields
        As for `segment`; the detail is "fine" where neither a recipe nor a field says.
    shifts : sequence of float
        Shares of the step from one tile to the next, 0 to 1; two or more.

    Returns
    -------
    ndarray of float32
        ``(prompts, *planes, height, width)``, 0 to 1; see `images.uncertainty.disagreement`.

    Raises
    ------
    ValueError
        If there are fewer than two shifts, or no tiles to shift.

    Examples
    --------
    >>> from napari_clipseg import shift_disagreement
    >>> image = np.zeros((300, 400), dtype=np.uint8)
    >>> shift_disagreement(image, "nuclei", shifts=(0, 0.5)).shape
    (1, 300, 400)
    """
    # An engine is no field of a recipe.
    model = {"model": fields.pop("model")} if "model" in fields else {}
    if not isinstance(prompts, Recipe):
        fields = {"detail": "fine", **fields}
    recipe = as_recipe(prompts, fields)
    if recipe.detail.tile_size == "whole":
        raise ValueError("A whole plane at once has no tiles to shift. Give detail='fine'.")
    if len(shifts) < 2:
        raise ValueError(f"Got {len(shifts)} shifts; wanted two or more, such as (0, 0.5).")
    maps = []
    for shift in shifts:
        detail = replace(recipe.detail, shift=shift)
        maps.append(segment(image, recipe, axes=axes, detail=detail, **model).probability)
    return np.stack([disagreement(np.stack(of_prompt)) for of_prompt in zip(*maps, strict=True)])
