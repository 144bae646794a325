"""How many threads PyTorch computes with."""

from __future__ import annotations

import torch


def use_threads(count: int) -> None:
    """Let this process compute with so many threads, so that several do not fight for the cores."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
