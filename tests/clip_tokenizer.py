"""CLIP's tokenizer as its authors published it, for comparison: slow, and plain to read.

After ``simple_tokenizer.py`` of https://github.com/openai/CLIP.
"""

from __future__ import annotations

import gzip
import html
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import ftfy
import pytest
import regex  # comes with transformers; it knows the classes of characters

import parity

PUBLIC_MERGES = Path(__file__).parents[2] / "shared" / "data" / "clip_bpe_vocab_16e6.txt.gz"
VOCABULARIES = [
    "small",
    pytest.param(
        "public",
        marks=pytest.mark.skipif(
            not PUBLIC_MERGES.is_file(), reason="CLIP's vocabulary is not beside the repository"
        ),
    ),
]
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)


def symbols_of_bytes() -> dict[int, str]:
    """Printable bytes stand for themselves; the others are moved up, in their order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    moved = {byte: chr(256 + n) for n, byte in enumerate(others)}
    return {byte: chr(byte) for byte in printable} | moved


class AuthorsTokenizer:
    """From a text to ids, start and end included."""

    def __init__(self, ids: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
        self.ids = ids
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
        self.symbols = symbols_of_bytes()

    def __call__(self, text: str) -> list[int]:
        text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        text = regex.sub(r"\s+", " ", text).strip().lower()
        tokens = [START]
        for word in WORDS.findall(text):
            tokens += self.merged(word)
        return [self.ids[token] for token in [*tokens, END]]

    def merged(self, word: str) -> list[str]:
        if word in (START, END):
            return [word]
        parts = [self.symbols[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        while ranked := {p: self.ranks[p] for p in pairwise(parts) if p in self.ranks}:
            best = min(ranked, key=ranked.__getitem__)
            done: list[str] = []
            for part in parts:
                if done and (done[-1], part) == best:
                    done[-1] += part
                else:
                    done.append(part)
            parts = done
        return parts


def write_vocabulary(folder: Path, which: str) -> None:
    """Write ``vocab.json`` and ``merges.txt``: CLIP's own ("public"), or a "small" one."""
    if which == "small":
        parity.write_vocabulary(folder, 700)
        return
    lines = gzip.decompress(PUBLIC_MERGES.read_bytes()).decode().splitlines()[:48895]
    symbols = sorted(symbols_of_bytes().values())
    tokens = [*symbols, *(s + "</w>" for s in symbols)]
    tokens += ["".join(line.split()) for line in lines[1:]]
    tokens += [START, END]
    assert len(tokens) == 49408
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines[1:]]), encoding="utf-8")
