"""A pool of scenes made beforehand by worker processes.

Drawing a scene takes longer than a core can spare while it trains, so training reads a pool on
disk and never waits.
"""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_clipseg.images.visual_prompts import visual_prompt
from scenes.layout import COLOUR_NAMES, KINDS, SIZE_NAMES, STYLES, size_name
from scenes.scenes import make_scene

SIDE = 128
LEAST = 12  # pixels; what shows less is neither asked for nor said to be absent
PAIRS = len(KINDS) * len(COLOUR_NAMES)
SIZES_AND_NONE = len(SIZE_NAMES) + 1
CHUNK = 200


@dataclass(frozen=True)
class Pool:
    """Scenes as arrays, one row a scene.

    Attributes
    ----------
    images : (scenes, 128, 128, 3) uint8
    classes : (scenes, 128, 128) uint8
        0 for nothing, else 1 + pair * 3 + size, where a pair is kind * number of colours + colour,
        and the size 0 for those without a word, then as in ``SIZE_NAMES``.
    areas : (scenes, kinds, colours, sizes) int32
        Visible pixels.
    styles : (scenes,) uint8
    hardness : (scenes,) float32
    references : (scenes, 128, 128, 3) uint8
        For each scene one visual prompt cut from it.
    reference_pairs : (scenes,) int16
        Which pair the reference shows; -1 for nothing.
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


def size_index(size: str | None) -> int:
    """Number a size's name, 0 for none."""
    return 0 if size is None else 1 + SIZE_NAMES.index(size)


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


def make_chunk(job: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
    first, count = job
    rows: dict[str, list[object]] = {name: [] for name in Pool.__dataclass_fields__}
    for seed in range(first, first + count):
        scene = make_scene(seed)
        pairs = [pair_index(k, c) for k, c in zip(scene.kinds, scene.colours, strict=True)]
        sizes = [size_index(size_name(*one)) for one in zip(scene.kinds, scene.sizes, strict=True)]
        numbers = [1 + SIZES_AND_NONE * p + s for p, s in zip(pairs, sizes, strict=True)]
        classes = np.array([0, *numbers], np.uint8)[scene.instances]
        areas = np.bincount(classes.ravel(), minlength=PAIRS * SIZES_AND_NONE + 1)[1:]
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
        rows["areas"].append(areas.reshape(len(KINDS), -1, SIZES_AND_NONE))
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
            for rows in processes.imap(make_chunk, jobs):
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
