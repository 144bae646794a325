"""The optimiser of the bundled checkpoint's training: Muon for matrices, AdamW for the rest.

Muon (Jordan et al., https://kellerjordan.github.io/posts/muon/) makes each update of a matrix
nearly orthogonal, so that rare directions learn as fast as common ones. Its steps are scaled to the
size of AdamW's (Liu et al., "Muon is scalable for LLM training", https://arxiv.org/abs/2502.16982,
section 2.2), so both take the same rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

WEIGHT_DECAY = 0.05


class Optimiser:
    """Steps two groups of parameters, each at a rate of its own.

    Parameters
    ----------
    groups : sequence of iterables of nn.Parameter
    plain : iterable of nn.Parameter
        Matrices that are no linear maps between hidden layers (embeddings, heads), for AdamW.
    """

    def __init__(
        self, groups: Sequence[Iterable[nn.Parameter]], plain: Iterable[nn.Parameter]
    ) -> None:
        tables = {id(p) for p in plain}
        self.groups = [list(group) for group in groups]
        hidden = [[p for p in g if p.ndim == 2 and id(p) not in tables] for g in self.groups]
        inside = {id(p) for group in hidden for p in group}
        others = [[p for p in g if id(p) not in inside] for g in self.groups]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                [{"params": group} for group in hidden],
                weight_decay=WEIGHT_DECAY,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                [{"params": group} for group in others],
                betas=(0.9, 0.98),
                weight_decay=WEIGHT_DECAY,
            ),
        )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Of all groups."""
        return [p for group in self.groups for p in group]

    def step(self, rates: Sequence[float]) -> None:
        """Change the parameters by their gradients, at each group's rate."""
        for part in self.parts:
            for group, rate in zip(part.param_groups, rates, strict=True):
                group["lr"] = rate
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return what `load_state_dict` takes."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, state: Sequence[dict[str, Any]]) -> None:
        """Go back to a saved state."""
        for part, its in zip(self.parts, state, strict=True):
            part.load_state_dict(its)
