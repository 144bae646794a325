from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from napari_clipseg.engine.modeling.tower_configs import CLIPSegVisionConfig
from napari_clipseg.engine.modeling.vision import CLIPSegVisionModel

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
SMALL |= {"num_attention_heads": 2, "image_size": 32, "patch_size": 8}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = CLIPSegVisionModel(CLIPSegVisionConfig(**SMALL)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@torch.inference_mode()
def test_positions_at_the_trained_size_are_the_weights(model):
    embeddings = model.embeddings
    torch.testing.assert_close(embeddings.positions(4, 4), embeddings.position_embedding.weight)


@pytest.mark.parametrize("grid", [(8, 8), (2, 2), (3, 7), (1, 9)], ids=str)
@torch.inference_mode()
def test_positions_of_other_grids_are_interpolated(grid, model):
    weight = model.embeddings.position_embedding.weight
    positions = model.embeddings.positions(*grid)
    assert positions.shape == (1 + grid[0] * grid[1], 16)
    torch.testing.assert_close(positions[0], weight[0])
    for channel in range(16):
        plane = weight[1:, channel].reshape(1, 1, 4, 4)
        wanted = F.interpolate(plane, grid, mode="bicubic", align_corners=False)[0, 0]
        torch.testing.assert_close(positions[1:, channel].reshape(grid), wanted)


@torch.inference_mode()
def test_embeddings_read_patches_row_by_row(model):
    embeddings = model.embeddings
    image = torch.zeros(1, 3, 32, 32)
    ground = embeddings(image)
    image[:, :, 8:16, 24:32] = 1  # second row, fourth column
    changed = (embeddings(image) - ground).abs().sum(-1)[0]
    assert changed.nonzero().flatten().tolist() == [1 + 1 * 4 + 3]


@torch.inference_mode()
def test_activations_are_the_outputs_of_the_blocks(model):
    image = torch.randn(2, 3, 40, 24, generator=torch.Generator().manual_seed(0))
    x = model.pre_layrnorm(model.embeddings(image))
    outputs = []
    for layer in model.encoder.layers:
        x = layer(x)
        outputs.append(x)
    first, last = model.activations(image, (0, 2))
    torch.testing.assert_close(first, outputs[0])
    torch.testing.assert_close(last, outputs[2])
    assert first.shape == (2, 1 + 5 * 3, 16)
    torch.testing.assert_close(model(image).last_hidden_state, last)


@torch.inference_mode()
def test_vision_model_pools_at_the_class_token(model):
    out = model(torch.ones(1, 3, 32, 32))
    wanted = model.post_layernorm(out.last_hidden_state)[:, 0]
    torch.testing.assert_close(out.pooler_output, wanted)


@pytest.mark.parametrize(
    ("size", "grid"), [((8, 8), (1, 1)), ((15, 16), (1, 2)), ((100, 33), (12, 4))], ids=str
)
def test_grid_counts_whole_patches(size, grid, model):
    assert model.embeddings.grid(*size) == grid


@pytest.mark.parametrize("size", [(7, 50), (50, 7)], ids=str)
def test_grid_refuses_images_without_a_whole_patch(size, model):
    with pytest.raises(ValueError, match=r"smaller than a patch of 8 x 8\. Enlarge it"):
        model(torch.zeros(1, 3, *size))
