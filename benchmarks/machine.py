"""What the machine can do, and what a map asks of it: the floor under the times."""

from __future__ import annotations

import time
from math import prod

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from implementations import Ours

SIDE = 2048  # of the matrices whose product tells the machine's rate
GIGA = 1e9

Shape = tuple[int, ...]


def operations(ours: Ours, image: np.ndarray, prompts: list[str]) -> float:
    """Count the floating-point operations of a map: every matrix product and convolution.

    Parameters
    ----------
    ours : Ours
        In float32.
    image, prompts : ndarray, list of str
        New ones: what is kept is not computed.
    """
    # The counter does not know oneDNN's linear layer, nor PyTorch's fused attention on a CPU; the
    # plain form of the latter is two products.
    known = {torch.ops.mkldnn._linear_pointwise: linear_operations}
    counter = FlopCounterMode(display=False, custom_mapping=known)
    with counter, sdpa_kernel(SDPBackend.MATH):
        ours(image, prompts)
    return counter.get_total_flops()


def linear_operations(x_shape: Shape, weight_shape: Shape, *_: object, **__: object) -> int:
    """Count those of a linear layer, by the shapes ``(..., in)`` and ``(out, in)``."""
    return 2 * prod(x_shape) * weight_shape[0]


class MatrixRate:
    """How many operations a second a large float32 matrix product does, measured when called."""

    def __init__(self) -> None:
        self._left, self._right = torch.randn(2, SIDE, SIDE)

    def __call__(self) -> float:
        began = time.perf_counter()
        self._left @ self._right
        return 2 * SIDE**3 / (time.perf_counter() - began)
