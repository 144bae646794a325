"""Whole masks as examples for a decoder: tiles, and what it should say of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.cache import content_digest
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.tiling.plan import Tile
from napari_clipseg.teaching.views import Views

if TYPE_CHECKING:  # it loads torch
    from napari_clipseg.engine.features import Features

Float32 = NDArray[np.float32]
BEYOND = -1  # the image


@dataclass(frozen=True, eq=False)
class Example:
    """A tile with one prompt: what the decoder sees, and what it should say.

    Attributes
    ----------
    features : Features
        Of the tile.
    prompt : int
        Number of the prompt.
    target : ndarray of float32
        ``(rows, columns)``: the share of each pixel that is on the thing.
    inside : ndarray of float32
        ``(rows, columns)``: 1 in the image, 0 where the tile reaches beyond it.
    """

    features: Features
    prompt: int
    target: Float32
    inside: Float32


def read_mask(mask: Any, views: Views, prompts: int, name: str) -> NDArray[np.intp]:
    """Return ``(*planes, height, width)`` of numbers of prompts."""
    data = np.asarray(getattr(mask, "data", mask) if hasattr(mask, "data_to_world") else mask)
    if data.dtype.kind not in "iub":
        raise TypeError(
            f"The mask of {name} is {data.dtype}; wanted whole numbers: 0 for none of the prompts, "
            f"1 for the first."
        )
    wanted = (*views.source.planes_shape, *views.source.shape_of(0))
    if data.shape != wanted:
        raise ValueError(
            f"The mask of {name} has shape {data.shape}; wanted {wanted}, that of the image "
            f"without its channels."
        )
    if prompts == 1:
        return np.asarray(data != 0, np.intp)
    low, high = int(data.min(initial=0)), int(data.max(initial=0))
    if low < 0 or high > prompts:
        raise ValueError(
            f"The mask of {name} has the value {low if low < 0 else high}; wanted 0 to {prompts}, "
            f"as there are {prompts} prompts."
        )
    return np.asarray(data, np.intp)


def examples_of(
    engine: Engine, views: Views, mask: NDArray[np.intp], prompts: int
) -> tuple[list[Example], list[str]]:
    """Return each tile with each prompt, as it is and mirrored, and the tiles' hashes."""
    found, digests = [], []
    for plane in views.plan.extent.planes:
        for tile in views.plan.tiles:
            image = views.render(plane, tile)
            digests.append(content_digest(image).hex())
            own = _crop(mask[plane], tile)
            size = views.plan.input_size(tile)
            inside = _seen(own != BEYOND, size)
            targets = [_seen(own == prompt + 1, size) for prompt in range(prompts)]
            for way in (slice(None), slice(None, None, -1)):
                seen = np.ascontiguousarray(image[:, way])
                features = engine.encode([seen], resize=False, cache=False)
                found += [
                    Example(features, prompt, target[:, way].copy(), inside[:, way].copy())
                    for prompt, target in enumerate(targets)
                ]
    return found, digests


def _crop(mask: NDArray[np.intp], tile: Tile) -> NDArray[np.intp]:
    """Return a tile of a mask; `BEYOND` where it reaches beyond the image."""
    own = np.full((tile.height, tile.width), BEYOND)
    rows = slice(max(tile.top, 0), min(tile.top + tile.height, mask.shape[0]))
    columns = slice(max(tile.left, 0), min(tile.left + tile.width, mask.shape[1]))
    at = (
        slice(rows.start - tile.top, rows.stop - tile.top),
        slice(columns.start - tile.left, columns.stop - tile.left),
    )
    own[at] = mask[rows, columns]
    return own


def _seen(mask: NDArray[np.bool_], size: tuple[int, int]) -> Float32:
    """Return a mask at the size of what the model sees, averaged."""
    from PIL import Image

    whole = Image.fromarray(mask.astype(np.float32))
    return np.asarray(whole.resize(size[::-1], Image.Resampling.BOX), np.float32)
