"""The reference's own check of the published weights: the same numbers come out here.

Needs `CIDAS/clipseg-rd64-refined` and an image of COCO; docs/engine.md says how to run it.
The numbers are those of the integration test of CLIPSeg in ``transformers``.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor

pytestmark = [pytest.mark.real_weights, pytest.mark.timeout(600)]

WEIGHTS = "NAPARI_CLIPSEG_REFINED"
IMAGE = "NAPARI_CLIPSEG_CATS"
DATASET, NAME = "hf-internal-testing/fixtures-coco", "val2017/000000039769.jpg"

TEXTS = ["a cat", "a remote", "a blanket"]
LOGITS = [[-7.4613, -7.4785, -7.3628], [-7.3268, -7.0899, -7.1333], [-6.9838, -6.7900, -6.8913]]
VECTOR = [0.5601, -0.0314, 0.1980]
BOUND = 1e-3


@pytest.fixture(scope="module")
def folder():
    try:
        return locate(os.environ.get(WEIGHTS, "CIDAS/clipseg-rd64-refined"))
    except CheckpointError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def image():
    """Two cats, two remotes and a blanket: COCO val2017 000000039769."""
    path = os.environ.get(IMAGE)
    if path is None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            path = hf_hub_download(DATASET, NAME, repo_type="dataset", local_files_only=True)
        except LocalEntryNotFoundError:
            pytest.skip(f"{DATASET} has not been downloaded, and {IMAGE} names no image")
    return Image.open(path).convert("RGB")


def test_model_gives_the_numbers_of_the_reference(folder, image):
    model = CLIPSegForImageSegmentation.from_pretrained(folder)
    processor = CLIPSegProcessor.from_pretrained(folder)
    inputs = processor(text=TEXTS, images=[image] * len(TEXTS), padding=True)
    with torch.inference_mode():
        outputs = model(**inputs)
    assert outputs.logits.shape == (3, 352, 352)
    np.testing.assert_allclose(outputs.logits[0, :3, :3], LOGITS, rtol=BOUND, atol=BOUND)
    np.testing.assert_allclose(
        outputs.conditional_embeddings[0, :3], VECTOR, rtol=BOUND, atol=BOUND
    )


def test_engine_gives_the_numbers_of_the_reference(folder, image):
    engine = load(folder, device="cpu")
    vectors = engine.embed(TEXTS)
    logits = engine.decode(engine.encode([np.asarray(image)]), vectors)
    assert logits.shape == (1, 3, 352, 352)
    np.testing.assert_allclose(logits[0, 0, :3, :3], LOGITS, rtol=BOUND, atol=BOUND)
    np.testing.assert_allclose(vectors[0, :3], VECTOR, rtol=BOUND, atol=BOUND)
