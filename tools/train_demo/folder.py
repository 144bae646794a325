"""Writes a checkpoint folder in the public format: config, vocabulary, processor, weights."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.tower_configs import CLIPSegTextConfig, CLIPSegVisionConfig
from napari_clipseg.engine.preprocessing.tokenizer import CLIPTokenizer
from scenes.prompts import all_wordings

START, END = "<|startoftext|>", "<|endoftext|>"
LONGEST = 77


def byte_symbols() -> list[str]:
    """Return the 256 printable characters that stand for bytes, in the order of CLIP's files.

    Radford et al., "Language Models are Unsupervised Multitask Learners", section 2.2, and the
    code published with it: printable bytes stand for themselves, the others are moved up.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]


def learn_merges(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Learn byte pairs (Sennrich et al., https://arxiv.org/abs/1508.07909) until words are whole.

    Only words of ASCII letters are learned from; `texts` hold no others.
    """
    words = Counter(word for text in texts for word in text.lower().split())
    split = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in split.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for parts in split.values():
            at = 0
            while at < len(parts) - 1:
                if (parts[at], parts[at + 1]) == best:
                    parts[at : at + 2] = ["".join(best)]
                at += 1


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return token to id, and the merges, for the words that the scenes are asked with."""
    merges = learn_merges(all_wordings())
    symbols = byte_symbols()
    tokens = [*symbols, *(s + "</w>" for s in symbols), *map("".join, merges), START, END]
    # Two merges can give one token ("a"+"bc", "ab"+"c"); it keeps its first id.
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}, merges


def make_tokenizer() -> CLIPTokenizer:
    """Return the tokenizer that the folder's files describe."""
    return CLIPTokenizer(*vocabulary(), LONGEST)


def make_config() -> CLIPSegConfig:
    """Return the bundled model's make-up."""
    vocab, _ = vocabulary()
    return CLIPSegConfig(
        text_config=CLIPSegTextConfig(
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            vocab_size=len(vocab),
            max_position_embeddings=LONGEST,
            pad_token_id=vocab[END],
            bos_token_id=vocab[START],
            eos_token_id=vocab[END],
        ),
        vision_config=CLIPSegVisionConfig(
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=8,
            image_size=128,
            patch_size=8,
        ),
        projection_dim=96,
        extract_layers=(1, 3, 5),
        reduce_dim=64,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=256,
        default_threshold=0.5,
    )


def _json(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_folder(
    folder: Path,
    config: CLIPSegConfig,
    state: dict[str, Tensor],
    side: int,
    extras: Iterable[Path] = (),
) -> None:
    """Write a whole checkpoint folder and put it in place of the one that is there.

    Parameters
    ----------
    folder : Path
        Files of an older folder that this one does not write, such as the card, are kept.
    config : CLIPSegConfig
    state : dict of Tensor
        The model's state dict; stored as float16, which halves the wheel.
    side : int
        Of the images that the processor makes, in pixels.
    extras : iterable of Path
        Files to be copied in.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    if folder.exists():
        shutil.copytree(folder, part)
    part.mkdir(parents=True, exist_ok=True)
    vocab, merges = vocabulary()
    # The weights are float16 to save room. The reference library would train them in it, which
    # ends in NaN, unless it is told another type.
    stored_as = {"architectures": ["CLIPSegForImageSegmentation"], "dtype": "float32"}
    _json(part / "config.json", stored_as | config.to_dict())
    _json(part / "vocab.json", vocab)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (part / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    _json(part / "special_tokens_map.json", special)
    _json(
        part / "tokenizer_config.json",
        special
        | {
            "tokenizer_class": "CLIPTokenizer",
            "do_lower_case": True,
            "errors": "replace",
            "add_prefix_space": False,
            "model_max_length": LONGEST,
        },
    )
    _json(
        part / "preprocessor_config.json",
        {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_processor_type": "ViTImageProcessor",
            "image_std": [0.229, 0.224, 0.225],
            "processor_class": "CLIPSegProcessor",
            "resample": 2,
            "rescale_factor": 1 / 255,
            "size": {"height": side, "width": side},
        },
    )
    stored = {k: v.detach().to("cpu", torch.float16).contiguous() for k, v in state.items()}
    save_file(stored, part / "model.safetensors", metadata={"format": "pt"})
    (part / "model.safetensors").chmod(0o644)  # it was written for its owner alone
    for extra in extras:
        shutil.copy(extra, part / extra.name)
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
