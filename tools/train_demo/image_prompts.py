"""Teach the bundled checkpoint its image prompts anew: ``tools/train_demo/image_prompts.py``.

For a change of `visual_prompt`. Only what image prompts alone run through is trained: the last
norm of the vision tower and its projection. Texts, features of images and the decoder stay as they
are, bit for bit. First each reference is to get the vector of its words (ridge regression), then
the masks that the frozen decoder makes of it are to be right, as in the training of the whole.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from napari_clipseg.engine import CLIPSegForImageSegmentation, CLIPTokenizer, ViTImageProcessor
from napari_clipseg.engine.runtime.kernels import use_fast_kernels
from napari_clipseg.images.visual_prompts import visual_prompt
from scenes.layout import COLOUR_NAMES, KINDS
from scenes.prompts import plain_wording
from scenes.scenes import make_scene
from train_demo.aids import mask_loss, pixels, resize
from train_demo.batches import class_truth
from train_demo.pool import LEAST, PAIRS, SIDE, Pool, build_pool, pair_index, reference_mask

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "src" / "napari_clipseg" / "checkpoints" / "demo"
NORM, PROJECTION = "clip.vision_model.post_layernorm", "clip.visual_projection"
CPU = torch.device("cpu")
BATCH = 16
# Of the scenes that references are cut from, in pixels: users' images are larger than the pool's.
SIDES = (128, 128, 192, 256, 384, 512)
MOST_REFERENCES = 3  # cut from one scene
REFERENCE_SEEDS = 100_000  # the first; the pool's count from 0
VALIDATION_SEEDS = 1_000_000
RIDGE = 10.0  # of a sum over thousands of references
ABSENT = 0.25  # of the references are shown to a scene that holds no such thing


@dataclass(frozen=True)
class Seen:
    """What the frozen model sees of a pool.

    Attributes
    ----------
    features : (scenes, extracted layers, tokens, reduce_dim) float16
        Of the pool's scenes, that masks are made of.
    tokens : (references, width) float32
        The class token of each reference, before the last norm.
    pairs : (references,) int64
        What it shows.
    """

    features: Tensor
    tokens: Tensor
    pairs: NDArray[np.int64]


def cut_references(seed: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Cut visual prompts out of a scene of any size, with what they show."""
    rng = np.random.default_rng([seed, 5])
    side = int(rng.choice(SIDES))
    scene = make_scene(seed, shape=(side, side))
    pairs = [pair_index(k, c) for k, c in zip(scene.kinds, scene.colours, strict=True)]
    seen = np.bincount(scene.instances.ravel(), minlength=len(pairs) + 1)[1:]
    large = [n * (SIDE / side) ** 2 >= LEAST for n in seen]
    for pair in rng.permutation(sorted({p for p, n in zip(pairs, large, strict=True) if n})):
        chosen = [i + 1 for i, p in enumerate(pairs) if p == pair and large[i]]
        yield visual_prompt(scene.image, reference_mask(rng, scene.instances, chosen)), int(pair)


@torch.inference_mode()
def look(
    model: CLIPSegForImageSegmentation,
    processor: ViTImageProcessor,
    pool: Pool,
    seeds: Sequence[int],
) -> Seen:
    """Run the frozen parts once: on the pool's scenes, and on references from other scenes."""
    vision, layers = model.clip.vision_model, model.config.extract_layers
    features, tokens, pairs = [], [], []
    for first in range(0, len(pool), BATCH):
        x = pixels(np.array(pool.images[first : first + BATCH]), CPU, processor.height)
        reduced = model.decoder.reduce(vision.activations(x, layers))
        features.append(torch.stack(list(reduced), dim=1).half())
    for n, seed in enumerate(seeds):
        for image, pair in islice(cut_references(seed), MOST_REFERENCES):
            x = processor(image)["pixel_values"]
            tokens.append(vision.activations(x, layers)[-1][:, 0])
            pairs.append(pair)
        if n % 100 == 0:
            print(f"references: {n} of {len(seeds)} scenes", flush=True)
    return Seen(torch.cat(features).clone(), torch.cat(tokens).clone(), np.array(pairs))


@torch.inference_mode()
def vectors_of_words(model: CLIPSegForImageSegmentation, folder: Path) -> Tensor:
    """Return (pairs, projection_dim): what each kind in each colour is called, as a vector."""
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    names = [plain_wording(kind, colour) for kind in KINDS for colour in COLOUR_NAMES]
    return torch.cat([model.clip.get_text_features(tokenizer([name]).input_ids) for name in names])


class Projection:
    """The last norm and the projection, which are trained."""

    def __init__(self, model: CLIPSegForImageSegmentation) -> None:
        norm = model.clip.vision_model.post_layernorm
        self.epsilon = norm.eps
        self.weights = {
            f"{NORM}.weight": norm.weight,
            f"{NORM}.bias": norm.bias,
            f"{PROJECTION}.weight": model.clip.visual_projection.weight,
        }
        self.weights = {k: x.detach().clone().requires_grad_() for k, x in self.weights.items()}

    def __call__(self, tokens: Tensor) -> Tensor:
        """Map class tokens to vectors."""
        scale, shift, projection = self.weights.values()
        return F.layer_norm(tokens, tokens.shape[-1:], scale, shift, self.epsilon) @ projection.T

    @torch.no_grad()
    def regress(self, tokens: Tensor, wanted: Tensor) -> None:
        """Move the projection so that tokens get vectors as near to `wanted` as it can."""
        scale, shift, projection = self.weights.values()
        x = F.layer_norm(tokens, tokens.shape[-1:], scale, shift, self.epsilon).double()
        penalty = RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
        missing = wanted.double() - x @ projection.T.double()
        projection += torch.linalg.solve(x.T @ x + penalty, x.T @ missing).T.float()


@dataclass(frozen=True)
class Lesson:
    """Scenes and references, and what the one marks in the other."""

    model: CLIPSegForImageSegmentation
    pool: Pool
    seen: Seen

    def draw(self, rng: np.random.Generator, count: int) -> tuple[list[int], list[int], Tensor]:
        """Return scenes, references and the truths (count, 128, 128)."""
        scenes, references, truths = [], [], []
        areas = np.asarray(self.pool.areas).sum(-1)
        while len(scenes) < count:
            reference = int(rng.integers(len(self.seen.pairs)))
            kind, colour = divmod(int(self.seen.pairs[reference]), len(COLOUR_NAMES))
            area = areas[:, kind, colour]
            fits = np.flatnonzero(area == 0 if rng.random() < ABSENT else area >= LEAST)
            if len(fits):
                scene = int(rng.choice(fits))
                scenes.append(scene)
                references.append(reference)
                truths.append(class_truth(np.asarray(self.pool.classes[scene]), kind, colour))
        return scenes, references, torch.from_numpy(np.stack(truths))

    def logits(self, scenes: list[int], vectors: Tensor) -> Tensor:
        """Return (prompts, 128, 128): the frozen decoder's answers."""
        reduced = self.seen.features[scenes].float().unbind(1)
        side = round((reduced[0].shape[1] - 1) ** 0.5)
        found = self.model.decoder.segment(list(reduced), vectors, (side, side))
        return resize(found[:, None], SIDE)[:, 0]

    @torch.inference_mode()
    def iou(self, projection: Projection, batches: int) -> float:
        """Return the mean IoU, at probability 0.5, of things that are there."""
        scores = []
        for n in range(batches):
            scenes, references, truths = self.draw(np.random.default_rng([7, n]), BATCH)
            found = self.logits(scenes, projection(self.seen.tokens[references])) > 0
            for mask, truth in zip(found, truths, strict=True):
                if truth.any():
                    scores.append(float((mask & truth).sum() / (mask | truth).sum()))
        return float(np.mean(scores))


def train(projection: Projection, lesson: Lesson, check: Lesson, args: argparse.Namespace) -> None:
    """Make the masks right, at a rate that falls to 0."""
    optimiser = torch.optim.Adam(projection.weights.values(), lr=args.lr)
    losses: list[float] = []
    for step in range(args.steps):
        optimiser.param_groups[0]["lr"] = args.lr * (1 - step / args.steps)
        rng = np.random.default_rng([args.seed, step])
        scenes, references, truths = lesson.draw(rng, args.prompts)
        vectors = projection(lesson.seen.tokens[references])
        loss = mask_loss(lesson.logits(scenes, vectors), truths.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 50 == 0 or step + 1 == args.steps:
            row = {"step": step + 1, "loss": float(np.mean(losses))}
            row["image_iou"] = check.iou(projection, args.checks)
            print(json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)
            losses.clear()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seed", type=int, default=1)
    add("--work", type=Path, default=Path("train-output"), help="pools of scenes")
    add("--folder", type=Path, default=FOLDER, help="the checkpoint folder to change")
    add("--scenes", type=int, default=1500, help="that masks are made of")
    add("--references", type=int, default=2000, help="scenes that references are cut from")
    add("--held-out", type=int, default=300, help="scenes of both to follow progress on")
    add("--checks", type=int, default=20, help="batches of the validation scenes")
    add("--steps", type=int, default=500)
    add("--prompts", type=int, default=16, help="a step")
    add("--lr", type=float, default=2e-3)
    add("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Train, and change three tensors of the checkpoint."""
    args = parse(arguments)
    torch.set_num_threads(args.threads)
    model = CLIPSegForImageSegmentation.from_pretrained(args.folder).requires_grad_(False)
    use_fast_kernels(model)
    processor = ViTImageProcessor.from_pretrained(args.folder)
    lessons = []
    for name, first, scenes, references, count in (
        ("scenes", 0, args.scenes, REFERENCE_SEEDS, args.references),
        (
            "held-out",
            VALIDATION_SEEDS,
            args.held_out,
            VALIDATION_SEEDS + args.held_out,
            args.held_out,
        ),
    ):
        pool = build_pool(args.work / f"image-prompts-{name}", first, scenes)
        seeds = range(references, references + count)
        lessons.append(Lesson(model, pool, look(model, processor, pool, seeds)))
    lesson, check = lessons
    projection = Projection(model)
    print(json.dumps({"before": round(check.iou(projection, args.checks), 4)}), flush=True)
    words = vectors_of_words(model, args.folder)
    assert len(words) == PAIRS
    projection.regress(lesson.seen.tokens, words[lesson.seen.pairs])
    print(json.dumps({"words": round(check.iou(projection, args.checks), 4)}), flush=True)
    train(projection, lesson, check, args)
    path = args.folder / "model.safetensors"
    state = load_file(path)
    for key, weight in projection.weights.items():
        state[key] = weight.detach().to(state[key].dtype).contiguous()
    part = path.with_suffix(".part")  # the old file is still mapped
    save_file(state, part, metadata={"format": "pt"})
    part.chmod(0o644)  # it was written for its owner alone
    os.replace(part, path)
    print(f"wrote {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
