"""A tokenizer's vocabulary in files: ``vocab.json``, ``merges.txt``, or ``tokenizer.json``."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_clipseg.engine.checkpoints.json_files import read_json, write_text
from napari_clipseg.engine.errors import CheckpointError

VOCAB_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
TOKENIZER_FILE = "tokenizer.json"
# Part of the last token of each word; only CLIP's vocabulary has it.
END_OF_WORD = "</w>"
MOST_IDS = 2**20  # CLIP has 49,408

Merges = list[tuple[str, str]]


def vocabulary_file(folder: str | Path) -> Path:
    """Return the file of a checkpoint folder that holds the tokens' ids.

    ``tokenizer.json`` is preferred if both formats are there, as in the reference library.
    """
    whole = Path(folder) / TOKENIZER_FILE
    return whole if whole.is_file() else Path(folder) / VOCAB_FILE


def read_vocabulary(folder: str | Path) -> tuple[dict[str, int], Merges]:
    """Read the vocabulary, token to id, and the merges, the most frequent first.

    Raises
    ------
    CheckpointError
        If a file is missing or broken.
    """
    path = vocabulary_file(folder)
    values = read_json(path)
    try:
        if path.name == TOKENIZER_FILE:
            vocab, merges = parse_tokenizer(values)
        else:
            vocab, merges = values, _parse_merges(Path(folder) / MERGES_FILE)
        _require_usable(vocab, merges)
        return vocab, merges
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise no_vocabulary(path, error) from error


def _require_usable(vocab: Mapping[str, Any], merges: Merges) -> None:
    for token, number in vocab.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < MOST_IDS:
            raise ValueError(
                f"the id of {reprlib.repr(token)} is {reprlib.repr(number)}; wanted a whole number "
                f"from 0 to {MOST_IDS - 1}"
            )
    if not merges:
        raise ValueError("it has no merges, so each character would be a token")


def no_vocabulary(path: Path, error: Exception) -> CheckpointError:
    """Return the error for a vocabulary that cannot be used, in either format."""
    files, which = (
        (f"{path} is", "its files")
        if path.name == TOKENIZER_FILE
        else (f"{path} and {MERGES_FILE} are", "both files")
    )
    return CheckpointError(
        f"{files} no CLIP vocabulary: {error!r}. Get {which} from the same checkpoint."
    )


def parse_tokenizer(values: Mapping[str, Any]) -> tuple[dict[str, int], Merges]:
    """Return the vocabulary and the merges from the mapping of a ``tokenizer.json``.

    The other entries say what CLIP's tokenizer does anyway.
    """
    model = values["model"]
    if model.get("end_of_word_suffix") != END_OF_WORD:
        raise ValueError(f"its end_of_word_suffix is {model.get('end_of_word_suffix')!r}")
    # The special tokens may be in either place.
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
    # The first line holds the format's version; in other lines "#" is a symbol.
    if lines and "#version" in lines[0]:
        del lines[0]
    return _pairs([line.split() for line in lines if line])


def _pairs(merges: Sequence[Sequence[str]]) -> Merges:
    return [(first, second) for first, second in merges]


def write_vocabulary(folder: Path, vocab: Mapping[str, int], merges: Merges) -> None:
    """Write ``vocab.json`` and ``merges.txt``, as the published checkpoints have them.

    An existing ``tokenizer.json`` would be read instead, and is removed.
    """
    text = json.dumps(dict(vocab), ensure_ascii=False)
    write_text(folder / VOCAB_FILE, text)
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges), ""]
    write_text(folder / MERGES_FILE, "\n".join(lines))
    (folder / TOKENIZER_FILE).unlink(missing_ok=True)
