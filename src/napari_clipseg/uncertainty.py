"""How much an answer depends on what should not matter: how the image was cut into tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.images.uncertainty import disagreement
from napari_clipseg.segmentation import segment

SHIFTS = (0.0, 1 / 3, 2 / 3)


def shift_disagreement(
    image: Any,
    prompts: Any,
    *,
    detail: Detail | str | float = "fine",
    shifts: Sequence[float] = SHIFTS,
    **choices: Any,
) -> NDArray[np.float32]:
    """Segment with tiles that begin elsewhere each time, and tell where the answers differ.

    Parameters
    ----------
    image, prompts
        As for `segment`.
    detail : Detail, "medium", "fine", or float
        The tiles.
    shifts : sequence of float
        Shares of the way from one tile to the next, 0 to 1; two or more.
    **choices
        What else `segment` takes.

    Returns
    -------
    ndarray of float32
        ``(prompts, *planes, height, width)``, 0 to 1; see `images.uncertainty.disagreement`.

    Raises
    ------
    ValueError
        If there are fewer than two shifts, or no tiles to shift.
    """
    cut = detail if isinstance(detail, Detail) else Detail(detail)  # type: ignore[arg-type]
    if cut.tile == "one look":
        raise ValueError("One look has no tiles to shift. Give a detail such as 'fine'.")
    if len(shifts) < 2:
        raise ValueError(f"Got {len(shifts)} shifts; wanted two or more, such as (0, 0.5).")
    maps = [
        segment(image, prompts, detail=replace(cut, shift=shift), **choices).probability
        for shift in shifts
    ]
    return np.stack([disagreement(np.stack(of_prompt)) for of_prompt in zip(*maps, strict=True)])
