from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.decoding import Decoding, Pixels, component_maps
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.rendering import Appearance, resolve

NOISE = np.random.default_rng(0).integers(0, 256, (5, 150, 170), dtype=np.uint8)


def pixels(image, axes=None, **appearance):
    reader = as_source(image, axes=axes).open()
    return Pixels.of(reader, resolve(reader, Appearance(**appearance)))


CHANNELS = {
    "gray": (NOISE[0], None, {}, 1),
    "RGB": (NOISE[:3].transpose(1, 2, 0), "yxs", {}, 3),
    "two channels": (NOISE[:2], "cyx", {}, 3),
    "five channels": (NOISE, "cyx", {}, 5),
    "one shown of five": (NOISE, "cyx", {"channels": [2]}, 5),
    "a colormap": (NOISE[0], None, {"colormap": np.eye(3, dtype=np.uint8) * 255}, 3),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_channels_that_pixels_are_judged_by(name):
    image, axes, appearance, count = CHANNELS[name]
    found = pixels(image, axes, **appearance)
    assert found.count == count
    part = found.read(0, (), slice(3, 40), slice(5, 60), wanted=count)
    assert part.shape == (37, 55, count)
    assert part.dtype == np.uint8


def test_channels_that_are_not_shown_come_last():
    found = pixels(NOISE, "cyx", channels=[4])
    part = found.read(0, (), slice(0, 150), slice(0, 170), wanted=found.count)
    for place, channel in enumerate([4, 0, 1, 2, 3]):
        assert np.corrcoef(part[..., place].ravel(), NOISE[channel].ravel())[0, 1] > 0.99


def test_gray_stands_for_colors_without_any():
    found = pixels(NOISE[0])
    found.require(1)
    found.require(3)
    with pytest.raises(ValueError, match="judges pixels by 4 channels, and the image has 1"):
        found.require(4)
    part = found.read(0, (), slice(0, 9), slice(0, 9), wanted=3)
    assert (part == part[..., :1]).all()


def test_filtered_pixels_of_a_part_are_those_of_the_whole():
    found = pixels(NOISE[:3], "cyx")
    whole = found.responses(0, (), slice(0, 150), slice(0, 170), wanted=3)
    part = found.responses(0, (), slice(70, 90), slice(100, 131), wanted=3)
    np.testing.assert_array_equal(part, whole[70:90, 100:131])


def test_prompts_that_are_not_learned_are_decoded_as_the_engine_does(engine):
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    features = engine.encode([image])
    decoding = Decoding(engine, ["a", "b"])
    assert not decoding.judges
    assert not decoding.needs_regions
    wanted = engine.decode(features, engine.embed(["a", "b"]))
    np.testing.assert_array_equal(decoding.tile_maps(features), wanted)


def test_components_are_projections_enlarged_to_the_tile(engine):
    rng = np.random.default_rng(1)
    features = engine.encode(list(rng.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)))
    patches = features.patches()
    components = np.concatenate([patches.mean(axis=0)[None], np.eye(patches.shape[1])[:2]])
    rows, columns = features.grid
    maps = component_maps(features, components.astype(np.float32), (rows, columns))
    assert maps.shape == (2, 2, rows, columns)
    wanted = (patches - patches.mean(axis=0))[:, :2].reshape(2, rows, columns, 2)
    np.testing.assert_allclose(maps, wanted.transpose(0, 3, 1, 2), rtol=1e-4, atol=1e-5)
    large = component_maps(features, components.astype(np.float32), (4 * rows, 6 * columns))
    assert large.shape == (2, 2, 4 * rows, 6 * columns)


def test_modulated_features_are_scaled_and_shifted_channel_by_channel(engine):
    features = engine.encode([np.zeros((40, 40, 3), np.uint8)])
    blocks, width = len(features.reduced), features.reduced[0].shape[-1]
    rng = np.random.default_rng(0)
    scale, shift = rng.normal(size=(2, blocks, width)).astype(np.float32)
    found = features.modulated(scale, shift)
    for block, (new, old) in enumerate(zip(found.reduced, features.reduced, strict=True)):
        np.testing.assert_allclose(
            new.numpy(), old.numpy() * scale[block] + shift[block], rtol=1e-4, atol=1e-4
        )
    assert found.grid == features.grid
