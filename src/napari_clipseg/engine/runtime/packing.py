"""The towers' weights in oneDNN's own order, and with fewer steps: for a CPU, in float32.

oneDNN brings the weights of a product into blocks that suit the processor. For `nn.Linear` it does
so at each call, which takes a seventh of the time of an image and half of that of a text. Here it
is done once. Queries, keys and values become one product, and the activation a part of the one
before it. The results are the same up to rounding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_clipseg.engine.modeling.layers import (
    QUICK_GELU_SLOPE,
    CLIPSegAttention,
    CLIPSegEncoderLayer,
    CLIPSegMLP,
    quick_gelu,
)
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.kernels import HAS_ONEDNN

# For how many tokens the blocks are made: those of a text; an image has more, and the same blocks.
TOKENS = 77
# oneDNN's names of activations that it computes with a product.
FUSED: dict[Callable[[Tensor], Tensor], str] = {quick_gelu: "swish", F.relu: "relu"}


class PackedLinear(nn.Module):
    """A linear layer, and an activation after it, whose weights oneDNN packs at the first call.

    Without gradients. From the first call on it keeps no other copy of the weights.

    Parameters
    ----------
    weight_and_bias : callable
        Returns ``(out, in)`` and ``(out,)``, float32, on a CPU; called once.
    after : {"none", "relu", "swish"}
        oneDNN's name of the activation.
    """

    def __init__(
        self, weight_and_bias: Callable[[], tuple[Tensor, Tensor]], after: str = "none"
    ) -> None:
        super().__init__()
        self._weight_and_bias: Callable[[], tuple[Tensor, Tensor]] | None = weight_and_bias
        self._packed: tuple[Tensor, Tensor, tuple[int, int]] | None = None
        self._lock = threading.Lock()
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in)`` to ``(..., out)``; each row bit for bit as beside others."""
        weight, bias, (count_out, count_in) = self._packed or self._pack()
        if x.numel() == 0:
            return x.new_empty(*x.shape[:-1], count_out)
        if x.numel() == count_in:  # see `OneDnnLinear`
            twice: Tensor = self(x.reshape(1, -1).expand(2, -1).contiguous())
            return twice[0].view(*x.shape[:-1], -1)
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, self.after, [], "")
        return out

    def _pack(self) -> tuple[Tensor, Tensor, tuple[int, int]]:
        with self._lock:
            if self._packed is None:
                assert self._weight_and_bias is not None
                weight, bias = self._weight_and_bias()
                count_out, count_in = weight.shape
                packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), TOKENS)
                self._packed = packed, bias.clone(), (count_out, count_in)
                self._weight_and_bias = None
            return self._packed


class PackedAttention(CLIPSegAttention):
    """An attention whose queries, keys and values are one product."""

    def projected(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values: ``(batch, tokens, width)`` each."""
        return self.in_proj(x).chunk(3, dim=-1)  # type: ignore[no-any-return, operator]


class PackedMLP(CLIPSegMLP):
    """An MLP whose activation is computed with the product before it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        out: Tensor = self.fc2(self.fc1(x))
        return out


def pack_towers(network: CLIPSegForImageSegmentation) -> None:
    """Pack what both towers multiply with, in place; nothing is done where oneDNN is missing.

    The network is then for a CPU and for answers: it has no gradients, and its state is not whole.
    Layers of another kind, such as those in int8, stay as they are.
    """
    if not HAS_ONEDNN or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return
    for tower in (network.clip.vision_model, network.clip.text_model):
        for block in tower.encoder.layers:
            assert isinstance(block, CLIPSegEncoderLayer)
            _pack_attention(block.self_attn)
            _pack_mlp(block.mlp)
            # What is small is copied: else it would keep the memory of what is packed.
            for parameter in block.parameters():
                parameter.data = parameter.data.clone()


def _pack_attention(attention: CLIPSegAttention) -> None:
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    if not _are_plain(parts):
        return

    def joined() -> tuple[Tensor, Tensor]:
        weights = torch.cat([part.weight.detach() for part in parts])
        return weights, torch.cat([part.bias.detach() for part in parts])

    attention.in_proj = PackedLinear(joined)
    del attention.q_proj, attention.k_proj, attention.v_proj
    attention.__class__ = PackedAttention
    if _are_plain([attention.out_proj]):
        attention.out_proj = _packed(attention.out_proj)  # type: ignore[assignment]


def _pack_mlp(mlp: CLIPSegMLP) -> None:
    if not _are_plain([mlp.fc1, mlp.fc2]):
        return
    after = FUSED.get(mlp.activation)
    # x sigmoid(a x) is swish(a x) / a: both factors go into the weights.
    slope = QUICK_GELU_SLOPE if mlp.activation is quick_gelu else 1.0
    mlp.fc1 = _packed(mlp.fc1, slope, slope, after or "none")  # type: ignore[assignment]
    mlp.fc2 = _packed(mlp.fc2, 1 / slope)  # type: ignore[assignment]
    if after is not None:
        mlp.__class__ = PackedMLP


def _packed(
    linear: nn.Linear, factor: float = 1.0, of_bias: float = 1.0, after: str = "none"
) -> PackedLinear:
    """Return a layer with its weights and its bias times a factor each."""

    def scaled() -> tuple[Tensor, Tensor]:
        return (linear.weight * factor).detach(), (linear.bias * of_bias).detach()

    def plain() -> tuple[Tensor, Tensor]:
        return linear.weight.detach(), linear.bias.detach()

    return PackedLinear(plain if factor == of_bias == 1 else scaled, after)


def _are_plain(layers: Sequence[nn.Module]) -> bool:
    return all(
        isinstance(layer, nn.Linear)
        and layer.weight.dtype == torch.float32
        and layer.weight.device.type == "cpu"
        for layer in layers
    )
