"""The batches that training draws from a pool of scenes, with what is asked of them.

A scene of the pool is seen again in eight poses and with other prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.layout import COLOUR_NAMES, KINDS, PHOTO_COLOURS, POLARITIES, SIZE_NAMES, SIZED, STYLES
from scenes.prompts import foreign_wording, wording
from train_demo.pool import LEAST, PAIRS, SIDE, SIZES_AND_NONE, Pool

SIZED_SHARE = 0.5  # of the prompts to scenes with things whose sizes have words


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
    meant : (prompts, 3) int64
        Kind, colour and size that each text means, as 1 + index; 0 for any, or for neither.
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
                what, text = self._ask(rng, int(row), absent)
                asked.append(i)
                texts.append(text)
                meant.append([0 if n is None else n + 1 for n in what])
                truths.append(class_truth(classes[i], *what))
        shown, pairs = self._references(rng, rows, references)
        reference_asked, reference_of, reference_truths = [], [], []
        for j, pair in enumerate(pairs):
            kind, colour = divmod(int(pair), len(COLOUR_NAMES))
            areas = pool.areas[rows, kind, colour].sum(-1)
            there = np.flatnonzero(areas >= LEAST)
            gone = rng.permutation(np.flatnonzero(areas == 0))[:1]
            for i in (*there, *gone):
                reference_asked.append(i)
                reference_of.append(j)
                reference_truths.append(class_truth(classes[i], kind, colour))
        empty = np.zeros((0, SIDE, SIDE), bool)
        named = [divmod(int(pair), len(COLOUR_NAMES)) for pair in pairs]
        return Batch(
            images,
            classes,
            np.array(asked, np.int64),
            texts,
            np.array(meant, np.int64).reshape(-1, 3),
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
            kinds, colours = np.nonzero(self.pool.areas[rng.choice(rows)].sum(-1) >= LEAST)
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
    ) -> tuple[tuple[int | None, int | None, int | None], str]:
        """Draw something that a scene has, or has not: kind, colour, size (None: any), wording."""
        by_size = self.pool.areas[row]
        areas = by_size.sum(-1)
        gray = STYLES[self.pool.styles[row]] == "micrograph"
        near = [COLOUR_NAMES.index(c) for c in (POLARITIES if gray else PHOTO_COLOURS)]
        draw = rng.random()
        if absent and draw < 0.15:
            return (-1, None, None), foreign_wording(rng)
        sized = _sizes_asked(by_size, near) if rng.random() < SIZED_SHARE else []
        if sized:
            options = sized
        elif draw < 0.5:
            options = [(k, None, None, areas[k].sum()) for k in range(len(KINDS))]
        elif draw < 0.65:
            options = [(None, c, None, areas[:, c].sum()) for c in near]
        else:
            here = areas.sum(1) > 0, areas.sum(0) > 0
            options = [
                (k, c, None, areas[k, c])
                for k in range(len(KINDS))
                for c in near
                if not absent or here[0][k] or here[1][c]
            ]
        if absent and gray and rng.random() < 0.1:  # no colour is in a gray image
            colours = [COLOUR_NAMES.index(c) for c in PHOTO_COLOURS[:7]]
            options = [(k, c, None, 0) for k in range(len(KINDS)) for c in colours]
        fits = [o for o in options if (o[-1] == 0 if absent else o[-1] >= LEAST)]
        if not fits:
            return (-1, None, None), foreign_wording(rng)
        kind, colour, size, _ = fits[rng.integers(len(fits))]
        text = wording(
            rng,
            None if kind is None else KINDS[kind],
            None if colour is None else COLOUR_NAMES[colour],
            None if size is None else SIZE_NAMES[size],
        )
        return (kind, colour, size), text


def _sizes_asked(
    areas: NDArray[np.int32], colours: list[int]
) -> list[tuple[int | None, int | None, int | None, int]]:
    """List kinds, colours and sizes that a scene can be asked for, with their visible pixels.

    Only what is there in sizes that have a word: "large rings" is a question where rings are.
    """
    options: list[tuple[int | None, int | None, int | None, int]] = []
    for kind in map(KINDS.index, SIZED):
        for colour in (None, *colours):
            here = areas[kind].sum(0) if colour is None else areas[kind, colour]
            if here[0] == 0 and here.sum() >= LEAST:
                options += [(kind, colour, n, int(here[1 + n])) for n in range(len(SIZE_NAMES))]
    return options


def class_truth(
    classes: NDArray[np.uint8], kind: int | None, colour: int | None, size: int | None = None
) -> NDArray[np.bool_]:
    """Mark the pixels of a kind, colour and size (None: any; kind -1: what no scene has)."""
    table = np.zeros((len(KINDS), len(COLOUR_NAMES), SIZES_AND_NONE), bool)
    if kind != -1:
        wanted = (slice(None) if n is None else n for n in (kind, colour))
        table[*wanted, slice(None) if size is None else size + 1] = True
    return np.concatenate([[False], table.ravel()])[classes]
