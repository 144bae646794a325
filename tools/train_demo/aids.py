"""What helps the bundled checkpoint to learn and is no part of it: heads, losses, patches."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scenes.layout import COLOUR_NAMES, KINDS, SIZE_NAMES
from train_demo.pool import PAIRS, SIZES_AND_NONE

MEAN = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
STD = torch.tensor((0.229, 0.224, 0.225))[:, None, None]
COLOUR_GRID = 4  # colours and sizes are named on 4 x 4 places a patch, kinds on all 8 x 8 pixels
NAMED = (len(KINDS) + 1, len(COLOUR_NAMES) + 1, len(SIZE_NAMES) + 1)


def pixels(images: NDArray[np.uint8], device: torch.device, side: int) -> Tensor:
    """Bring (n, 128, 128, 3) images to (n, 3, side, side) numbers, as the processor does."""
    x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
    return resize((x - MEAN.to(device)) / STD.to(device), side)


def resize(x: Tensor, side: int) -> Tensor:
    """Resize (n, channels, height, width) bilinearly, as Pillow does."""
    if x.shape[-1] == side:
        return x
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True)


class WhitePatches:
    """Trains the patch embedding in coordinates in which patches are white.

    Nearly all of a patch's energy is its mean colour; edges and corners, which tell a square from a
    triangle, are a hundred times weaker, and learned that much later. With
    M = E[x x'] and P = (M + noise)^(-1/2) the weights are W = V P, and V is what is trained.
    """

    NOISE = 0.01  # of a pixel, in units of the normalised image, squared

    def __init__(self, weight: Tensor, moments: Tensor) -> None:
        values, vectors = torch.linalg.eigh(moments + self.NOISE * torch.eye(len(moments)))
        self.whiten = (vectors * values**-0.5 @ vectors.T).float().to(weight.device)
        unwhiten = (vectors * values**0.5 @ vectors.T).float().to(weight.device)
        self.weight = weight
        self.trained = nn.Parameter(weight.detach().flatten(1) @ unwhiten)

    def set_start_values(self) -> None:
        """Let each channel that read a patch read a random direction of white patches."""
        used = self.weight.detach().flatten(1).abs().sum(1, keepdim=True) > 0
        self.trained.data = torch.randn_like(self.trained) * len(self.whiten) ** -0.5 * used
        self.put()

    def take_gradient(self) -> None:
        """Bring the weights' gradient to the trained coordinates."""
        assert self.weight.grad is not None
        self.trained.grad = self.weight.grad.flatten(1) @ self.whiten

    @torch.no_grad()
    def put(self) -> None:
        """Bring what was trained to the weights."""
        self.weight.copy_((self.trained @ self.whiten).view_as(self.weight))


class Heads(nn.Module):
    """Name what each pixel shows, and what a prompt means; used in training only."""

    def __init__(self, width: int, extracted: int, patch: int, prompt: int) -> None:
        super().__init__()
        self.patch = patch
        kinds, colours, sizes = NAMED
        self.kinds = nn.Linear(width * extracted, patch**2 * kinds)
        self.colours = nn.Linear(width * extracted, COLOUR_GRID**2 * colours)
        self.sizes = nn.Linear(width * extracted, COLOUR_GRID**2 * sizes)
        self.pair = nn.Linear(width, PAIRS)
        self.meant = nn.Linear(prompt, sum(NAMED))

    def meaning(self, vectors: Tensor, meant: Tensor) -> Tensor:
        """Return the summed cross entropies of what is `meant`, read off prompts' vectors."""
        named = self.meant(vectors).split(NAMED, 1)
        columns = zip(named, meant.unbind(1), strict=False)  # references mean no size
        return torch.stack([F.cross_entropy(one, its) for one, its in columns]).sum()

    def loss(self, activations: list[Tensor], classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the cross entropies of kinds, colours and sizes for (n, 128, 128) classes."""
        x = torch.cat(activations, dim=-1)[:, 1:]
        side = math.isqrt(x.shape[1]) * self.patch
        if side != classes.shape[-1]:
            classes = F.interpolate(classes[:, None].float(), (side, side))[:, 0].long()
        kind, colour, size = named_by_class(classes)
        step = self.patch // COLOUR_GRID
        coarse = (slice(None), *(slice(step // 2, None, step),) * 2)
        weight = torch.ones(NAMED[0], device=x.device)
        weight[0] = 0.4
        weight[1 + KINDS.index("spots")] = 2.0
        weight[1 + KINDS.index("filaments")] = 1.5
        found = [head(x) for head in (self.kinds, self.colours, self.sizes)]
        found = [one.reshape(-1, n) for one, n in zip(found, NAMED, strict=True)]
        return (
            F.cross_entropy(found[0], by_patch(kind, self.patch), weight),
            F.cross_entropy(found[1], by_patch(colour[coarse], COLOUR_GRID)),
            F.cross_entropy(found[2], by_patch(size[coarse], COLOUR_GRID)),
        )


def named_by_class(classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split a pool's classes into kind, colour and size, each 1 + its index; 0 for nothing.

    The size of a thing whose size has no word is 0 too.
    """
    pair, size = (classes - 1) // SIZES_AND_NONE, (classes - 1) % SIZES_AND_NONE
    kind, colour = pair // len(COLOUR_NAMES) + 1, pair % len(COLOUR_NAMES) + 1
    there = classes > 0
    return kind * there, colour * there, size * there


def by_patch(values: Tensor, patch: int) -> Tensor:
    """Order (n, height, width) patch by patch, to one axis."""
    n, height, width = values.shape
    x = values.reshape(n, height // patch, patch, width // patch, patch)
    return x.permute(0, 1, 3, 2, 4).reshape(-1)


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return cross entropy plus Dice; an empty truth has no Dice."""
    pixelwise = F.binary_cross_entropy_with_logits(logits, truth)
    probability = logits.sigmoid()
    both = (probability * truth).sum((1, 2))
    dice = 1 - (2 * both + 1) / (probability.sum((1, 2)) + truth.sum((1, 2)) + 1)
    there = (truth.sum((1, 2)) > 0).float()
    return pixelwise + 0.5 * (dice * there).sum() / there.sum().clamp(min=1)
