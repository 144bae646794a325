"""The trainer of the bundled checkpoint: one step, its losses, its state, its validation."""

from __future__ import annotations

import argparse
import copy
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from scenes.layout import COLOUR_NAMES, KINDS
from train_demo.aids import (
    Heads,
    WhitePatches,
    by_patch,
    mask_loss,
    named_by_class,
    pixels,
    resize,
)
from train_demo.batches import Batch, Sampler
from train_demo.folder import make_config, make_tokenizer
from train_demo.optimiser import Optimiser
from train_demo.pool import SIDE
from train_demo.start import set_start_values


@dataclass
class Trainer:
    """Everything that a step reads and changes."""

    args: argparse.Namespace
    device: torch.device
    moments: Tensor

    def __post_init__(self) -> None:
        torch.manual_seed(self.args.seed)
        self.config = make_config()
        self.model = CLIPSegForImageSegmentation(self.config)
        set_start_values(self.model)
        vision = self.config.vision_config
        self.heads = Heads(
            vision.hidden_size,
            len(self.config.extract_layers),
            vision.patch_size,
            self.config.projection_dim,
        )
        self.model.to(self.device)
        self.heads.to(self.device)
        embedding = self.model.clip.vision_model.embeddings.patch_embedding.weight
        self.patches = WhitePatches(embedding, self.moments)
        self.patches.set_start_values()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        tower = list(self.model.clip.vision_model.parameters())
        inside = {id(p) for p in tower}
        tower = [self.patches.trained, *(p for p in tower if p is not embedding)]
        others = [p for p in self.model.parameters() if id(p) not in inside]
        heads = list(self.heads.parameters())
        tables = [m.weight for m in self.model.modules() if isinstance(m, nn.Embedding)]
        self.optimiser = Optimiser([tower, [*others, *heads]], [*tables, *heads])
        self.tokenizer = make_tokenizer()
        self.activations = self.model.clip.vision_model.activations
        if self.args.compile:
            self.activations = torch.compile(self.activations)
        self.step = 0

    @property
    def side(self) -> int:
        """Of the images that the model sees at this step: larger ones later."""
        return max((side for first, side in self.args.sides if first <= self.step), default=SIDE)

    def rates(self) -> tuple[float, float]:
        """Return the learning rates of the tower and of the rest at this step."""
        a, dense, total = self.args, self.args.dense_steps, self.args.steps
        if self.step < dense:
            warm = min(1.0, (self.step + 1) / a.warmup)
            # Down to a third: the tower goes on learning in the next stage.
            fall = 2 / 3 + math.cos(math.pi * self.step / dense) / 3
            return a.lr * warm * fall, a.lr * warm * fall
        done = (self.step - dense) / max(1, total - dense)
        warm = min(1.0, (self.step - dense + 1) / a.warmup)
        fall = max(0.01, 1 - done)
        return a.lr * a.tower_rate * warm * fall, a.lr * warm * fall

    def train_step(self, sampler: Sampler) -> dict[str, float]:
        """Do one step of the stage that is on, and return its losses."""
        a = self.args
        dense = self.step < a.dense_steps
        hardest = 0.35 + 0.65 * min(1.0, self.step / (a.ramp * a.steps))
        batch = sampler.draw(
            self.step,
            a.scenes,
            prompts=0 if dense else a.prompts,
            references=a.references,
            hardest=hardest,
        )
        losses = self._losses(batch, dense)
        total = sum(weight * value for weight, value in losses.values())
        self.model.zero_grad(set_to_none=True)
        self.heads.zero_grad(set_to_none=True)
        total.backward()
        self.patches.take_gradient()
        nn.utils.clip_grad_norm_(self.optimiser.parameters, 1.0)
        self.optimiser.step(self.rates())
        self.patches.put()
        self._average()
        self.step += 1
        return {name: float(value.detach()) for name, (_, value) in losses.items()}

    def _losses(self, batch: Batch, dense: bool) -> dict[str, tuple[float, Tensor]]:
        scenes = len(batch.images)
        x = pixels(np.concatenate([batch.images, batch.references]), self.device, self.side)
        activations = self.activations(x, self.config.extract_layers)
        classes = torch.from_numpy(batch.classes.astype(np.int64)).to(self.device)
        own = [one[:scenes] for one in activations]
        kind, colour, size = self.heads.loss(own, classes)
        pooled = self.model.clip.vision_model.post_layernorm(activations[-1][scenes:, 0])
        pairs = torch.from_numpy(batch.reference_pairs).to(self.device)
        shown = F.cross_entropy(self.heads.pair(pooled), pairs)
        aside = 1.0 if dense else self.args.dense_weight
        losses = {"kind": (aside, kind), "colour": (0.5 * aside, colour)}
        losses |= {"size": (0.3 * aside, size), "shown": (0.1, shown)}
        if dense:
            return losses
        texts = self.tokenizer([*batch.texts, *batch.reference_texts]).input_ids.to(self.device)
        vectors = self.model.clip.get_text_features(texts)
        asked, said = vectors[: len(batch.texts)], vectors[len(batch.texts) :]
        seen = self.model.clip.visual_projection(pooled)
        of = torch.from_numpy(batch.reference_of).to(self.device)
        # A third of the image prompts is the image alone, the others lie between it and words.
        rng = np.random.default_rng([self.args.seed, self.step, 2])
        share = torch.from_numpy(rng.uniform(0, 1.5, (len(of), 1)).clip(0, 1)).float()
        share = share.to(self.device)
        mixed = share * seen[of] + (1 - share) * said[of]
        rows = torch.from_numpy(np.concatenate([batch.asked, batch.reference_asked]))
        rows = rows.to(self.device)
        truths = torch.from_numpy(np.concatenate([batch.truths, batch.reference_truths]))
        truths = truths.to(self.device).float()
        reduced = [one[rows] for one in self.model.decoder.reduce(own)]
        grid = (self.side // self.config.vision_config.patch_size,) * 2
        logits = self.model.decoder.segment(reduced, torch.cat([asked, mixed]), grid)
        logits = resize(logits[:, None], SIDE)[:, 0]
        losses["text"] = (1.0, mask_loss(logits[: len(asked)], truths[: len(asked)]))
        losses["image"] = (0.5, mask_loss(logits[len(asked) :], truths[len(asked) :]))
        # The words are to be told apart before the masks need it.
        meant = torch.from_numpy(batch.meant).to(self.device)
        shows = torch.stack([pairs // len(COLOUR_NAMES) + 1, pairs % len(COLOUR_NAMES) + 1], 1)
        losses["meant"] = (0.1, self.heads.meaning(asked, meant))
        losses["seen"] = (0.1, self.heads.meaning(seen, shows))
        # A reference is to mean what its words mean to the decoder.
        losses["meet"] = (0.2, F.mse_loss(seen, said.detach()))
        scale = self.model.clip.logit_scale.clamp(max=4.0).exp()
        alike = scale * F.normalize(seen, dim=-1) @ F.normalize(said, dim=-1).T
        same = (pairs[:, None] == pairs[None]).float()
        same = same / same.sum(1, keepdim=True)
        losses["clip"] = (0.05, F.cross_entropy(alike, same))
        return losses

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(self.args.average, (self.step + 1) / (self.step + 10))
        if self.step == self.args.dense_steps:
            keep = 0.0
        for mean, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)

    def save(self, path: Path) -> None:
        """Write the state so that a crash leaves the old or the new one, never half."""
        part = path.with_suffix(".part")
        torch.save(
            {
                "step": self.step,
                "model": self.model.state_dict(),
                "heads": self.heads.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "patches": self.patches.trained,
            },
            part,
        )
        os.replace(part, path)

    def load(self, path: Path) -> None:
        """Go back to a saved state."""
        state = torch.load(path, map_location=self.device)
        self.step = state["step"]
        self.patches.trained.data = state["patches"]
        for name in ("model", "heads", "average", "optimiser"):
            getattr(self, name).load_state_dict(state[name])


@torch.no_grad()
def validate(trainer: Trainer, sampler: Sampler, batches: int) -> dict[str, float]:
    """Return mean IoUs at probability 0.5 on validation scenes, of text and image prompts.

    In the first stage: the mean over kinds of the head's IoU.
    """
    config, device = trainer.config, trainer.device
    dense = trainer.step <= trainer.args.dense_steps
    model = trainer.model if dense else trainer.average
    meet, join = torch.zeros(len(KINDS)), torch.zeros(len(KINDS))
    text, image, marked = [], [], []
    for n in range(batches):
        batch = sampler.draw(n, 32, prompts=0 if dense else 4, references=16)
        activations = model.clip.vision_model.activations(
            pixels(batch.images, device, trainer.side), config.extract_layers
        )
        if dense:
            x = torch.cat(activations, dim=-1)[:, 1:]
            found = trainer.heads.kinds(x).reshape(-1, len(KINDS) + 1).argmax(-1).cpu()
            classes = torch.from_numpy(batch.classes.astype(np.int64))
            truth = by_patch(named_by_class(classes)[0], config.vision_config.patch_size)
            for k in range(len(KINDS)):
                meet[k] += ((found == k + 1) & (truth == k + 1)).sum()
                join[k] += ((found == k + 1) | (truth == k + 1)).sum()
            continue
        reduced = model.decoder.reduce(activations)
        grid = (trainer.side // config.vision_config.patch_size,) * 2
        ids = trainer.tokenizer(batch.texts).input_ids.to(device)
        prompts = torch.cat(
            [
                model.clip.get_text_features(ids),
                model.clip.get_image_features(pixels(batch.references, device, trainer.side))[
                    torch.from_numpy(batch.reference_of).to(device)
                ],
            ]
        )
        rows = torch.from_numpy(np.concatenate([batch.asked, batch.reference_asked])).to(device)
        logits = model.decoder.segment([one[rows] for one in reduced], prompts, grid)
        found = (resize(logits[:, None], SIDE)[:, 0] > 0).cpu().numpy()
        truths = np.concatenate([batch.truths, batch.reference_truths])
        for i, (mask, truth) in enumerate(zip(found, truths, strict=True)):
            if truth.any():
                iou = (mask & truth).sum() / (mask | truth).sum()
                (text if i < len(batch.texts) else image).append(iou)
            elif i < len(batch.texts):
                marked.append(mask.mean())
    if dense:
        each = meet / join.clamp(min=1)
        scores = {f"dense_{k}": float(v) for k, v in zip(KINDS, each, strict=True)}
        return {"dense_iou": float(each.mean())} | scores
    return {
        "text_iou": float(np.mean(text)),
        "image_iou": float(np.mean(image)),
        "absent_marked": float(np.mean(marked)),
    }
