"""Which files make a checkpoint: what is needed, and what is taken of a larger offer."""

from __future__ import annotations

from collections.abc import Collection

# Each part stands in one of several sets of files; the first is the best.
_WEIGHTS = (("model.safetensors",), ("pytorch_model.bin",))
_PARTS = (
    (("config.json",),),
    (("vocab.json", "merges.txt"), ("tokenizer.json",)),
    (("preprocessor_config.json",), ("processor_config.json",)),
    _WEIGHTS,
)
_OPTIONAL = ("tokenizer_config.json", "special_tokens_map.json")


def lacking(names: Collection[str]) -> list[str]:
    """Return what a set of files lacks to be a checkpoint, in words: empty if it is whole."""
    return [
        " or ".join(" and ".join(files) for files in part)
        for part in _PARTS
        if not any(set(files) <= set(names) for files in part)
    ]


def wanted(names: Collection[str]) -> list[str]:
    """Return the files to fetch of those offered: all that are small, and one file of weights."""
    weights = next((files for files in _WEIGHTS if set(files) <= set(names)), ())
    small = [file for part in _PARTS if part is not _WEIGHTS for files in part for file in files]
    return [name for name in (*small, *_OPTIONAL, *weights) if name in names]
