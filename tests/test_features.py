"""Features: kept, sized, moved to disk and back."""

import numpy as np
import pytest

from napari_clipseg.engine.features import Features

PICTURES = list(np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8))


@pytest.fixture
def features(engine):
    return engine.encode(PICTURES)


def test_their_size_is_that_of_the_reduced_activations(features):
    patches = (96 // 16) ** 2
    assert len(features) == 2
    assert features.grid == (6, 6)
    assert features.nbytes == 3 * 2 * (1 + patches) * 16 * 4  # blocks, pictures, tokens, float32


def test_from_disk_they_give_the_same_logits(engine, features, tmp_path):
    features.save(tmp_path / "kept.safetensors")
    again = Features.load(tmp_path / "kept.safetensors")
    vectors = engine.embed(["rings", "nuclei"])
    np.testing.assert_array_equal(engine.decode(again, vectors), engine.decode(features, vectors))
    assert [path.name for path in tmp_path.iterdir()] == ["kept.safetensors"]


def test_a_file_of_that_name_is_replaced(engine, features, tmp_path):
    path = tmp_path / "kept"
    features.save(path)
    engine.encode(PICTURES[:1]).save(path)
    assert len(Features.load(path)) == 1


def test_broken_files_are_told(features, tmp_path, checkpoint):
    path = tmp_path / "kept"
    features.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"kept holds no features.*Encode the pictures again"):
        Features.load(path)
    with pytest.raises(ValueError, match="holds no features"):
        Features.load(checkpoint("small") / "model.safetensors")
    with pytest.raises(FileNotFoundError):
        Features.load(tmp_path / "nothing")


def test_features_of_another_model_are_told(engine, features):
    vectors = engine.embed(["rings"])
    other = Features(features.reduced[:2], features.grid)
    with pytest.raises(ValueError, match="features of 2 blocks and width 16; wanted 3 and 16"):
        engine.decode(other, vectors)
    other = Features(tuple(x[..., :8] for x in features.reduced), features.grid)
    with pytest.raises(ValueError, match="3 blocks and width 8"):
        engine.decode(other, vectors)
