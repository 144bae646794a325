"""Text to token ids and back: CLIP's byte pair encoding, on the ``tokenizers`` library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

from napari_clipseg.engine.checkpoints.json_files import read_json, write_json
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.preprocessing.encoding import (
    TENSORS,
    BatchEncoding,
    encode_rows,
    require_kind,
)
from napari_clipseg.engine.preprocessing.text_cleaning import clean_text
from napari_clipseg.engine.preprocessing.vocabulary import (
    END_OF_WORD,
    Merges,
    no_vocabulary,
    parse_tokenizer,
    read_vocabulary,
    vocabulary_file,
    write_vocabulary,
)

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
LONGEST = 77
# The reference library writes 10^30 for a tokenizer without a bound.
MOST_LONGEST = 2**20
START = "<|startoftext|>"
END = "<|endoftext|>"
# How CLIP splits a text before the byte pairs are merged
# (Radford et al., https://arxiv.org/abs/2103.00020, section 2.4, and the code published with it).
# That code ignores case, so that the long s (U+017F) counts as an s.
S = r"[s\x{17F}]"
WORDS = (
    rf"<\|{S}tartoftext\|>|<\|endoftext\|>|'{S}|'t|'re|'ve|'m|'ll|'d"
    r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
SHOWN_CHARACTERS = 60
MOST_CHARACTERS = 10_000  # the model reads 77 tokens, a few hundred characters
ID_BOUND = 2**32  # the library stores ids in 32 bits
# What a caller may pass: whether texts of different lengths are padded, and how.
PADDINGS = {
    True: "longest",
    "longest": "longest",
    "max_length": "max_length",
    False: "do_not_pad",
    "do_not_pad": "do_not_pad",
}
TRUNCATIONS = {True: True, "longest_first": True, False: False, "do_not_truncate": False}

TokenIds: TypeAlias = int | Sequence[int] | NDArray[np.integer] | Tensor
TokenRows: TypeAlias = Sequence[TokenIds] | NDArray[np.integer] | Tensor


class CLIPTokenizer:
    """CLIP's tokenizer, built from the files of a CLIPSeg checkpoint.

    Texts are cleaned first as CLIP's authors do it; see `text_cleaning.clean_text`.

    Parameters
    ----------
    vocab : dict
        Token to id.
    merges : list of pairs
        Pairs of symbols that become one, the most frequent first.
    max_length : int
        Longest prompt in tokens, start and end included.

    Examples
    --------
    >>> from napari_clipseg.engine import CLIPTokenizer
    >>> tokenizer = CLIPTokenizer.from_pretrained("demo")
    >>> ids = tokenizer("Red rings").input_ids
    >>> tokenizer.decode(ids[0], skip_special_tokens=True)
    'red rings'
    """

    model_input_names = ("input_ids", "attention_mask")

    def __init__(self, vocab: dict[str, int], merges: Merges, max_length: int = LONGEST) -> None:
        self.max_length = max_length
        self._backend = Tokenizer(
            models.BPE(vocab=vocab, merges=merges, end_of_word_suffix=END_OF_WORD, unk_token=END)
        )
        self._backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        start, end = vocab[START], vocab[END]
        self._backend.post_processor = processors.RobertaProcessing(
            (END, end), (START, start), trim_offsets=False, add_prefix_space=False
        )
        self._backend.decoder = decoders.ByteLevel()
        self._backend.add_special_tokens([START, END])
        self.pad_token_id = end
        self.highest_id = max(vocab.values())

    @classmethod
    def from_pretrained(cls, model: str | Path, max_length: int | None = None) -> CLIPTokenizer:
        """Read ``tokenizer.json``, or else ``vocab.json`` and ``merges.txt``, of a checkpoint.

        Parameters
        ----------
        model : str or Path
            "demo", a folder, or the name of a downloaded hub checkpoint.
        max_length : int, optional
            Longest prompt in tokens, start and end included; by default what
            ``tokenizer_config.json`` says, or else 77.

        Raises
        ------
        CheckpointError
            If the checkpoint is not on this machine, or a file is missing or broken.
        """
        folder = locate(model)
        vocab, merges = read_vocabulary(folder)
        longest = _longest(folder) if max_length is None else max_length
        try:
            return cls(vocab, merges, longest)
        except Exception as error:
            # The library raises Exception itself for a merge that the vocabulary lacks.
            raise no_vocabulary(vocabulary_file(folder), error) from error

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files that `from_pretrained` reads, and ``tokenizer_config.json``.

        The reference library reads them, too.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_vocabulary(folder, *parse_tokenizer(json.loads(self._backend.to_str())))
        special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
        values = {
            **special,
            "model_max_length": self.max_length,
            "tokenizer_class": type(self).__name__,
        }
        write_json(folder / TOKENIZER_CONFIG_FILE, values)

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        padding: bool | str = True,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = TENSORS,
    ) -> BatchEncoding:
        """Turn texts into ids, each from start token to end token.

        Parameters
        ----------
        text : str or sequence of str
            One prompt or several.
        padding : bool or str
            True or "longest": up to the longest of these texts. "max_length": up to
            ``max_length``. False or "do_not_pad": not at all; tensors and arrays want texts
            of one length then.
        truncation : bool or str
            True or "longest_first": a text longer than ``max_length`` loses its last
            words. False or "do_not_truncate": such a text is an error.
        max_length : int, optional
            In tokens, start and end included; by default as many as the model reads.
        return_tensors : "pt", "np" or None
            Whether to return tensors, arrays, or lists; one text alone has lists without
            an axis for texts.

        Returns
        -------
        BatchEncoding
            ``input_ids`` and ``attention_mask``, ``(prompts, tokens)``, int64: padded at the end,
            where the mask is 0.

        Raises
        ------
        ValueError
            If a text is too long, or holds half of a character; if texts of several lengths
            are not to be padded; or if an option has no such value.
        TypeError
            If something else than texts is given.
        """
        padding = str(_choice("padding", padding, PADDINGS))
        require_kind(return_tensors)
        limit = self._limit(max_length)
        rows = self._rows(_texts(text), limit, _choice("truncation", truncation, TRUNCATIONS))
        lengths = sorted({len(row) for row in rows})
        if padding == "do_not_pad" and len(lengths) > 1 and return_tensors is not None:
            raise ValueError(
                f"The prompts have {lengths[0]} to {lengths[-1]} tokens and are not to be padded; "
                f"one tensor cannot hold them. Set padding to True."
            )
        widths = {"max_length": limit, "longest": max(lengths, default=0), "do_not_pad": 0}
        width = widths[padding]
        ids = [row + [self.pad_token_id] * (width - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
        both = {"input_ids": ids, "attention_mask": mask}
        return encode_rows(both, return_tensors, isinstance(text, str))

    def decode(self, token_ids: TokenIds, skip_special_tokens: bool = False) -> str:
        """Turn the ids of one prompt into text, in lower case and with a space after each word.

        Parameters
        ----------
        token_ids : int, or sequence, array or tensor of int
            ``(tokens,)``. Ids that the vocabulary does not have are ignored.
        skip_special_tokens : bool
            Whether to leave out start, end and padding.

        Raises
        ------
        ValueError
            If the ids are not one row of whole numbers from 0 on.
        """
        ids = token_ids.tolist() if isinstance(token_ids, Tensor | np.ndarray) else token_ids
        ids = [ids] if isinstance(ids, int) else list(ids)
        for i in ids:
            if isinstance(i, bool) or not isinstance(i, int | np.integer) or not 0 <= i < ID_BOUND:
                raise ValueError(
                    f"Got {i!r} as a token id; wanted one row of whole numbers from 0 on. For "
                    f"several prompts call batch_decode."
                )
        text = self._backend.decode(ids, skip_special_tokens=bool(skip_special_tokens))
        return text.replace(END_OF_WORD, " ").strip()

    def batch_decode(self, sequences: TokenRows, skip_special_tokens: bool = False) -> list[str]:
        """Turn the ids of several prompts into texts, each as `decode` does."""
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    def _limit(self, max_length: int | None) -> int:
        if max_length is None:
            return self.max_length
        if not 2 <= max_length <= self.max_length:
            raise ValueError(
                f"max_length is {max_length}; wanted 2, for start and end, up to "
                f"{self.max_length}, which is what the model reads."
            )
        return max_length

    def _rows(self, texts: Sequence[str], limit: int, truncate: bool) -> list[list[int]]:
        rows: list[list[int]] = [
            encoding.ids for encoding in self._backend.encode_batch([*map(clean_text, texts)])
        ]
        for i, row in enumerate(rows):
            if len(row) <= limit:
                continue
            if not truncate:
                text = texts[i]
                shown = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
                who = "the model reads" if limit == self.max_length else "max_length allows"
                raise ValueError(
                    f"The prompt {shown!r} has {len(row)} tokens, {who} at most {limit} (start and "
                    f"end included). Use fewer words."
                )
            rows[i] = [*row[: limit - 1], row[-1]]
        return rows


def _longest(folder: Path) -> int:
    """Return how many tokens a folder's tokenizer gives at most."""
    path = folder / TOKENIZER_CONFIG_FILE
    longest = read_json(path).get("model_max_length", LONGEST) if path.is_file() else LONGEST
    if isinstance(longest, bool) or not isinstance(longest, int | float) or not longest >= 2:
        raise CheckpointError(
            f"{path} says that a text has at most {longest!r} tokens (model_max_length); wanted a "
            f"number from 2 on. Get the checkpoint's files again."
        )
    return LONGEST if longest > MOST_LONGEST else int(longest)


def _texts(text: str | Sequence[str]) -> list[str]:
    """Return the prompts as a list, each one a text that can be written as UTF-8."""
    if isinstance(text, str):
        text = [text]
    if not isinstance(text, list | tuple):
        raise TypeError(f"Got text of type {type(text).__name__}; wanted a str or a list of str.")
    for one in text:
        if not isinstance(one, str):
            raise TypeError(f"Got a text of type {type(one).__name__} in the list; wanted str.")
        if len(one) > MOST_CHARACTERS:
            raise ValueError(
                f"The prompt {one[:SHOWN_CHARACTERS] + '…'!r} has {len(one):,} characters; wanted "
                f"at most {MOST_CHARACTERS:,}. Use fewer words."
            )
        if any("\ud800" <= character <= "\udfff" for character in one):
            raise ValueError(
                f"The prompt {one!r} holds half of a character (a lone surrogate). Write it again."
            )
    return list(text)


def _choice(name: str, value: object, choices: Mapping[Any, Any]) -> Any:
    if not isinstance(value, bool | str) or value not in choices:
        raise ValueError(f"{name} is {value!r}; wanted one of {', '.join(map(repr, choices))}.")
    return choices[value]
