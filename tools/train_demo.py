"""Train the bundled checkpoint from scratch: ``python tools/train_demo.py``.

Two stages, from one seed. First the vision tower alone (in CLIPSeg it comes trained): a linear
head on the extracted tokens names kind and colour at each pixel of the patch, another on the class
token names what a reference shows. Then everything, with text and image prompts mixed and
interpolated (https://arxiv.org/abs/2112.10003, section 3.3), the tower at a lower rate, the heads
as an aside. Scenes go from plain to hard. What is written is a running average of the weights.

``--resume`` goes on from the last saved state; batches depend on seed and step alone.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from demo_curve import plot_log
from demo_folder import make_config, make_tokenizer, write_folder
from demo_pool import PAIRS, SIDE, Batch, Sampler, build_pool, patch_moments
from demo_scenes import COLOUR_NAMES, KINDS
from demo_start import set_start_values
from napari_clipseg.engine.model import CLIPSegForImageSegmentation

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "src" / "napari_clipseg" / "checkpoints" / "demo"
VALIDATION_SEEDS = 1_000_000  # the first; training's count from 0, the test's from 2 million
MEAN = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
STD = torch.tensor((0.229, 0.224, 0.225))[:, None, None]
COLOUR_GRID = 4  # colours are named on 4 x 4 places a patch, kinds on all 8 x 8 pixels


def pixels(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Normalise (n, 128, 128, 3) pictures to (n, 3, 128, 128), as the processor does."""
    x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255
    return (x - MEAN.to(device)) / STD.to(device)


class WhitePatches:
    """Trains the patch embedding in coordinates in which patches are white.

    Nearly all of a patch's energy is its mean colour; edges and corners, which tell a square from a
    triangle, are a hundred times weaker, and learned that much later. With
    M = E[x x'] and P = (M + noise)^(-1/2) the weights are W = V P, and V is what is trained.
    """

    NOISE = 0.01  # of a pixel, in units of the normalised picture, squared

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
        self.kinds = nn.Linear(width * extracted, patch**2 * (len(KINDS) + 1))
        self.colours = nn.Linear(width * extracted, COLOUR_GRID**2 * (len(COLOUR_NAMES) + 1))
        self.pair = nn.Linear(width, PAIRS)
        self.meant = nn.Linear(prompt, len(KINDS) + 1 + len(COLOUR_NAMES) + 1)

    def meaning(self, vectors: Tensor, meant: Tensor) -> Tensor:
        """Return the cross entropy of kind and colour, read off prompts' vectors."""
        kinds, colours = self.meant(vectors).split([len(KINDS) + 1, len(COLOUR_NAMES) + 1], 1)
        return F.cross_entropy(kinds, meant[:, 0]) + F.cross_entropy(colours, meant[:, 1])

    def loss(self, activations: list[Tensor], classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross entropies of kinds and of colours for (n, 128, 128) classes."""
        x = torch.cat(activations, dim=-1)[:, 1:]
        kind = torch.where(classes > 0, (classes - 1) // len(COLOUR_NAMES) + 1, 0)
        colour = torch.where(classes > 0, (classes - 1) % len(COLOUR_NAMES) + 1, 0)
        step = self.patch // COLOUR_GRID
        colour = colour[:, step // 2 :: step, step // 2 :: step]
        weight = torch.ones(len(KINDS) + 1, device=x.device)
        weight[0] = 0.4
        weight[1 + KINDS.index("spots")] = 2.0
        weight[1 + KINDS.index("filaments")] = 1.5
        named = F.cross_entropy(
            self.kinds(x).reshape(-1, len(KINDS) + 1), _patches(kind, self.patch), weight
        )
        coloured = F.cross_entropy(
            self.colours(x).reshape(-1, len(COLOUR_NAMES) + 1), _patches(colour, COLOUR_GRID)
        )
        return named, coloured


def _patches(values: Tensor, patch: int) -> Tensor:
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
        groups = [{"params": tower}, {"params": [*others, *self.heads.parameters()]}]
        self.optimiser = torch.optim.AdamW(
            groups, lr=self.args.lr, betas=(0.9, 0.98), weight_decay=0.05
        )
        self.tokenizer = make_tokenizer()
        self.activations = self.model.clip.vision_model.activations
        if self.args.compile:
            self.activations = torch.compile(self.activations)
        self.step = 0

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
        fall = 0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, done))) / 2
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
        for group, rate in zip(self.optimiser.param_groups, self.rates(), strict=True):
            group["lr"] = rate
        losses = self._losses(batch, dense)
        total = sum(weight * value for weight, value in losses.values())
        self.model.zero_grad(set_to_none=True)
        self.heads.zero_grad(set_to_none=True)
        total.backward()
        self.patches.take_gradient()
        nn.utils.clip_grad_norm_([p for g in self.optimiser.param_groups for p in g["params"]], 1.0)
        self.optimiser.step()
        self.patches.put()
        self._average()
        self.step += 1
        return {name: float(value.detach()) for name, (_, value) in losses.items()}

    def _losses(self, batch: Batch, dense: bool) -> dict[str, tuple[float, Tensor]]:
        scenes = len(batch.images)
        x = pixels(np.concatenate([batch.images, batch.references]), self.device)
        activations = self.activations(x, self.config.extract_layers)
        classes = torch.from_numpy(batch.classes.astype(np.int64)).to(self.device)
        own = [one[:scenes] for one in activations]
        kind, colour = self.heads.loss(own, classes)
        pooled = self.model.clip.vision_model.post_layernorm(activations[-1][scenes:, 0])
        pairs = torch.from_numpy(batch.reference_pairs).to(self.device)
        shown = F.cross_entropy(self.heads.pair(pooled), pairs)
        aside = 1.0 if dense else self.args.dense_weight
        losses = {"kind": (aside, kind), "colour": (0.5 * aside, colour), "shown": (0.1, shown)}
        if dense:
            return losses
        texts = self.tokenizer([*batch.texts, *batch.reference_texts]).input_ids.to(self.device)
        vectors = self.model.clip.get_text_features(texts)
        asked, said = vectors[: len(batch.texts)], vectors[len(batch.texts) :]
        seen = self.model.clip.visual_projection(pooled)
        of = torch.from_numpy(batch.reference_of).to(self.device)
        # A third of the image prompts is the picture alone, the others lie between it and words.
        rng = np.random.default_rng([self.args.seed, self.step, 2])
        share = torch.from_numpy(rng.uniform(0, 1.5, (len(of), 1)).clip(0, 1)).float()
        share = share.to(self.device)
        mixed = share * seen[of] + (1 - share) * said[of]
        rows = torch.from_numpy(np.concatenate([batch.asked, batch.reference_asked]))
        rows = rows.to(self.device)
        truths = torch.from_numpy(np.concatenate([batch.truths, batch.reference_truths]))
        truths = truths.to(self.device).float()
        reduced = [one[rows] for one in self.model.decoder.reduce(own)]
        grid = (SIDE // self.config.vision_config.patch_size,) * 2
        logits = self.model.decoder.segment(reduced, torch.cat([asked, mixed]), grid)
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
def validate(trainer: Trainer, sampler: Sampler, batches: int = 4) -> dict[str, float]:
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
            pixels(batch.images, device), config.extract_layers
        )
        if dense:
            x = torch.cat(activations, dim=-1)[:, 1:]
            found = trainer.heads.kinds(x).reshape(-1, len(KINDS) + 1).argmax(-1).cpu()
            classes = torch.from_numpy(batch.classes.astype(np.int64))
            truth = torch.where(classes > 0, (classes - 1) // len(COLOUR_NAMES) + 1, 0)
            truth = _patches(truth, config.vision_config.patch_size)
            for k in range(len(KINDS)):
                meet[k] += ((found == k + 1) & (truth == k + 1)).sum()
                join[k] += ((found == k + 1) | (truth == k + 1)).sum()
            continue
        reduced = model.decoder.reduce(activations)
        grid = (SIDE // config.vision_config.patch_size,) * 2
        ids = trainer.tokenizer(batch.texts).input_ids.to(device)
        prompts = torch.cat(
            [
                model.clip.get_text_features(ids),
                model.clip.get_image_features(pixels(batch.references, device))[
                    torch.from_numpy(batch.reference_of).to(device)
                ],
            ]
        )
        rows = torch.from_numpy(np.concatenate([batch.asked, batch.reference_asked])).to(device)
        logits = model.decoder.segment([one[rows] for one in reduced], prompts, grid)
        found = (logits > 0).cpu().numpy()
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


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seed", type=int, default=1)
    add("--work", type=Path, default=Path("train-output"), help="pool and saved state")
    add("--folder", type=Path, default=FOLDER, help="the checkpoint folder to write")
    add("--pool", type=int, default=24000, help="scenes made beforehand")
    add("--steps", type=int, default=9000, help="of all stages")
    add("--dense-steps", type=int, default=3000, help="of the vision tower alone")
    add("--scenes", type=int, default=16, help="a step")
    add("--prompts", type=int, default=3, help="texts a scene")
    add("--references", type=int, default=4, help="image prompts a step")
    add("--lr", type=float, default=1e-3)
    add("--tower-rate", type=float, default=0.8, help="of lr, in the last stage")
    add("--dense-weight", type=float, default=1.0, help="of the dense loss in the last stage")
    add("--ramp", type=float, default=0.6, help="share of the steps from plain to all scenes")
    add("--warmup", type=int, default=100)
    add("--average", type=float, default=0.997, help="of the running mean of weights")
    add("--save-every", type=int, default=200)
    add("--threads", type=int, default=0)
    add("--compile", action="store_true", help="compile the vision tower (needs a C++ compiler)")
    add("--resume", action="store_true")
    add("--export-every", type=int, default=0, help="write the folder every so many steps")
    return parser.parse_args(arguments)


def export(trainer: Trainer, log: Path, folder: Path) -> None:
    """Write the checkpoint folder, with the log and its curve."""
    curve = log.with_name("training_curve.png")
    plot_log(log, curve)
    write_folder(folder, trainer.config, trainer.average.state_dict(), [log, curve])
    print(f"wrote {folder}", flush=True)


def main() -> int:
    """Train."""
    args = parse()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads or torch.get_num_threads())  # before the pool limits it
    pool = build_pool(args.work / "pool", 0, args.pool)
    held_out = build_pool(args.work / "validation", VALIDATION_SEEDS, 400)
    sampler, validation = Sampler(pool, args.seed), Sampler(held_out, args.seed)
    patch = make_config().vision_config.patch_size
    trainer = Trainer(args, device, torch.from_numpy(patch_moments(pool, patch)))
    state, log = args.work / "state.pt", args.work / "training_log.jsonl"
    if args.resume and state.exists():
        trainer.load(state)
        print(f"resumed at step {trainer.step}", flush=True)
        rows = [line for line in log.read_text().splitlines() if line]
        kept = [line for line in rows if json.loads(line)["step"] <= trainer.step]
        log.write_text("".join(f"{line}\n" for line in kept))
    else:
        log.write_text("")
    since, sums, seen = time.perf_counter(), dict[str, float](), 0
    while trainer.step < args.steps:
        for name, value in trainer.train_step(sampler).items():
            sums[name] = sums.get(name, 0.0) + value
        seen += 1
        last = trainer.step == args.steps
        if trainer.step % 50 == 0 or last:
            row: dict[str, Any] = {"step": trainer.step}
            row |= {name: round(total / seen, 4) for name, total in sums.items()}
            row["seconds_a_step"] = round((time.perf_counter() - since) / seen, 3)
            if trainer.step % args.save_every == 0 or last:
                row |= {k: round(v, 4) for k, v in validate(trainer, validation).items()}
                trainer.save(state)
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
            since, sums, seen = time.perf_counter(), {}, 0
        if last or (args.export_every and trainer.step % args.export_every == 0):
            export(trainer, log, args.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
