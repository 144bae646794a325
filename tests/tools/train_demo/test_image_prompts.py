"""What image prompts run through is trained alone; the rest of the checkpoint stays as it is."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.loading import load
from train_demo import image_prompts
from train_demo.pool import Pool, make_chunk

OPTIONS = ["--scenes", "6", "--references", "4", "--held-out", "4", "--checks", "1", "--steps", "2"]
OPTIONS += ["--prompts", "3"]
TRAINED = {
    "clip.vision_model.post_layernorm.weight",
    "clip.vision_model.post_layernorm.bias",
    "clip.visual_projection.weight",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(image_prompts, "BATCH", 3)
    monkeypatch.setattr(image_prompts, "build_pool", lambda _, *some: Pool(**make_chunk(some)))
    return shutil.copytree(locate("demo"), tmp_path / "demo")


def test_only_image_prompts_change(folder, tmp_path, capsys):
    before = load_file(folder / "model.safetensors")
    before = {name: weight.clone() for name, weight in before.items()}
    assert image_prompts.main([*OPTIONS, "--work", str(tmp_path), "--folder", str(folder)]) == 0
    after = load_file(folder / "model.safetensors")
    assert {n for n in before if not torch.equal(before[n], after[n])} == TRAINED
    assert {x.dtype for x in after.values()} == {torch.float16}
    lines = [json.loads(x) for x in capsys.readouterr().out.splitlines() if x.startswith("{")]
    assert [[*line] for line in lines] == [["before"], ["words"], ["step", "loss", "image_iou"]]
    old, new = load("demo", device="cpu"), load(folder, device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(old.embed(["rings"]), new.embed(["rings"]))
    features = old.encode([image]).reduced, new.encode([image]).reduced
    assert all(torch.equal(one, other) for one, other in zip(*features, strict=True))
    assert not np.allclose(old.embed([image]), new.embed([image]))


def test_regression_gives_tokens_the_vectors_that_are_wanted(folder):
    model = image_prompts.CLIPSegForImageSegmentation.from_pretrained(folder)
    projection = image_prompts.Projection(model)
    tokens = torch.randn(400, 128, generator=torch.Generator().manual_seed(0))
    wanted = projection(tokens).detach().roll(1, dims=1)
    before = (projection(tokens) - wanted).abs().mean()
    projection.regress(tokens, wanted)
    assert (projection(tokens) - wanted).abs().mean() < before / 10
