"""The checkpoint that comes with the package: whole, small, and right on plain scenes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_clipseg.engine.checkpoints.locate import CHECKPOINTS
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.segmentation import segment
from scenes.layout import KINDS, SIZE_NAMES, SIZED
from scenes.prompts import plain_wording
from scenes.scenes import Scene, make_scene, truth_mask

FOLDER = CHECKPOINTS / "demo"
# Seeds that nothing was trained or chosen on, of another million than the card's table.
SCENES = 20
FIRST = 5_000_000
LEAST = 12  # pixels
WHEEL_LIMIT = 8_000_000


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load("demo", device="cpu")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(seed, hardness=0.1) for seed in range(FIRST, FIRST + SCENES)]


def overlaps(engine: Engine, scene: Scene, texts: list[str], kinds: list[str]) -> np.ndarray:
    """Return (texts, kinds) IoU of what each text marks with where each kind lies."""
    found = segment(scene.image, texts, model=engine).probability > engine.config.default_threshold
    truths = [truth_mask(scene, kind, None) for kind in kinds]
    return np.array([[(f & t).sum() / max(1, (f | t).sum()) for t in truths] for f in found])


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "vocab.json",
        "merges.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "preprocessor_config.json",
        "model.safetensors",
        "README.md",
        "training_log.jsonl",
        "training_curve.png",
    ],
)
def test_folder_is_whole(name: str) -> None:
    assert (FOLDER / name).stat().st_size > 0


def test_folder_is_small() -> None:
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) <= WHEEL_LIMIT


def test_threshold_stands_in_the_config(engine: Engine) -> None:
    values = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    assert 0 < values["default_threshold"] < 1
    assert engine.config.default_threshold == values["default_threshold"]


def test_plain_scenes_and_right_words(engine: Engine, scenes: list[Scene]) -> None:
    texts = [plain_wording(kind, None) for kind in KINDS]
    right: dict[str, list[float]] = {kind: [] for kind in KINDS}
    wrong: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for scene in scenes:
        scores = overlaps(engine, scene, texts, list(KINDS))
        for i, kind in enumerate(KINDS):
            if truth_mask(scene, kind, None).sum() >= LEAST:
                right[kind].append(scores[i, i])
                wrong[kind].append(np.delete(scores[:, i], i))
    every = [score for kind in KINDS for score in right[kind]]
    assert np.mean(every) >= 0.5
    for kind in KINDS:
        assert np.mean(right[kind]) > np.mean(wrong[kind], axis=0).max(), kind


def test_sizes_are_told_apart(engine: Engine) -> None:
    right, wrong = [], []
    for seed in range(FIRST, FIRST + SCENES):
        scene = make_scene(seed, hardness=0.1, two_sizes=True)
        for kind in SIZED:
            truths = [truth_mask(scene, kind, None, size) for size in SIZE_NAMES]
            if min(truth.sum() for truth in truths) < LEAST:
                continue
            texts = [plain_wording(kind, None, size) for size in SIZE_NAMES]
            found = segment(scene.image, texts, model=engine).probability
            for i, mask in enumerate(found > engine.config.default_threshold):
                scores = [(mask & t).sum() / max(1, (mask | t).sum()) for t in truths]
                right.append(scores[i])
                wrong.append(scores[1 - i])
    assert len(right) >= 10
    assert np.mean(right) > 2 * np.mean(wrong)  # half learned, see the card
