"""int8 on a CPU: the vision tower's linear layers with 8-bit integers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation

LARGEST = 127  # of an int8, the same on both sides of 0
# Instructions of the CPU that PyTorch's int8 products need to be faster than float32.
CAPABLE = ("AVX2", "AVX512")


class Int8Linear(nn.Module):
    """A linear layer that multiplies 8-bit integers; its input is quantized at each call.

    Symmetric, with one scale for each row of the weight, computed once, and one for each token,
    computed at each call: a few values in a transformer are far larger than the others, which a
    common scale would round to 0 (Dettmers et al., https://arxiv.org/abs/2208.07339, section 2.1).

    Parameters
    ----------
    linear : nn.Linear
        The layer that it replaces; its weights are copied. With two inputs or more: with one,
        PyTorch's product of integers is wrong.
    """

    weight: Tensor  # (out, in), int8
    scale: Tensor  # (out,)
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = _steps(weight)
        self.register_buffer("weight", (weight / scale).round_().to(torch.int8))
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in)`` to ``(..., out)``."""
        rows = x.flatten(0, -2)
        steps = _steps(rows)
        whole = (rows / steps).round_().to(torch.int8)
        product = torch._int_mm(whole, self.weight.T)  # int32
        out = product.float().mul_(steps).mul_(self.scale)
        if self.bias is not None:
            out.add_(self.bias)
        return out.view(*x.shape[:-1], -1)


def _steps(rows: Tensor) -> Tensor:
    """Return the value of one integer step for each row: ``(rows, 1)``, never 0."""
    largest = rows.abs().amax(dim=1, keepdim=True)
    return largest.div_(LARGEST).clamp_(min=torch.finfo(rows.dtype).tiny)


def quantize_vision(network: CLIPSegForImageSegmentation) -> None:
    """Replace linear layers of the vision tower's blocks, in place, by `Int8Linear`.

    All but the projections to queries and keys: these are a sixth of the work, and their rounding
    errors would be amplified by the exponential in the attention's softmax.

    Raises
    ------
    ValueError
        If int8 is not faster than float32 on this machine's CPU.
    """
    require_int8()
    for block in network.clip.vision_model.encoder.layers:
        for parent, name in (
            (block.self_attn, "v_proj"),
            (block.self_attn, "out_proj"),
            (block.mlp, "fc1"),
            (block.mlp, "fc2"),
        ):
            setattr(parent, name, Int8Linear(getattr(parent, name)))


def require_int8() -> None:
    """Raise ValueError where int8 would not be faster than float32."""
    capability = torch.backends.cpu.get_cpu_capability()
    if not torch.backends.mkldnn.is_available():
        fault = "this build of PyTorch has no oneDNN"
    elif not capability.startswith(CAPABLE):
        fault = f"PyTorch finds {capability} in this CPU, wanted one of {', '.join(CAPABLE)}"
    else:
        return
    raise ValueError(
        f"int8 is not faster than float32 on this machine: {fault}. Load the model with "
        f"precision='float32'."
    )
