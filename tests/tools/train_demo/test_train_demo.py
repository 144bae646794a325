"""The training of the bundled checkpoint: its batches tell the truth, and it can be resumed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_clipseg.engine.loading import load
from scenes.layout import COLOUR_NAMES, KINDS, SIZE_NAMES
from scenes.scenes import make_scene, truth_mask
from train_demo.__main__ import main, parse
from train_demo.batches import Sampler, class_truth
from train_demo.pool import Pool, make_chunk, patch_moments
from train_demo.trainer import Trainer

SCENES = 30
OPTIONS = [
    "--steps",
    "6",
    "--dense-steps",
    "2",
    "--scenes",
    "2",
    "--prompts",
    "2",
    "--references",
    "2",
    "--warmup",
    "2",
]
SIDES = ["--sides", "4:144"]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(**make_chunk((0, SCENES)))


def trainer(pool: Pool) -> Trainer:
    args = parse([*OPTIONS, *SIDES])
    return Trainer(args, torch.device("cpu"), torch.from_numpy(patch_moments(pool, 8)))


@pytest.mark.parametrize("seed", [0, 3, 4, 9, 14])
def test_pool_keeps_the_truth_of_scenes(pool: Pool, seed: int) -> None:
    scene = make_scene(seed)
    options = [(None, *range(len(names))) for names in (KINDS, COLOUR_NAMES, SIZE_NAMES)]
    for kind, colour, size in itertools.product(*options):
        said = (
            None if kind is None else KINDS[kind],
            None if colour is None else COLOUR_NAMES[colour],
            None if size is None else SIZE_NAMES[size],
        )
        found = class_truth(pool.classes[seed], kind, colour, size)
        assert np.array_equal(found, truth_mask(scene, *said)), said


def test_sizes_are_asked_for_where_they_have_words(pool: Pool) -> None:
    sampler, asked = Sampler(pool, 1), 0
    for step in range(30):
        batch = sampler.draw(step, 4, prompts=4)
        for row, text, (kind, colour, size), truth in zip(
            batch.asked, batch.texts, batch.meant, batch.truths, strict=True
        ):
            words = {"small": ("small", "little", "tiny"), "large": ("large", "big")}
            assert (size > 0) == any(w in text.split() for ws in words.values() for w in ws), text
            if size:
                asked += 1
                assert any(w in text.split() for w in words[SIZE_NAMES[size - 1]])
                of_all = class_truth(
                    batch.classes[row], kind - 1, None if colour == 0 else colour - 1
                )
                other = class_truth(
                    batch.classes[row], kind - 1, None if colour == 0 else colour - 1, 2 - size
                )
                assert np.array_equal(of_all, truth | other), text
    assert asked > 20


def test_pictures_grow_as_told(pool: Pool) -> None:
    one = trainer(pool)
    sides = []
    for step in range(7):
        one.step = step
        sides.append(one.side)
    assert sides == [128] * 4 + [144] * 3


def test_resumed_training_is_the_same_training(pool: Pool, tmp_path: Path) -> None:
    sampler, whole = Sampler(pool, 1), trainer(pool)
    start = {name: value.clone() for name, value in whole.model.state_dict().items()}
    for _ in range(3):
        whole.train_step(sampler)
    whole.save(tmp_path / "state.pt")
    resumed = trainer(pool)
    resumed.load(tmp_path / "state.pt")
    assert resumed.step == 3
    for part in ("model", "average", "heads"):
        for name, value in getattr(whole, part).state_dict().items():
            assert torch.equal(getattr(resumed, part).state_dict()[name], value), (part, name)
    for _ in range(2):
        losses = whole.train_step(sampler)
        # Muon makes much of a gradient's smallest parts, and so of how sums were rounded.
        assert resumed.train_step(sampler) == pytest.approx(losses, rel=1e-3, abs=1e-5)
    for name, value in whole.model.state_dict().items():
        assert not value.is_floating_point() or not torch.equal(value, start[name]), name


def test_a_run_writes_a_folder_that_loads(tmp_path: Path) -> None:
    work, folder = tmp_path / "work", tmp_path / "folder"
    options = [*OPTIONS, *SIDES, f"--pool={SCENES}", "--validation=32", "--save-every=3"]
    places = ["--work", str(work), "--folder", str(folder)]
    assert main([*options, *places]) == 0
    rows = [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 6
    assert {"text", "image", "kind", "size", "text_iou", "image_iou"} <= set(rows[-1])
    engine = load(folder, device="cpu")
    maps = engine.decode(engine.encode([make_scene(0).image]), engine.embed(["large rings"]))
    assert maps.shape == (1, 1, 144, 144)
    # All done: nothing is trained again, and the log stays.
    assert main([*options, *places, "--resume"]) == 0
    assert len((work / "training_log.jsonl").read_text().splitlines()) == len(rows)
