"""What the three transformers of CLIPSeg are built from: attention, MLP, block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Spread of fresh embeddings, as in CLIP: PyTorch's own of 1 would drown the patches.
INITIAL_STD = 0.02
QUICK_GELU_SLOPE = 1.702
# The operator that PyTorch's own compiler puts for a linear layer; some builds lack it.
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def fresh(*shape: int) -> Tensor:
    """Draw the start values of embeddings: normal, cut off at 100 standard deviations.

    On the meta device, where models are built to be loaded, ``normal_``, ``randn`` and a product
    with a number import PyTorch's compiler or sympy: up to a second, and 90 MB, of every start.
    """
    return nn.init.trunc_normal_(torch.empty(shape), std=INITIAL_STD)


def fresh_embedding(rows: int, width: int) -> nn.Embedding:
    """Return an embedding of `fresh` vectors; `nn.Embedding` itself calls ``normal_``."""
    embedding: nn.Embedding = nn.Embedding.from_pretrained(fresh(rows, width), freeze=False)
    return embedding


def quick_gelu(x: Tensor, inplace: bool = False) -> Tensor:
    """Approximate GELU as CLIP was trained with it: ``x * sigmoid(1.702 x)``.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", https://arxiv.org/abs/1606.08415,
    section 2.
    """
    if inplace:  # silu(y) = y * sigmoid(y), with y = 1.702 x
        return F.silu(x.mul_(QUICK_GELU_SLOPE), inplace=True).mul_(1 / QUICK_GELU_SLOPE)
    return x * torch.sigmoid(QUICK_GELU_SLOPE * x)


def gelu(x: Tensor, inplace: bool = False) -> Tensor:
    """Apply the exact GELU; PyTorch has no form of it that overwrites."""
    return F.gelu(x)


# Of each value by itself; True as a second argument allows to overwrite the first.
ACTIVATION: dict[str, Callable[[Tensor, bool], Tensor]] = {
    "quick_gelu": quick_gelu,
    "gelu": gelu,
    "relu": F.relu,
}


class Linear(nn.Linear):
    """A linear layer that oneDNN computes, where it may: on a CPU, without gradients.

    `nn.Linear` first writes the bias to each row, then adds a product of the BLAS to that. oneDNN
    saves that pass, and takes a third less time for the few tokens of a text.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in)`` to ``(..., out)``."""
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0
        if not (HAS_ONEDNN and plain) or torch.is_grad_enabled():
            return super().forward(x)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self.weight, self.bias, "none", [], ""
        )
        return product


class Record:
    """What a pass through blocks leaves behind for whoever asks.

    Parameters
    ----------
    hidden_states, attentions : bool
        What to keep.
    """

    def __init__(self, hidden_states: bool = False, attentions: bool = False) -> None:
        self._hidden_states: list[Tensor] | None = [] if hidden_states else None
        self._attentions: list[Tensor] | None = [] if attentions else None

    @property
    def weighs(self) -> bool:
        """Whether attention weights are to be kept."""
        return self._attentions is not None

    @property
    def hidden_states(self) -> tuple[Tensor, ...] | None:
        """What was seen of the tokens, in order."""
        return None if self._hidden_states is None else tuple(self._hidden_states)

    @property
    def attentions(self) -> tuple[Tensor, ...] | None:
        """What was seen of the attention weights, in order."""
        return None if self._attentions is None else tuple(self._attentions)

    def see(self, x: Tensor) -> None:
        """Keep tokens ``(batch, tokens, width)``, if they are asked for."""
        if self._hidden_states is not None:
            self._hidden_states.append(x)

    def weigh(self, weights: Tensor) -> None:
        """Keep attention weights ``(batch, heads, tokens, tokens)``, if they are asked for."""
        if self._attentions is not None:
            self._attentions.append(weights)


NOTHING = Record()


class CLIPSegAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., https://arxiv.org/abs/1706.03762, 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.k_proj = Linear(width, width)
        self.v_proj = Linear(width, width)
        self.q_proj = Linear(width, width)
        self.out_proj = Linear(width, width)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        record: Record = NOTHING,
    ) -> Tensor:
        """Let each token look at the others: ``(batch, tokens, width)`` to the same.

        ``mask`` is True where a token may look, broadcast to
        ``(batch, heads, tokens, tokens)``; ``causal`` lets it look back only.
        """
        q, k, v = (
            # (batch, tokens, width) -> (batch, heads, tokens, width / heads)
            proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        if record.weighs:
            record.weigh(_attention_weights(q, k, mask, causal))
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=causal)
        # (batch, heads, tokens, width / heads) -> (batch, tokens, width)
        merged: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return merged


def _attention_weights(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Return the weights that the fused attention does not: ``(batch, heads, tokens, tokens)``."""
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights: Tensor = scores.softmax(dim=-1)
    return weights


class CLIPSegMLP(nn.Module):
    """Two linear layers with an activation between, on each token by itself."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATION[activation]
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same."""
        # Nobody else holds what fc1 gives. Fresh memory for each step of the activation would
        # cost more than the arithmetic; but gradients need what came before.
        inplace = not torch.is_grad_enabled()
        out: Tensor = self.fc2(self.activation(self.fc1(x), inplace))
        return out


class _Block(nn.Module):
    """The parts of a transformer block; the subclasses say in which order they act."""

    def __init__(
        self, width: int, heads: int, hidden: int, activation: str, eps: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.self_attn = CLIPSegAttention(width, heads, dropout)
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.mlp = CLIPSegMLP(width, hidden, activation)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)


class CLIPSegEncoderLayer(_Block):
    """A block of CLIP's towers: normalise first, then add."""

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        record: Record = NOTHING,
    ) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same."""
        x = x + self.self_attn(self.layer_norm1(x), mask, causal, record)
        x = x + self.mlp(self.layer_norm2(x))
        return x


class CLIPSegDecoderLayer(_Block):
    """A block of the decoder: add first, then normalise."""

    def forward(self, x: Tensor, record: Record = NOTHING) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same."""
        x = self.layer_norm1(x + self.self_attn(x, record=record))
        x = self.layer_norm2(x + self.mlp(x))
        return x


class CLIPSegEncoder(nn.Module):
    """A stack of encoder blocks, one tower of CLIP."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        depth: int,
        activation: str,
        eps: float,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            CLIPSegEncoderLayer(width, heads, hidden, activation, eps, dropout)
            for _ in range(depth)
        )

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        record: Record = NOTHING,
    ) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same, through all blocks."""
        for layer in self.layers:
            record.see(x)
            x = layer(x, mask, causal, record)
        record.see(x)
        return x

    def extract(self, x: Tensor, blocks: tuple[int, ...]) -> list[Tensor]:
        """Return the outputs of the named ``blocks``, ascending; blocks after them are not run."""
        outputs = []
        for i, layer in enumerate(self.layers[: max(blocks) + 1]):
            x = layer(x)
            if i in blocks:
                outputs.append(x)
        return outputs
