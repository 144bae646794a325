"""Faster kernels for the layers of a loaded network; the results are the same up to rounding.

The modules in ``modeling`` are written to be read. `use_fast_kernels` changes the class of their
layers, so that the same weights are computed by other operators where these are available.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_clipseg.engine.modeling.layers import QUICK_GELU_SLOPE, CLIPSegMLP, quick_gelu

# The operator that PyTorch's own compiler uses for a linear layer; some builds do not have it.
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class OneDnnLinear(nn.Linear):
    """A linear layer that oneDNN computes: on a CPU, in float32, without gradients.

    `nn.Linear` first writes the bias to each row, then adds the matrix product. oneDNN does both at
    once, and takes a third less time for the few tokens of a text.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in)`` to ``(..., out)``.

        Each row's result is the same bit for bit, however many rows there are: a single one, such
        as the vector of a prompt, is computed twice, since libraries multiply a matrix with a
        vector by other code than with a matrix.
        """
        fits = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0
        if not fits or torch.is_grad_enabled():
            return super().forward(x)
        if x.numel() == self.in_features:
            twice: Tensor = self(x.reshape(1, -1).expand(2, -1).contiguous())
            return twice[0].view(*x.shape[:-1], -1)
        if not HAS_ONEDNN:
            return super().forward(x)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out


# Up to this many values PyTorch may convolve a single image by other code than several.
FEW_VALUES = 20480


class PairedConv2d(nn.Conv2d):
    """A convolution that computes a small image alone as it does beside others, bit for bit."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(images, in, height, width)`` to ``(images, out, ...)``."""
        if not _is_alone(x):
            return super().forward(x)
        return super().forward(x.expand(2, -1, -1, -1).contiguous())[:1]


class PairedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that does as `PairedConv2d`."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map ``(images, in, height, width)`` to ``(images, out, ...)``."""
        if not _is_alone(x):
            return super().forward(x, output_size)
        return super().forward(x.expand(2, -1, -1, -1).contiguous(), output_size)[:1]


def _is_alone(x: Tensor) -> bool:
    small = len(x) == 1 and x.numel() <= FEW_VALUES
    return small and x.device.type == "cpu" and not torch.is_grad_enabled()


class InPlaceMLP(CLIPSegMLP):
    """An MLP whose activation overwrites its input, which nothing else needs without gradients.

    New memory for each step of the activation would cost more time than the arithmetic.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        if torch.is_grad_enabled():
            return super().forward(x)
        activation = IN_PLACE.get(self.activation, self.activation)
        out: Tensor = self.fc2(activation(self.fc1(x)))
        return out


def quick_gelu_(x: Tensor) -> Tensor:
    """Compute `quick_gelu` in place: silu(y) / 1.702, where silu(y) = y sigmoid(y), y = 1.702 x."""
    return F.silu(x.mul_(QUICK_GELU_SLOPE), inplace=True).mul_(1 / QUICK_GELU_SLOPE)


# PyTorch has no GELU in place.
IN_PLACE: dict[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = {
    quick_gelu: quick_gelu_,
    F.relu: F.relu_,
}
FAST: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: OneDnnLinear,
    CLIPSegMLP: InPlaceMLP,
    nn.Conv2d: PairedConv2d,
    nn.ConvTranspose2d: PairedConvTranspose2d,
}


def use_fast_kernels(network: nn.Module) -> None:
    """Change the class of the layers of a network, in place; no weight is copied or changed.

    On devices and in precisions that a kernel is not for, the layers compute as before.
    """
    for module in network.modules():
        if type(module) in FAST:
            module.__class__ = FAST[type(module)]
