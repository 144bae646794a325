"""Text to token ids: CLIP's byte-level byte-pair encoding, on the ``tokenizers`` library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from napari_clipseg.engine.config import read_json
from napari_clipseg.engine.errors import CheckpointError

VOCAB_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
START = "<|startoftext|>"
END = "<|endoftext|>"
# How CLIP splits a text before the byte pairs are merged
# (Radford et al., https://arxiv.org/abs/2103.00020, section 2.4, and the code published with it).
WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class TokenBatch:
    """Prompts as ids.

    Attributes
    ----------
    input_ids : Tensor
        ``(prompts, tokens)``, int64, padded at the end to the longest prompt.
    attention_mask : Tensor
        ``(prompts, tokens)``, int64, 0 where padded.
    """

    input_ids: Tensor
    attention_mask: Tensor


class CLIPTokenizer:
    """CLIP's tokenizer, built from the files that every CLIPSeg checkpoint holds.

    Parameters
    ----------
    vocab : dict
        Token to id.
    merges : list of pairs
        Which two symbols become one, the most frequent first.
    max_length : int
        Longest prompt in tokens, start and end included.
    """

    def __init__(
        self, vocab: dict[str, int], merges: list[tuple[str, str]], max_length: int = 77
    ) -> None:
        self.max_length = max_length
        self._backend = Tokenizer(
            models.BPE(
                vocab=vocab,
                merges=merges,
                end_of_word_suffix="</w>",
                unk_token=END,
            )
        )
        self._backend.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        start, end = vocab[START], vocab[END]
        self._backend.post_processor = processors.RobertaProcessing(
            (END, end), (START, start), trim_offsets=False, add_prefix_space=False
        )
        self._backend.add_special_tokens([START, END])
        self.pad_token_id = end
        self.highest_id = max(vocab.values())

    @classmethod
    def from_pretrained(cls, folder: str | Path, max_length: int = 77) -> CLIPTokenizer:
        """Read ``vocab.json`` and ``merges.txt`` of a checkpoint folder.

        Raises
        ------
        CheckpointError
            If a file is missing or broken.
        """
        folder = Path(folder)
        vocab = read_json(folder / VOCAB_FILE)
        try:
            lines = (folder / MERGES_FILE).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(
                f"{folder / MERGES_FILE} cannot be read: {error}. Get the checkpoint's files again."
            ) from error
        # The first line says the format's version; "#" is a symbol of its own further down.
        if lines and "#version" in lines[0]:
            del lines[0]
        pairs = [tuple(line.split()) for line in lines if line]
        try:
            merges = [(first, second) for first, second in pairs]
            return cls(vocab, merges, max_length)
        except Exception as error:
            # The library raises a bare Exception for a merge that the vocabulary lacks.
            raise CheckpointError(
                f"{folder / VOCAB_FILE} and {MERGES_FILE} are no CLIP vocabulary: {error!r}. "
                f"Get both files from the same checkpoint."
            ) from error

    def __call__(self, texts: Sequence[str]) -> TokenBatch:
        """Turn texts into ids, each from start token to end token.

        Raises
        ------
        ValueError
            If a text is longer than the model can read, or holds half of a character.
        """
        for text in texts:
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise ValueError(
                    f"The prompt {text!r} holds half of a character (a lone surrogate). Write "
                    f"it again."
                )
        rows = [encoding.ids for encoding in self._backend.encode_batch(list(texts))]
        for text, row in zip(texts, rows, strict=True):
            if len(row) > self.max_length:
                shown = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
                raise ValueError(
                    f"The prompt {shown!r} has {len(row)} tokens, the model reads at most "
                    f"{self.max_length} (start and end included). Use fewer words."
                )
        longest = max(map(len, rows), default=0)
        ids = torch.full((len(rows), longest), self.pad_token_id)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return TokenBatch(ids, mask)
