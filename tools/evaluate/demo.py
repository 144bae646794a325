"""Print the model card's table: ``python tools/evaluate/demo.py [--update-card]``.

Each map is measured as the model gives it, and with its edges pulled to those of the image, as
the dock does unless told otherwise (``segment(..., refine_edges=True)``). Three sets of scenes that
training never saw: validation (seeds from 1 million; the threshold is chosen on them), test (from
2 million; every figure printed), and references (from 3 million; what image prompts are cut from).
Every figure is a mean over the test set's blocks, with the spread between the blocks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data
from skimage.filters import sobel
from skimage.segmentation import watershed

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.images.edges.refine import refine_edges
from napari_clipseg.images.tiling.plan import Tile
from napari_clipseg.images.tiling.stitch import on_pixels, sigmoid
from napari_clipseg.images.visual_prompts import visual_prompt
from napari_clipseg.segmentation import segment
from scenes.layout import KINDS
from scenes.other_scenes import make_other_scene
from scenes.prompts import plain_wording, prompts_for
from scenes.scenes import Scene, make_scene, truth_mask
from train_demo.pool import LEAST, reference_mask

FOLDER = Path(__file__).parents[2] / "src" / "napari_clipseg" / "checkpoints" / "demo"
VALIDATION, TEST, REFERENCES = 1_000_000, 2_000_000, 3_000_000
THRESHOLDS = tuple(round(0.05 * n, 2) for n in range(2, 19))
TABLE_START, TABLE_END = "<!-- table: python tools/evaluate/demo.py -->", "<!-- end of table -->"
Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Scores = list[tuple[float, ...]]  # alone, and with edges followed
WAYS = (False, True)  # whether edges are followed


@dataclass(frozen=True)
class Answer:
    """One prompt on one scene: what was right, and how probable the model found each pixel."""

    row: str
    scene: Scene
    truth: Mask
    probability: Floats


def overlap(found: Mask, truth: Mask) -> float:
    """Return intersection over union; 1 where both are empty."""
    union = int((found | truth).sum())
    return int((found & truth).sum()) / union if union else 1.0


def answer(
    engine: Engine, images: Sequence[NDArray[np.uint8]], vectors: Floats
) -> NDArray[np.float32]:
    """Return (images, prompts, height, width) probabilities of images of one size."""
    logits = engine.decode(engine.encode(images), vectors)
    height, width = images[0].shape[:2]
    whole = Tile(0, 0, height, width), slice(0, height), slice(0, width)
    return sigmoid(np.stack([on_pixels(one, *whole) for one in logits]))


def reference_bank(count: int) -> dict[tuple[str, str], list[NDArray[np.uint8]]]:
    """Cut visual prompts from scenes of their own, by what they show."""
    bank: dict[tuple[str, str], list[NDArray[np.uint8]]] = defaultdict(list)
    for seed in range(REFERENCES, REFERENCES + count):
        scene = make_scene(seed)
        rng = np.random.default_rng([seed, 1])
        seen = np.bincount(scene.instances.ravel(), minlength=len(scene.kinds) + 1)[1:]
        pairs = list(zip(scene.kinds, scene.colours, strict=True))
        for pair in dict.fromkeys(pairs):
            chosen = [i + 1 for i, p in enumerate(pairs) if p == pair and seen[i] >= LEAST]
            if chosen:
                mask = reference_mask(rng, scene.instances, chosen)
                bank[pair].append(visual_prompt(scene.image, mask))
    return bank


def ask_texts(engine: Engine, scenes: Sequence[Scene]) -> Iterator[Answer]:
    """Ask each scene for all that is in it and as much that is not, in drawn wordings."""
    known: dict[str, Floats] = {}
    for scene in scenes:
        asked = prompts_for(scene, np.random.default_rng([scene.seed, 2]))
        for prompt in asked:
            if prompt.text not in known:
                known[prompt.text] = engine.embed([prompt.text])[0]
        if asked:
            vectors = np.stack([known[p.text] for p in asked])
            for prompt, found in zip(asked, answer(engine, [scene.image], vectors)[0], strict=True):
                yield Answer(prompt.sort, scene, prompt.truth, found)


def ask_references(
    engine: Engine,
    scenes: Sequence[Scene],
    bank: dict[tuple[str, str], list[NDArray[np.uint8]]],
) -> Iterator[Answer]:
    """Ask each scene for one kind and colour in it with an image from another scene."""
    for scene in scenes:
        rng = np.random.default_rng([scene.seed, 3])
        pairs = dict.fromkeys(zip(scene.kinds, scene.colours, strict=True))
        fits = [p for p in pairs if bank.get(p) and truth_mask(scene, *p).sum() >= LEAST]
        if fits:
            pair = fits[rng.integers(len(fits))]
            cut = bank[pair][rng.integers(len(bank[pair]))]
            found = answer(engine, [scene.image], engine.embed([cut]))[0, 0]
            yield Answer("image", scene, truth_mask(scene, *pair), found)


def half_patch(engine: Engine, image: NDArray[np.uint8]) -> int:
    """Return half a patch of the model in pixels of the image, as `segment` refines with."""
    patch = engine.config.vision_config.patch_size * np.sqrt(image[..., 0].size) / max(engine.size)
    return max(1, round(patch / 2))


def scored(
    engine: Engine, image: NDArray[np.uint8], probability: Floats, truth: Mask, threshold: float
) -> tuple[float, ...]:
    """Return the IoU of the map alone, and with edges followed.

    Where nothing is there, the share of pixels that are marked.
    """
    refined = refine_edges(probability[None], image, radius=half_patch(engine, image))[0]
    found = [one > threshold for one in (probability, refined)]
    if not truth.any():
        return tuple(float(mask.mean()) for mask in found)
    return tuple(overlap(mask, truth) for mask in found)


def ask_others(engine: Engine, seeds: Sequence[int], threshold: float) -> tuple[Scores, Scores]:
    """Ask the second generator's scenes: IoU of what is there, and how much else is marked."""
    scores, marked = [], []
    for scene in map(make_other_scene, seeds):
        nothing = np.zeros(scene.image.shape[:2], bool)
        prompts = [*scene.truths, *scene.absent]
        found = answer(engine, [scene.image], engine.embed(prompts))[0]
        for prompt, probability in zip(prompts, found, strict=True):
            truth = scene.truths.get(prompt, nothing)
            score = scored(engine, scene.image, probability, truth, threshold)
            (scores if prompt in scene.truths else marked).append(score)
    return scores, marked


def confusion(engine: Engine, scenes: Sequence[Scene], threshold: float) -> Floats:
    """Return (kinds there, kinds asked) mean IoU of asking for one kind where another lies."""
    vectors = engine.embed([plain_wording(kind, None) for kind in KINDS])
    sums, counts = np.zeros((len(KINDS),) * 2), np.zeros(len(KINDS))
    for scene in scenes:
        found = answer(engine, [scene.image], vectors)[0] > threshold
        for i, kind in enumerate(KINDS):
            truth = truth_mask(scene, kind, None)
            if truth.sum() >= LEAST:
                counts[i] += 1
                sums[i] += [overlap(mask, truth) for mask in found]
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def choose_threshold(answers: Sequence[Answer]) -> float:
    """Return the probability threshold with the best mean IoU on what is there."""
    there = [a for a in answers if a.truth.any()]
    scores = [np.mean([overlap(a.probability > t, a.truth) for a in there]) for t in THRESHOLDS]
    return THRESHOLDS[int(np.argmax(scores))]


def coins_mask() -> Mask:
    """Segment scikit-image's coins classically.

    As its gallery's "Comparing edge-based and region-based segmentation": a watershed of the
    Sobel gradient from the markers below 30 (ground) and above 150 (coins), holes filled.
    """
    coins = data.coins()
    markers = np.where(coins < 30, 1, np.where(coins > 150, 2, 0))
    mask = watershed(sobel(coins), markers) == 2
    return np.asarray(ndimage.binary_fill_holes(mask), bool)


def coins_score(engine: Engine, threshold: float, text: str = "coins") -> tuple[float, ...]:
    """Return both ways' IoU of one text prompt on the coins, asked as users do."""
    coins, truth = data.coins(), coins_mask()
    found = [
        segment(coins, text, model=engine, threshold=threshold, refine_edges=follow)
        for follow in WAYS
    ]
    return tuple(overlap(one.labels > 0, truth) for one in found)


def _level(scene: Scene) -> str:
    return "plain" if scene.hardness < 1 / 3 else "middling" if scene.hardness < 2 / 3 else "hard"


def _line(name: str, blocks: Sequence[Scores], percent: bool = False) -> str:
    scale, unit = (100, " %") if percent else (1, "")
    means = scale * np.array([np.mean(block, axis=0) for block in blocks if block])
    cells = [f"{m:.2f}{unit} ± {s:.2f}" for m, s in zip(means.mean(0), means.std(0), strict=True)]
    return f"| {name} | {' | '.join(cells)} | {sum(map(len, blocks))} |"


def table(engine: Engine, threshold: float, blocks: int, scenes: int, references: int) -> str:
    """Measure the test set and return the card's tables as Markdown."""
    bank = reference_bank(references)
    rows: dict[str, list[Scores]] = defaultdict(lambda: [[] for _ in range(blocks)])
    matrices = []
    for block in range(blocks):
        first = TEST + block * scenes
        tested = [make_scene(seed) for seed in range(first, first + scenes)]
        for a in (*ask_texts(engine, tested), *ask_references(engine, tested, bank)):
            names = [a.row]
            if a.row not in ("absent", "image"):
                names += ["text", a.scene.style, _level(a.scene)]
                names += ["unsized"] if a.row != "size" else []
            score = scored(engine, a.scene.image, a.probability, a.truth, threshold)
            for name in names:
                rows[name][block].append(score)
        others = ask_others(engine, range(first, first + scenes), threshold)
        rows["other"][block], rows["other absent"][block] = others
        matrices.append(confusion(engine, tested, threshold))
    titles = {
        "text": "**text prompts, all**",
        "unsized": "text: kinds and colours, without sizes",
        "kind": 'text: a kind ("rings")',
        "colour": 'text: a colour ("red things")',
        "both": 'text: both ("red rings")',
        "size": 'text: a size too ("large rings", "small red rings")',
        "micrograph": "text, scenes like micrographs",
        "fluorescence": "text, scenes like fluorescence",
        "photo": "text, scenes like photographs",
        "plain": "text, plain scenes",
        "middling": "text, middling scenes",
        "hard": "text, hard scenes",
        "image": "**image prompts**",
    }
    lines = [f"Threshold: {threshold} (chosen on the validation set).", ""]
    lines += [
        "| mean IoU of | the map alone | with edges followed | prompts |",
        "|---|---|---|---|",
    ]
    lines += [_line(title, rows[name]) for name, title in titles.items()]
    lines.append(_line("absent things: pixels marked", rows["absent"], percent=True))
    title = "text, scenes of the second generator (`tools/scenes/other_scenes.py`)"
    lines.append(_line(title, rows["other"]))
    lines.append(_line("its absent things: pixels marked", rows["other absent"], percent=True))
    coins = coins_score(engine, threshold)
    cells = " | ".join(f"{score:.2f}" for score in coins)
    lines.append(f'| `skimage.data.coins()`, text "coins" | {cells} | 1 |')
    lines += ["", "Asked for one kind where another lies (mean IoU with what lies there):", ""]
    lines += ["| lies there \\ asked | " + " | ".join(KINDS) + " |", "|---" * 7 + "|"]
    for kind, row in zip(KINDS, np.mean(matrices, axis=0), strict=True):
        lines.append(f"| {kind} | " + " | ".join(f"{v:.2f}" for v in row) + " |")
    lines += [
        "",
        f"Test set: {blocks} blocks of {scenes} scenes, seeds {TEST} to "
        f"{TEST + blocks * scenes - 1}; ±: standard deviation between blocks. Coins: against a "
        f"watershed of the Sobel gradient.",
    ]
    return "\n".join(lines)


def update_card(folder: Path, text: str, threshold: float) -> None:
    """Write the table between the card's marks, and the threshold into config.json."""
    card = folder / "README.md"
    old = card.read_text(encoding="utf-8")
    before, rest = old.split(TABLE_START)
    after = rest.split(TABLE_END)[1]
    card.write_text(f"{before}{TABLE_START}\n{text}\n{TABLE_END}{after}", encoding="utf-8")
    config = folder / "config.json"
    values = json.loads(config.read_text(encoding="utf-8")) | {"default_threshold": threshold}
    config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Measure, print, and update the card where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--blocks", type=int, default=4, help="of test scenes")
    parser.add_argument("--scenes", type=int, default=150, help="a block")
    parser.add_argument("--references", type=int, default=1000, help="scenes to cut them from")
    parser.add_argument("--validation", type=int, default=300, help="scenes for the threshold")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--update-card", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)  # small tensors: more threads only wait for each other
    engine = load(args.folder)
    seeds = range(VALIDATION, VALIDATION + args.validation)
    threshold = choose_threshold([*ask_texts(engine, [make_scene(s) for s in seeds])])
    text = table(engine, threshold, args.blocks, args.scenes, args.references)
    print(text)
    if args.update_card:
        update_card(args.folder, text, threshold)
        print(f"wrote {args.folder / 'README.md'} and the threshold in config.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
