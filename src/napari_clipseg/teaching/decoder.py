"""A prompt's vector and FiLM, fitted to strokes through the decoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.tiling.plan import Tile

# Importing this module must not import torch, which takes seconds: only a fit needs it.
if TYPE_CHECKING:
    from torch import Tensor

    from napari_clipseg.engine.features import Features

Float32 = NDArray[np.float32]

# Of the distance to where the fit began: strokes are few, and the checkpoint knows much.
SHRINKAGE = 0.005


@dataclass(frozen=True, eq=False)
class Fitted:
    """How the decoder is asked: see `LearnedClass`.

    Attributes
    ----------
    vector : ndarray of float32
        ``(projection_dim,)``.
    scale, shift : ndarray of float32
        ``(blocks, reduce_dim)``.
    """

    vector: Float32
    scale: Float32
    shift: Float32

    @classmethod
    def plain(cls, vector: Float32, engine: Engine) -> Fitted:
        """Return how a vector is asked for without FiLM."""
        zeros = np.zeros((len(engine.config.extract_layers), engine.config.reduce_dim), np.float32)
        return cls(vector, zeros, zeros)


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found: how the decoder is asked, and what makes its logits fit.

    Attributes
    ----------
    asked : Fitted
        How the decoder is asked.
    slope, offset : float
        The calibrated logits are ``slope * logits + offset``.
    """

    asked: Fitted
    slope: float
    offset: float


@dataclass(frozen=True, eq=False)
class Painted:
    """Painted pixels in one tile.

    Attributes
    ----------
    features : Features
        Of the tile.
    tile : Tile
        Where it lies.
    rows, columns : ndarray of int
        ``(pixels,)`` in pixels of the plane.
    positive : ndarray of bool
        ``(pixels,)``: on the thing.
    weights : ndarray of float
        ``(fits, pixels)``: how much each counts in each of the fits.
    """

    features: Features
    tile: Tile
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    positive: NDArray[np.bool_]
    weights: NDArray[np.float64]


def best_start(engine: Engine, vectors: Float32, painted: Sequence[Painted]) -> int:
    """Return which vector's map tells the strokes apart best, by the log loss."""
    import torch

    losses = np.zeros(len(vectors))
    for one in painted:
        logits = torch.from_numpy(engine.decode(one.features, vectors)[0])
        at = _at(logits, _grid(one)).numpy()
        signs = np.where(one.positive, 1.0, -1.0)
        losses += (one.weights[0] * np.logaddexp(0, -signs * at)).sum(axis=1)
    return int(losses.argmin())


def fit_decoder(
    engine: Engine,
    start: Fitted,
    painted: Sequence[Painted],
    *,
    steps: int,
    rate: float,
    earlier: Fit | None = None,
    step: Callable[[], Any] = lambda: None,
) -> list[Fit]:
    """Fit vector and FiLM so that the decoder's logits tell the strokes apart.

    The loss is binary cross-entropy, with a quadratic penalty on what moves away from the start;
    it is minimised by Adam. All fits run side by side.

    Parameters
    ----------
    engine : Engine
        Whose decoder; its weights stay as they are.
    start : Fitted
        What the fits are drawn to, and where they begin.
    painted : sequence of Painted
        Those of some tiles; each with weights for each fit.
    steps : int
        Of Adam.
    rate : float
        Its learning rate at first; it falls to 0.
    earlier : Fit, optional
        To begin with, instead: that of a few strokes ago. It needs fewer steps.
    step : callable
        Called before each step; it may raise to stop.
    """
    import torch
    from torch.nn import functional

    device, decoder = engine.device, engine.decoder
    fits = len(painted[0].weights)
    blocks, width = start.scale.shape

    def copies(values: Float32, *shape: int) -> Tensor:
        return torch.from_numpy(np.array(values)).expand(fits, *shape).clone().to(device)

    # A clone out of inference mode, in which the engine encodes.
    tiles = [[x.to(device).clone() for x in one.features.reduced] for one in painted]
    grids = [_grid(one).to(device) for one in painted]
    targets = [torch.from_numpy(one.positive.astype(np.float32)).to(device) for one in painted]
    weights = [torch.from_numpy(one.weights.astype(np.float32)).to(device) for one in painted]

    def all_of(asked: Fitted) -> list[Tensor]:
        return [
            copies(asked.vector, len(asked.vector)),
            copies(asked.scale, blocks, width),
            copies(asked.shift, blocks, width),
        ]

    first = all_of(start)
    moved = all_of(start if earlier is None else earlier.asked)
    vector, scale, shift = moved
    # The logarithm of the slope, and the offset.
    known = (0.0, 0.0) if earlier is None else (np.log(earlier.slope), earlier.offset)
    calibration = copies(np.array(known, np.float32), 2)
    parameters = [*moved, calibration]
    for parameter in parameters:
        parameter.requires_grad_(True)
    adam = torch.optim.Adam(parameters, lr=rate)
    with torch.enable_grad():
        for number in range(steps):
            step()
            adam.param_groups[0]["lr"] = rate * (1 - number / steps)
            loss = torch.zeros((), device=device)
            for parameter, begun in zip(moved, first, strict=True):
                loss = loss + SHRINKAGE * ((parameter - begun) ** 2).sum()
            for one, reduced, grid, target, weight in zip(
                painted, tiles, grids, targets, weights, strict=True
            ):
                modulated = [
                    x * (1 + scale[:, i, None]) + shift[:, i, None] for i, x in enumerate(reduced)
                ]
                logits = _at(decoder.segment(modulated, vector, one.features.grid), grid)
                logits = logits * calibration[:, :1].exp() + calibration[:, 1:]
                losses = functional.binary_cross_entropy_with_logits(
                    logits, target.expand_as(logits), reduction="none"
                )
                loss = loss + (losses * weight).sum()
            # Not `backward`: it would add to the gradients of a model that others may train.
            gradients = torch.autograd.grad(loss, parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            adam.step()
    found = [x.detach().cpu().numpy() for x in (vector, scale, shift, calibration)]
    return [
        Fit(Fitted(v, s, b), float(np.exp(c[0])), float(c[1]))
        for v, s, b, c in zip(*found, strict=True)
    ]


def _grid(one: Painted) -> Tensor:
    """Return ``(1, 1, pixels, 2)``: where the pixels' centers lie in the tile, -1 to 1."""
    import torch

    tile = one.tile
    across = (one.columns + 0.5 - tile.left) / tile.width * 2 - 1
    down = (one.rows + 0.5 - tile.top) / tile.height * 2 - 1
    return torch.from_numpy(np.stack([across, down], axis=1).astype(np.float32))[None, None]


def _at(logits: Tensor, grid: Tensor) -> Tensor:
    """Return ``(maps, pixels)``: maps ``(maps, rows, columns)`` at places, bilinearly."""
    from torch.nn import functional

    wide = grid.expand(len(logits), -1, -1, -1)
    found: Tensor = functional.grid_sample(
        logits[:, None], wide, mode="bilinear", padding_mode="border", align_corners=False
    )[:, 0, 0]
    return found
