"""What the three transformers of CLIPSeg are built from: attention, MLP, blocks, encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# Standard deviation of new embeddings, as in CLIP: PyTorch's default of 1 would hide the patches.
INITIAL_STD = 0.02
QUICK_GELU_SLOPE = 1.702


def initial_values(*shape: int) -> Tensor:
    """Return start values for embeddings: normally distributed, with `INITIAL_STD`.

    ``trunc_normal_`` with its far limits (100 standard deviations) is the same as ``normal_``
    here, but cheaper to call: models are built on the meta device before weights are loaded, and
    there ``normal_`` and ``randn`` import PyTorch's compiler, up to a second and 90 MB.
    """
    return nn.init.trunc_normal_(torch.empty(shape), std=INITIAL_STD)


def new_embedding(rows: int, width: int) -> nn.Embedding:
    """Return an embedding with `initial_values`; `nn.Embedding` itself calls ``normal_``."""
    embedding: nn.Embedding = nn.Embedding.from_pretrained(
        initial_values(rows, width), freeze=False
    )
    return embedding


def quick_gelu(x: Tensor) -> Tensor:
    """Approximate GELU as CLIP was trained with it: ``x * sigmoid(1.702 x)``.

    Hendrycks and Gimpel, "Gaussian Error Linear Units", https://arxiv.org/abs/1606.08415,
    section 2.
    """
    return x * torch.sigmoid(QUICK_GELU_SLOPE * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "quick_gelu": quick_gelu,
    "gelu": F.gelu,
    "relu": F.relu,
}


class Record:
    """Collects intermediate results on the way through the blocks, where they are wanted.

    Parameters
    ----------
    hidden_states, attentions : bool
        What to collect.
    """

    def __init__(self, hidden_states: bool = False, attentions: bool = False) -> None:
        self._hidden_states: list[Tensor] | None = [] if hidden_states else None
        self._attentions: list[Tensor] | None = [] if attentions else None

    @property
    def wants_attentions(self) -> bool:
        """Whether attention weights are collected."""
        return self._attentions is not None

    @property
    def hidden_states(self) -> tuple[Tensor, ...] | None:
        """The tokens that were added, in order; None if they are not collected."""
        return None if self._hidden_states is None else tuple(self._hidden_states)

    @property
    def attentions(self) -> tuple[Tensor, ...] | None:
        """The attention weights that were added, in order; None if they are not collected."""
        return None if self._attentions is None else tuple(self._attentions)

    def add_hidden_state(self, x: Tensor) -> None:
        """Add tokens ``(batch, tokens, width)``, if they are collected."""
        if self._hidden_states is not None:
            self._hidden_states.append(x)

    def add_attention(self, weights: Tensor) -> None:
        """Add attention weights ``(batch, heads, tokens, tokens)``, if they are collected."""
        if self._attentions is not None:
            self._attentions.append(weights)


NOTHING = Record()


class CLIPSegAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al., https://arxiv.org/abs/1706.03762, 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        record: Record = NOTHING,
    ) -> Tensor:
        """Let each token attend to the others: ``(batch, tokens, width)`` to the same shape.

        ``mask`` is True where a token may attend, broadcast to
        ``(batch, heads, tokens, tokens)``; with ``causal`` it attends to itself and earlier ones.
        """
        q, k, v = (
            # (batch, tokens, width) -> (batch, heads, tokens, width / heads)
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projected in self.projected(x)
        )
        dropout = self.dropout if self.training else 0.0
        if record.wants_attentions:
            # The output is made of the recorded weights, so that gradients reach them.
            weights = F.dropout(_attention_weights(q, k, mask, causal), dropout)
            record.add_attention(weights)
            out = weights @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=causal)
        # (batch, heads, tokens, width / heads) -> (batch, tokens, width)
        merged: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return merged

    def projected(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values: ``(batch, tokens, width)`` each."""
        return self.q_proj(x), self.k_proj(x), self.v_proj(x)


def _attention_weights(q: Tensor, k: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Return ``(batch, heads, tokens, tokens)``, which PyTorch's fused attention does not give."""
    # (batch, heads, tokens, width / heads) twice -> (batch, heads, tokens, tokens)
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights: Tensor = scores.softmax(dim=-1)
    return weights


class CLIPSegMLP(nn.Module):
    """Two linear layers with an activation between them, applied to each token alone."""

    def __init__(self, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        out: Tensor = self.fc2(self.activation(self.fc1(x)))
        return out


class _Block(nn.Module):
    """The parts of a transformer block; the subclasses apply them, each in its own order."""

    def __init__(
        self, width: int, heads: int, hidden: int, activation: str, eps: float, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.self_attn = CLIPSegAttention(width, heads, dropout)
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.mlp = CLIPSegMLP(width, hidden, activation)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)


class CLIPSegEncoderLayer(_Block):
    """A block of CLIP's towers: normalize before attention and MLP, then add."""

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        record: Record = NOTHING,
    ) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        x = x + self.self_attn(self.layer_norm1(x), mask, causal, record)
        x = x + self.mlp(self.layer_norm2(x))
        return x


class CLIPSegDecoderLayer(_Block):
    """A block of the decoder: add first, then normalize."""

    def forward(self, x: Tensor, record: Record = NOTHING) -> Tensor:
        """Map ``(batch, tokens, width)`` to the same shape."""
        x = self.layer_norm1(x + self.self_attn(x, record=record))
        x = self.layer_norm2(x + self.mlp(x))
        return x


class Blocks(nn.Module):
    """A stack of blocks, whose activations can be recomputed instead of kept for the gradients."""

    gradient_checkpointing = False

    def run(self, block: nn.Module, record: Record, *arguments: Any) -> Tensor:
        """Call one of the blocks; ``record`` is its last argument.

        Only while training, and not if attention weights are recorded: they are kept in any case,
        and are most of what a block needs.
        """
        if self.gradient_checkpointing and self.training and not record.wants_attentions:
            return checkpoint(block, *arguments, record, use_reentrant=False)  # type: ignore[no-any-return]
        out: Tensor = block(*arguments, record)
        return out


class CLIPSegEncoder(Blocks):
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
        """Map ``(batch, tokens, width)`` to the same shape, through all blocks."""
        for layer in self.layers:
            record.add_hidden_state(x)
            x = self.run(layer, record, x, mask, causal)
        record.add_hidden_state(x)
        return x

    def extract(self, x: Tensor, blocks: tuple[int, ...]) -> list[Tensor]:
        """Return the outputs of ``blocks``, ascending; later blocks are not run."""
        outputs = []
        for i, layer in enumerate(self.layers[: max(blocks) + 1]):
            x = layer(x)
            if i in blocks:
                outputs.append(x)
        return outputs
