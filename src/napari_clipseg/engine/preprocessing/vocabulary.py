"""A tokenizer's vocabulary in files: ``vocab.json``, ``merges.txt``, or ``tokenizer.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_clipseg.engine.modeling.config import read_json
from napari_clipseg.engine.errors import CheckpointError

VOCAB_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
TOKENIZER_FILE = "tokenizer.json"
# The end of a word is part of its last token; it tells CLIP's vocabulary from others.
END_OF_WORD = "</w>"

Merges = list[tuple[str, str]]


def vocabulary_file(folder: str | Path) -> Path:
    """Return the file of a checkpoint folder that says the tokens' ids.

    ``tokenizer.json`` goes first where both forms are there, as in the reference library.
    """
    whole = Path(folder) / TOKENIZER_FILE
    return whole if whole.is_file() else Path(folder) / VOCAB_FILE


def read_vocabulary(folder: str | Path) -> tuple[dict[str, int], Merges]:
    """Return token to id, and the merges, the most frequent first.

    Raises
    ------
    CheckpointError
        If a file is missing or broken.
    """
    path = vocabulary_file(folder)
    values = read_json(path)
    try:
        if path.name == TOKENIZER_FILE:
            return parse_tokenizer(values)
        return values, _parse_merges(Path(folder) / MERGES_FILE)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise no_vocabulary(path, error) from error


def no_vocabulary(path: Path, error: Exception) -> CheckpointError:
    """Make the error of a vocabulary that cannot be used, whichever form it has."""
    files, which = (
        (f"{path} is", "its files")
        if path.name == TOKENIZER_FILE
        else (f"{path} and {MERGES_FILE} are", "both files")
    )
    return CheckpointError(
        f"{files} no CLIP vocabulary: {error!r}. Get {which} from the same checkpoint."
    )


def parse_tokenizer(values: Mapping[str, Any]) -> tuple[dict[str, int], Merges]:
    """Take token to id, and the merges, out of the mapping of a ``tokenizer.json``.

    What else that file says, CLIP's tokenizer does anyway.
    """
    model = values["model"]
    if model.get("end_of_word_suffix") != END_OF_WORD:
        raise ValueError(f"its end_of_word_suffix is {model.get('end_of_word_suffix')!r}")
    # The special tokens may stand in either place.
    added = {token["content"]: token["id"] for token in values.get("added_tokens") or ()}
    # Before version 0.20 of the tokenizers library a merge was one string.
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    return {**model["vocab"], **added}, _pairs(merges)


def _parse_merges(path: Path) -> Merges:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}. Get the checkpoint's files again."
        ) from error
    # The first line says the format's version; "#" is a symbol of its own further down.
    if lines and "#version" in lines[0]:
        del lines[0]
    return _pairs([line.split() for line in lines if line])


def _pairs(merges: Sequence[Sequence[str]]) -> Merges:
    return [(first, second) for first, second in merges]


def write_vocabulary(folder: Path, vocab: Mapping[str, int], merges: Merges) -> None:
    """Write ``vocab.json`` and ``merges.txt``, as the published checkpoints have them.

    A ``tokenizer.json`` that is there would be read instead, and is removed.
    """
    text = json.dumps(dict(vocab), ensure_ascii=False)
    (folder / VOCAB_FILE).write_text(text, encoding="utf-8")
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges), ""]
    (folder / MERGES_FILE).write_text("\n".join(lines), encoding="utf-8")
    (folder / TOKENIZER_FILE).unlink(missing_ok=True)
