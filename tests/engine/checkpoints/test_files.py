from __future__ import annotations

import pytest

from napari_clipseg.engine.checkpoints.files import lacking, wanted

PUBLIC = [
    "config.json",
    "vocab.json",
    "merges.txt",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "model.safetensors",
]
OTHERS = ["README.md", ".gitattributes", "tf_model.h5", "flax_model.msgpack", "weights.pth"]
NEW = ["config.json", "tokenizer.json", "processor_config.json", "model.safetensors"]


def without(*names, of=PUBLIC):
    return [name for name in of if name not in names]


def test_of_a_public_checkpoint_all_is_taken_that_is_needed_and_nothing_else():
    assert set(wanted([*OTHERS, *PUBLIC])) == set(PUBLIC)


@pytest.mark.parametrize(
    ("offered", "weights"),
    [
        (["model.safetensors"], "model.safetensors"),
        (["pytorch_model.bin"], "pytorch_model.bin"),
        (["pytorch_model.bin", "model.safetensors"], "model.safetensors"),
    ],
    ids=str,
)
def test_one_file_of_weights_is_taken_and_comes_last(offered, weights):
    small = without("model.safetensors")
    assert wanted([*offered, *small])[-1] == weights
    assert set(wanted([*offered, *small])) == {*small, weights}


def test_the_files_of_a_newer_library_are_enough():
    assert lacking(NEW) == []
    assert set(wanted(NEW)) == set(NEW)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (PUBLIC, []),
        (without("tokenizer_config.json", "special_tokens_map.json"), []),
        (without("config.json"), ["config.json"]),
        (without("merges.txt"), ["vocab.json and merges.txt or tokenizer.json"]),
        (without("model.safetensors"), ["model.safetensors or pytorch_model.bin"]),
        (
            without("preprocessor_config.json"),
            ["preprocessor_config.json or processor_config.json"],
        ),
    ],
    ids=str,
)
def test_what_lacks_is_named(names, says):
    assert lacking(names) == says


def test_nothing_lacks_every_part():
    assert len(lacking([])) == 4
