"""A pool of scenes made beforehand by worker processes, and the batches drawn from it.

Drawing a scene takes longer than a core can spare while it trains, so training reads a pool on
disk and never waits. A scene of the pool is seen again in eight poses and with other prompts.
"""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo_prompts import foreign_wording, wording
from demo_scenes import COLOUR_NAMES, KINDS, PHOTO_COLOURS, POLARITIES, STYLES, make_scene
from napari_clipseg.images.references import visual_prompt

SIDE = 128
LEAST = 12  # pixels; what shows less is neither asked for nor said to be absent
PAIRS = len(KINDS) * len(COLOUR_NAMES)
CHUNK = 200


@dataclass(frozen=True)
class Pool:
    """Scenes as arrays, one row a scene.

    Attributes
    ----------
    images : (scenes, 128, 128, 3) uint8
    classes : (scenes, 128, 128) uint8
        0 for nothing, else 1 + kind * number of colours + colour.
    areas : (scenes, kinds, colours) int32
        Visible pixels.
    styles : (scenes,) uint8
    hardness : (scenes,) float32
    references : (scenes, 128, 128, 3) uint8
        For each scene one visual prompt cut from it.
    reference_pairs : (scenes,) int16
        What the reference shows: kind * number of colours + colour; -1 for nothing.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    areas: NDArray[np.int32]
    styles: NDArray[np.uint8]
    hardness: NDArray[np.float32]
    references: NDArray[np.uint8]
    reference_pairs: NDArray[np.int16]

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.images)


def pair_index(kind: str, colour: str) -> int:
    """Number a kind and colour together."""
    return KINDS.index(kind) * len(COLOUR_NAMES) + COLOUR_NAMES.index(colour)


def reference_mask(
    rng: np.random.Generator, instances: NDArray[np.uint8], chosen: list[int]
) -> NDArray[np.bool_]:
    """Mark what a user might point at: one thing, several, or a rectangle around one."""
    one = int(rng.choice(chosen))
    way = rng.random()
    if way < 0.35:
        return np.isin(instances, chosen)
    mask = np.asarray(instances == one)
    if way > 0.7:
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        mask = np.zeros_like(mask)
        mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return mask


def _make_chunk(job: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
    first, count = job
    rows: dict[str, list[object]] = {name: [] for name in Pool.__dataclass_fields__}
    for seed in range(first, first + count):
        scene = make_scene(seed)
        pairs = [pair_index(k, c) for k, c in zip(scene.kinds, scene.colours, strict=True)]
        classes = np.array([0, *(1 + p for p in pairs)], np.uint8)[scene.instances]
        areas = np.bincount(classes.ravel(), minlength=PAIRS + 1)[1:]
        rng = np.random.default_rng([seed, 1])
        seen = np.bincount(scene.instances.ravel(), minlength=len(pairs) + 1)
        shown = sorted({p for i, p in enumerate(pairs) if seen[i + 1] >= LEAST})
        reference, pair = np.zeros((SIDE, SIDE, 3), np.uint8), -1
        if shown:
            pair = int(rng.choice(shown))
            chosen = [i + 1 for i, p in enumerate(pairs) if p == pair and seen[i + 1] >= LEAST]
            cut = visual_prompt(scene.image, reference_mask(rng, scene.instances, chosen))
            reference = np.asarray(
                Image.fromarray(cut).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            )
        rows["images"].append(scene.image)
        rows["classes"].append(classes)
        rows["areas"].append(areas.reshape(len(KINDS), -1))
        rows["styles"].append(STYLES.index(scene.style))
        rows["hardness"].append(scene.hardness)
        rows["references"].append(reference)
        rows["reference_pairs"].append(pair)
    kinds_of_number = {"areas": np.int32, "hardness": np.float32, "reference_pairs": np.int16}
    return {n: np.array(v, kinds_of_number.get(n, np.uint8)) for n, v in rows.items()}


def build_pool(folder: Path, first: int, count: int, workers: int | None = None) -> Pool:
    """Make `count` scenes of the seeds from `first` on, or open those made before.

    Each array is one ``.npy`` file, read as a memory map. The folder is written under another
    name and moved when it is whole.
    """
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        part.mkdir(parents=True)
        jobs = [(s, min(CHUNK, first + count - s)) for s in range(first, first + count, CHUNK)]
        arrays: dict[str, np.memmap] = {}
        # One thread a worker: the matrices are small, and threads would wait for each other.
        os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        with multiprocessing.get_context("spawn").Pool(workers or os.cpu_count()) as processes:
            at = 0
            for rows in processes.imap(_make_chunk, jobs):
                for name, values in rows.items():
                    if name not in arrays:
                        arrays[name] = np.lib.format.open_memmap(
                            part / f"{name}.npy", "w+", values.dtype, (count, *values.shape[1:])
                        )
                    arrays[name][at : at + len(values)] = values
                at += len(rows["images"])
                print(f"pool: {at} of {count} scenes", flush=True)
        for array in arrays.values():
            array.flush()
        part.rename(folder)
    names = Pool.__dataclass_fields__
    return Pool(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names})


def patch_moments(pool: Pool, patch: int, scenes: int = 400) -> NDArray[np.float64]:
    """Return E[x x'] of a patch's values 0 to 1, ordered as a convolution's weights are."""
    x = pool.images[:: max(1, len(pool) // scenes)].astype(np.float64) / 255
    x = (x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    cells = SIDE // patch
    x = x.reshape(-1, cells, patch, cells, patch, 3).transpose(0, 1, 3, 5, 2, 4)
    x = x.reshape(-1, 3 * patch * patch)
    return x.T @ x / len(x)


def pose(array: NDArray[np.uint8], which: int) -> NDArray[np.uint8]:
    """Turn and mirror one (height, width, ...) array into one of eight poses."""
    array = np.rot90(array, which % 4)
    return array[:, ::-1] if which >= 4 else array


@dataclass(frozen=True)
class Batch:
    """Scenes with what is asked of them.

    Attributes
    ----------
    images, classes : as in `Pool`
    asked : (prompts,) int64
        Which scene each prompt is asked of.
    texts : list of str
        One a prompt.
    meant : (prompts, 2) int64
        Kind and colour that each text means, as 1 + index; 0 for any, or for neither.
    truths : (prompts, 128, 128) bool
    references : (references, 128, 128, 3) uint8
    reference_texts : list of str
        What each reference shows, in words.
    reference_asked, reference_of : (image prompts,) int64
        Which scene, and which reference.
    reference_truths : (image prompts, 128, 128) bool
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    asked: NDArray[np.int64]
    texts: list[str]
    meant: NDArray[np.int64]
    truths: NDArray[np.bool_]
    references: NDArray[np.uint8]
    reference_pairs: NDArray[np.int64]
    reference_texts: list[str]
    reference_asked: NDArray[np.int64]
    reference_of: NDArray[np.int64]
    reference_truths: NDArray[np.bool_]


class Sampler:
    """Draws batches from a pool; the same step of the same seed gives the same batch."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool = pool
        self.seed = seed
        self.by_hardness = np.argsort(pool.hardness)
        by_pair = [np.flatnonzero(pool.reference_pairs == pair) for pair in range(PAIRS)]
        self.with_pair = by_pair

    def draw(
        self,
        step: int,
        scenes: int,
        *,
        prompts: int = 0,
        references: int = 0,
        hardest: float = 1.0,
    ) -> Batch:
        """Draw `scenes` scenes up to a share `hardest` of the pool, `prompts` texts for each."""
        pool, rng = self.pool, np.random.default_rng([self.seed, step])
        among = self.by_hardness[: max(scenes, int(hardest * len(pool)))]
        rows = np.sort(rng.choice(among, scenes, replace=False))
        poses = rng.integers(8, size=scenes)
        images = np.stack([pose(pool.images[r], p) for r, p in zip(rows, poses, strict=True)])
        classes = np.stack([pose(pool.classes[r], p) for r, p in zip(rows, poses, strict=True)])
        asked, texts, meant, truths = [], [], [], []
        for i, row in enumerate(rows):
            for _ in range(prompts):
                absent = rng.random() < 0.25
                kind, colour, text = self._ask(rng, int(row), absent)
                asked.append(i)
                texts.append(text)
                meant.append([0 if n is None else n + 1 for n in (kind, colour)])
                truths.append(_truth(classes[i], kind, colour))
        shown, pairs = self._references(rng, rows, references)
        reference_asked, reference_of, reference_truths = [], [], []
        for j, pair in enumerate(pairs):
            kind, colour = divmod(int(pair), len(COLOUR_NAMES))
            areas = pool.areas[rows, kind, colour]
            there = np.flatnonzero(areas >= LEAST)
            gone = rng.permutation(np.flatnonzero(areas == 0))[:1]
            for i in (*there, *gone):
                reference_asked.append(i)
                reference_of.append(j)
                reference_truths.append(_truth(classes[i], kind, colour))
        empty = np.zeros((0, SIDE, SIDE), bool)
        named = [divmod(int(pair), len(COLOUR_NAMES)) for pair in pairs]
        return Batch(
            images,
            classes,
            np.array(asked, np.int64),
            texts,
            np.array(meant, np.int64).reshape(-1, 2),
            np.stack(truths) if truths else empty,
            shown,
            np.array(pairs, np.int64),
            [wording(rng, KINDS[k], COLOUR_NAMES[c]) for k, c in named],
            np.array(reference_asked, np.int64),
            np.array(reference_of, np.int64),
            np.stack(reference_truths) if reference_truths else empty,
        )

    def _references(
        self, rng: np.random.Generator, rows: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.uint8], list[int]]:
        """Choose references to what the scenes hold, cut from any scenes."""
        shown, pairs = [], []
        for _ in range(50 * count):
            if len(pairs) == count:
                break
            kinds, colours = np.nonzero(self.pool.areas[rng.choice(rows)] >= LEAST)
            if not len(kinds):
                continue
            pick = rng.integers(len(kinds))
            pair = int(kinds[pick]) * len(COLOUR_NAMES) + int(colours[pick])
            if not len(self.with_pair[pair]):
                continue
            source = rng.choice(self.with_pair[pair])
            shown.append(pose(self.pool.references[source], int(rng.integers(8))))
            pairs.append(pair)
        return np.stack(shown) if shown else np.zeros((0, SIDE, SIDE, 3), np.uint8), pairs

    def _ask(
        self, rng: np.random.Generator, row: int, absent: bool
    ) -> tuple[int | None, int | None, str]:
        """Draw something that a scene has, or has not; as indices (None: any) and a wording."""
        areas = self.pool.areas[row]
        gray = STYLES[self.pool.styles[row]] == "micrograph"
        near = [COLOUR_NAMES.index(c) for c in (POLARITIES if gray else PHOTO_COLOURS)]
        draw = rng.random()
        if absent and draw < 0.15:
            return -1, None, foreign_wording(rng)
        if draw < 0.5:
            options = [(k, None, areas[k].sum()) for k in range(len(KINDS))]
        elif draw < 0.65:
            options = [(None, c, areas[:, c].sum()) for c in near]
        else:
            here = areas.sum(1) > 0, areas.sum(0) > 0
            options = [
                (k, c, areas[k, c])
                for k in range(len(KINDS))
                for c in near
                if not absent or here[0][k] or here[1][c]
            ]
        if absent and gray and rng.random() < 0.1:  # no colour is in a gray picture
            options = [(k, COLOUR_NAMES.index(c), 0) for k in range(6) for c in PHOTO_COLOURS[:7]]
        fits = [o for o in options if (o[2] == 0 if absent else o[2] >= LEAST)]
        if not fits:
            return -1, None, foreign_wording(rng)
        kind, colour, _ = fits[rng.integers(len(fits))]
        text = wording(
            rng,
            None if kind is None else KINDS[kind],
            None if colour is None else COLOUR_NAMES[colour],
        )
        return kind, colour, text


def _truth(classes: NDArray[np.uint8], kind: int | None, colour: int | None) -> NDArray[np.bool_]:
    """Mark the pixels of a kind and a colour (None: any; kind -1: what no scene has)."""
    table = np.zeros((len(KINDS), len(COLOUR_NAMES)), bool)
    if kind != -1:
        table[slice(None) if kind is None else kind, slice(None) if colour is None else colour] = 1
    return np.concatenate([[False], table.ravel()])[classes]
