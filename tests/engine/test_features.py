"""Features: their size, joined and split, saved and loaded."""

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from napari_clipseg.engine.features import Features

IMAGES = list(np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8))


@pytest.fixture
def features(engine):
    return engine.encode(IMAGES)


def test_nbytes_is_that_of_the_reduced_activations(features):
    patches = (96 // 16) ** 2
    assert len(features) == 2
    assert features.grid == (6, 6)
    assert features.nbytes == 3 * 2 * (1 + patches) * 16 * 4  # blocks, images, tokens, float32


def test_load_gives_what_save_wrote(engine, features, tmp_path):
    features.save(tmp_path / "saved.safetensors")
    again = Features.load(tmp_path / "saved.safetensors")
    vectors = engine.embed(["rings", "nuclei"])
    np.testing.assert_array_equal(engine.decode(again, vectors), engine.decode(features, vectors))
    assert [path.name for path in tmp_path.iterdir()] == ["saved.safetensors"]


def test_save_on_a_full_disk_leaves_the_older_file(features, tmp_path, monkeypatch):
    path = tmp_path / "saved"
    features.save(path)
    before = path.read_bytes()

    def fill(tensors, partial, metadata):
        partial.write_bytes(b"begun")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("napari_clipseg.engine.features.save_file", fill)
    with pytest.raises(OSError, match=r"cannot be written: No space left.* with \d+ MB free"):
        features.save(path)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert path.read_bytes() == before


def test_save_replaces_a_file(engine, features, tmp_path):
    path = tmp_path / "saved"
    features.save(path)
    engine.encode(IMAGES[:1]).save(path)
    assert len(Features.load(path)) == 1


def test_load_refuses_broken_files(features, tmp_path, checkpoint):
    path = tmp_path / "saved"
    features.save(path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"saved holds no features.*Encode the images again"):
        Features.load(path)
    with pytest.raises(ValueError, match="holds no features"):
        Features.load(checkpoint("small") / "model.safetensors")
    with pytest.raises(FileNotFoundError):
        Features.load(tmp_path / "nothing")


GRIDS = {
    "turned out of shape": "5 6",
    "larger": "600 600",
    "below 0": "-6 -6",
    "empty": "0 0",
    "one number": "36",
    "three numbers": "6 6 6",
    "no numbers": "a b",
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_load_refuses_a_wrong_grid(grid, features, tmp_path):
    path = tmp_path / "saved"
    tensors = {str(i): x.contiguous() for i, x in enumerate(features.reduced)}
    save_file(tensors, path, metadata={"grid": grid})
    with pytest.raises(ValueError, match=r"saved holds no features.*Encode the images again"):
        Features.load(path)


ODD = {
    "another number of images": lambda x: x[:1],
    "two axes": lambda x: x[0],
    "halves": lambda x: x.half(),
    "whole numbers": lambda x: x.int(),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_load_refuses_odd_tensors(change, features, tmp_path):
    path = tmp_path / "saved"
    tensors = {str(i): x.contiguous() for i, x in enumerate(features.reduced)}
    tensors["1"] = change(tensors["1"]).contiguous()
    save_file(tensors, path, metadata={"grid": "6 6"})
    with pytest.raises(ValueError, match=r"saved holds no features.*Encode the images again"):
        Features.load(path)


def test_load_does_not_need_the_file_afterwards(features, tmp_path):
    path = tmp_path / "saved"
    features.save(path)
    again = Features.load(path)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    for one, other in zip(again.reduced, features.reduced, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_decode_refuses_features_of_another_model(engine, features):
    vectors = engine.embed(["rings"])
    other = Features(features.reduced[:2], features.grid)
    with pytest.raises(ValueError, match="features of 2 blocks and width 16; wanted 3 and 16"):
        engine.decode(other, vectors)
    other = Features(tuple(x[..., :8] for x in features.reduced), features.grid)
    with pytest.raises(ValueError, match="3 blocks and width 8"):
        engine.decode(other, vectors)


def test_getitem_gives_some_of_the_images(engine, features):
    vectors = engine.embed(["rings"])
    whole = engine.decode(features, vectors)
    np.testing.assert_allclose(engine.decode(features[1:], vectors), whole[1:], atol=1e-5)
    chosen = features[torch.tensor([1, 0, 1])]
    np.testing.assert_allclose(engine.decode(chosen, vectors), whole[[1, 0, 1]], atol=1e-5)


def test_join_undoes_split(features):
    parts = features.split()
    assert [len(part) for part in parts] == [1, 1]
    joined = Features.join(parts)
    assert joined.grid == features.grid
    for one, other in zip(joined.reduced, features.reduced, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_split_gives_parts_that_can_be_freed_alone(features):
    for part in features.split():
        assert sum(x.untyped_storage().nbytes() for x in part.reduced) == features.nbytes / 2


def test_join_refuses_several_grids(features):
    other = Features(features.reduced, (4, 9))
    with pytest.raises(ValueError, match=r"2 grids, such as \(4, 9\) and \(6, 6\).*one size"):
        Features.join([features, other])
