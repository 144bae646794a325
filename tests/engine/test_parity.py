from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import parity
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from parity import PUBLIC, SIZES, TEXT, compare

BOUND = 1e-4
SMALL = [size for size in SIZES if size not in PUBLIC]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("size", SIZES)
def test_compare_finds_the_logits_of_the_reference(size):
    # Not pytest's folder: it keeps three runs of what has 600 MB here.
    texts = TEXT[:1] if size in PUBLIC else TEXT  # batches do not depend on the size
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        checks = list(compare(size, Path(folder), texts=texts))
    side = 352 if size in PUBLIC else 96
    shape = (len(texts), side, side)
    assert [(c.prompt, c.shape) for c in checks] == [("text", shape), ("image", shape)]
    for check in checks:
        assert check.difference <= BOUND, check


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("clip.text_model.embeddings.position_embedding.weight", "text"),
        ("clip.text_model.final_layer_norm.weight", "text"),
        ("clip.text_projection.weight", "text"),
        ("clip.vision_model.embeddings.position_embedding.weight", "image"),
        ("clip.vision_model.post_layernorm.bias", "image"),
        ("clip.visual_projection.weight", "image"),
        ("decoder.film_mul.weight", "text"),
        ("decoder.reduces.0.weight", "text"),
        ("decoder.layers.2.mlp.fc1.weight", "image"),
        ("decoder.transposed_convolution.weight", "image"),
    ],
)
def test_compare_finds_a_weight_that_is_1_percent_off(
    name, prompt, monkeypatch, checkpoint, reference
):
    load = CLIPSegForImageSegmentation.from_pretrained

    def load_wrongly(folder):
        network = load(folder)
        parameter = network.get_parameter(name)
        parameter.data = 1.01 * parameter.data
        return network

    folder, model = checkpoint("small"), reference()  # while they can still be written
    monkeypatch.setattr(parity, "write_random_checkpoint", lambda *_: model)
    monkeypatch.setattr(parity.CLIPSegForImageSegmentation, "from_pretrained", load_wrongly)
    differences = {c.prompt: c.difference for c in compare("small", folder)}
    assert differences[prompt] > BOUND


@pytest.mark.parametrize("size", SMALL)
def test_decode_gives_each_prompt_its_own_logits(size, checkpoint):
    from napari_clipseg.engine.loading import load

    engine = load(checkpoint(size))
    random = np.random.default_rng(0)
    image, first, second = random.integers(0, 256, (3, 50, 60, 3), dtype=np.uint8)
    prompts = ["red rings", "nuclei", "a photo of red rings", first, second]
    logits = engine.decode(engine.encode([image]), engine.embed(prompts))[0]
    for i, one in enumerate(logits):
        for other in logits[:i]:
            assert np.abs(one - other).max() > 10 * BOUND * np.abs(logits).max()


@pytest.mark.parametrize("side", [64, 80, 96, 160], ids="{}".format)
def test_logits_of_images_of_any_size_are_those_of_the_reference(side, checkpoint, reference):
    # 64 is what the position embeddings are for; the others have them interpolated.
    ours = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))
    random = torch.Generator().manual_seed(side)
    images = torch.randn(2, 3, side, side, generator=random)
    examples = torch.randn(2, 3, side, side, generator=random)
    with torch.inference_mode():
        got = ours(pixel_values=images, conditional_pixel_values=examples)
        wanted = reference()(
            pixel_values=images,
            conditional_pixel_values=examples,
            interpolate_pos_encoding=True,
        )
    difference = (got.logits - wanted.logits).abs().max() / wanted.logits.abs().max()
    assert difference <= BOUND
    torch.testing.assert_close(got.conditional_embeddings, wanted.conditional_embeddings)


def test_main_prints_a_row_for_each_size_and_prompt(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["parity.py", "small", "small-refined"])
    parity.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[:3] for row in rows] == [
        [f"| {size}", prompt, "3 x 96 x 96"]
        for size in ("small", "small-refined")
        for prompt in ("text", "image")
    ]
    assert all(float(row.split(" | ")[3].rstrip(" |")) <= BOUND for row in rows)
