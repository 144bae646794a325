"""Start values that let the small vision tower learn from few images.

A transformer must learn which tokens are neighbours, and from few images it learns that
slowly. Here the positions start as sines and cosines in the last channels, and each head of
the lower blocks starts out looking at one neighbour, as a 3 x 3 convolution does (the idea of
d'Ascoli et al., "ConViT", https://arxiv.org/abs/2103.10697). All of it is free to be unlearned.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation

PERIODS = (40.0, 16.0, 8.0, 4.0)  # in patches; the shortest tells neighbours apart
SHARPNESS = 2.6
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))
BLOCKS = {0: 1, 1: 1, 2: 1, 3: 2}  # block: how many patches away its heads look


def _waves(side: int) -> Tensor:
    """Return (side * side, 4 * periods): sine and cosine of rows, then of columns."""
    at = torch.arange(side, dtype=torch.float32)
    angle = 2 * math.pi * at[:, None] / torch.tensor(PERIODS)
    one = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
    rows = one[:, None].expand(side, side, -1)
    columns = one[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def _turn(offset: tuple[int, int]) -> Tensor:
    """Return the matrix that moves `_waves` of a patch to those of the patch at an offset."""
    blocks = []
    for steps in offset:
        for period in PERIODS:
            angle = 2 * math.pi * steps / period
            blocks.append(
                torch.tensor(
                    [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
                )
            )
    return torch.block_diag(*blocks)


@torch.no_grad()
def set_start_values(model: CLIPSegForImageSegmentation) -> None:
    """Fill a new model's parameters in place, with torch's global random state."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5 * 0.7)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.3)
    vision = model.clip.vision_model
    embeddings = vision.embeddings
    nn.init.normal_(embeddings.patch_embedding.weight, std=192**-0.5)
    nn.init.normal_(embeddings.class_embedding, std=0.5)
    waves = _waves(embeddings.side)
    count = waves.shape[1]
    width = embeddings.position_embedding.embedding_dim
    embeddings.position_embedding.weight.zero_()
    embeddings.position_embedding.weight[1:, width - count :] = waves
    embeddings.patch_embedding.weight[width - count :] = 0
    for block in vision.encoder.layers:  # what is written leaves the positions nearly clean
        for out in (block.self_attn.out_proj, block.mlp.fc2):
            out.weight *= 0.6
            out.weight[width - count :] *= 0.1
    for number, away in BLOCKS.items():
        attention = vision.encoder.layers[number].self_attn
        size = width // attention.heads
        if size < count:
            raise ValueError(f"a head has {size} channels, fewer than {count} that tell positions")
        for head in range(attention.heads):
            rows = slice(head * size, head * size + count)
            dy, dx = NEIGHBOURS[head % len(NEIGHBOURS)]
            for projection, turn in (
                (attention.q_proj, _turn((dy * away, dx * away))),
                (attention.k_proj, torch.eye(count)),
            ):
                projection.weight[rows] *= 0.15
                projection.weight[rows, width - count :] = SHARPNESS * turn
    nn.init.constant_(model.decoder.film_mul.bias, 1.0)
    nn.init.constant_(model.decoder.transposed_convolution.bias, -2.0)
