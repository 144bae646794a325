"""A small network that answers as the mixture of parts does: fast, and stored as plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.learned import LIMIT

# Importing this module must not import torch, which takes seconds: only a fit needs it.
if TYPE_CHECKING:
    from torch import Tensor, nn

Float32 = NDArray[np.float32]
Layers = tuple[tuple[Float32, Float32], ...]

WIDTHS = (64, 32)
BATCH = 2048
LEARNING_RATE = 0.01
DECAY = 1e-4


def distill(
    inputs: Float32,
    targets: Float32,
    weights: Float32,
    *,
    steps: int,
    earlier: Layers | None = None,
    step: Callable[[], Any] = lambda: None,
) -> Layers:
    """Fit a network to the probabilities of a teacher (https://arxiv.org/abs/1503.02531).

    Parameters
    ----------
    inputs : ndarray of float32
        ``(pixels, inputs)``, standardised.
    targets : ndarray of float32
        ``(pixels,)``: probabilities, 0 to 1.
    weights : ndarray of float32
        ``(pixels,)``: how often each is drawn, relative to the others.
    steps : int
        Of AdamW.
    earlier : tuple of (ndarray, ndarray), optional
        Layers to begin with. They need fewer steps.
    step : callable
        Called now and then; it may raise to stop.

    Returns
    -------
    tuple of (ndarray, ndarray)
        Weights and biases of each layer, as in `LearnedClass`.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    rng = np.random.default_rng(0)
    if earlier is None:
        widths = (inputs.shape[1], *WIDTHS, 1)
        # He and others (https://arxiv.org/abs/1502.01852): for ReLU.
        earlier = tuple(
            (
                rng.normal(0, np.sqrt(2 / before), (before, after)).astype(np.float32),
                np.zeros(after, np.float32),
            )
            for before, after in pairwise(widths)
        )
    parameters = [
        nn.Parameter(torch.from_numpy(array.copy())) for layer in earlier for array in layer
    ]
    x = torch.from_numpy(np.clip(inputs, -LIMIT, LIMIT))
    y = torch.from_numpy(targets)
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    chance = weights.astype(np.float64)
    chance /= chance.sum()
    draws = rng.choice(len(x), (steps, min(BATCH, 2 * len(x))), p=chance)
    with torch.enable_grad():
        for number, drawn in enumerate(torch.from_numpy(draws)):
            if number % 20 == 0:
                step()
            logits = run(x[drawn], parameters)
            loss = functional.binary_cross_entropy_with_logits(logits, y[drawn])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    arrays = [parameter.detach().numpy().copy() for parameter in parameters]
    return tuple(zip(arrays[::2], arrays[1::2], strict=True))


def run(x: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Return the logits of standardised inputs: ``(pixels,)``."""
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    for weight, bias in layers[:-1]:
        x = (x @ weight + bias).relu()
    weight, bias = layers[-1]
    return (x @ weight + bias)[:, 0]
