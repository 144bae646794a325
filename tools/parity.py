"""Print how far the engine's logits lie from those of ``transformers``, on random weights.

``python tools/parity.py [SIZE ...]``; without a size, the three public ones. The tests and the
benchmark make their random checkpoints here too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.kernels import use_fast_kernels

transformers.utils.logging.disable_progress_bar()

PATCH16 = {"vision_config": {"patch_size": 16}}
SMALL = {
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    "vision_config": {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 5,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 16,
    },
    "projection_dim": 24,
    "extract_layers": [1, 2, 4],
    "reduce_dim": 16,
    "decoder_intermediate_size": 40,
}
# Beside the three public shapes, small ones for what those do not vary.
SIZES: dict[str, dict[str, object]] = {
    "rd64-refined": {**PATCH16, "reduce_dim": 64, "use_complex_transposed_convolution": True},
    "rd64": {**PATCH16, "reduce_dim": 64},
    "rd16": {**PATCH16, "reduce_dim": 16},
    "small": SMALL,
    "small-refined": {**SMALL, "use_complex_transposed_convolution": True},
    "small-film-last": {**SMALL, "conditional_layer": 2},
    "small-one-layer": {**SMALL, "extract_layers": [3]},
    "small-legacy-eos": {**SMALL, "text_config": {**SMALL["text_config"], "eos_token_id": 2}},
}
PUBLIC = ("rd64-refined", "rd64", "rd16")
PUBLIC_SIDE = 352
TEXT = ["red rings", "a photo of the nuclei of many cells, stained", "dog"]


@dataclass(frozen=True)
class Check:
    """One comparison: what was compared, and the largest difference over the largest logit."""

    size: str
    prompt: str
    shape: tuple[int, ...]
    difference: float


def write_vocabulary(folder: Path, size: int = 49408) -> None:
    """Write a ``vocab.json`` and ``merges.txt`` in CLIP's form, of at most ``size`` entries.

    256 byte symbols, the same with ``</w>``, merges learned from a few sentences, start, end.
    The ids of start and end are the last two of ``size``, as in the public vocabulary.
    """
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=symbols, end_of_word_suffix="</w>", show_progress=False
    )
    text = "a photo of the red rings and nuclei of cells it's the colour of dogs that we've seen"
    tokenizer.train_from_iterator([text] * 3, trainer)
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    tokens = symbols + [s + "</w>" for s in symbols]
    tokens += [first + second for first, second in merges if first + second not in tokens]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    vocab |= {"<|startoftext|>": size - 2, "<|endoftext|>": size - 1}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges), ""]
    (folder / "merges.txt").write_text("\n".join(lines), encoding="utf-8")


def write_random_checkpoint(
    folder: Path, size: str, seed: int = 0
) -> transformers.CLIPSegForImageSegmentation:
    """Make a checkpoint folder of random weights; return the reference's model of it."""
    torch.manual_seed(seed)
    config = transformers.CLIPSegConfig(**SIZES[size])
    model = transformers.CLIPSegForImageSegmentation(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # fresh biases are 0 and norms 1: a mix-up would not show
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    write_vocabulary(folder)
    side = PUBLIC_SIDE if size in PUBLIC else 96
    settings = {"size": {"height": side, "width": side}, "resample": 2}
    settings |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    settings |= {"image_processor_type": "ViTImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return model


def compare(size: str, folder: Path, seed: int = 0, texts: Sequence[str] = TEXT) -> Iterator[Check]:
    """Write a random checkpoint, load it with the engine, and compare text and image prompts.

    There are as many images, and example images, as texts.
    """
    reference = write_random_checkpoint(folder, size, seed)
    ours = CLIPSegForImageSegmentation.from_pretrained(folder)
    use_fast_kernels(ours)  # as load() does; without them the difference is 0
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    side = PUBLIC_SIDE if size in PUBLIC else 96
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(len(texts), 3, side, side, generator=random)
    text = tokenizer(list(texts), padding=True, return_tensors="pt")
    prompts = {
        "text": {"input_ids": text.input_ids, "attention_mask": text.attention_mask},
        "image": {"conditional_pixel_values": torch.randn(images.shape, generator=random)},
    }
    with torch.inference_mode():
        for name, prompt in prompts.items():
            wanted = reference(pixel_values=images, **prompt).logits.numpy()
            got = ours(pixel_values=images, **prompt).logits.numpy()
            assert got.shape == wanted.shape, (got.shape, wanted.shape)
            difference = float(np.abs(got - wanted).max() / np.abs(wanted).max())
            yield Check(size, name, got.shape, difference)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", default=PUBLIC, metavar="SIZE", help=", ".join(SIZES))
    print("| checkpoint shape | prompt | logits | largest difference / largest logit |")
    print("|---|---|---|---|")
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory() as folder:
            for check in compare(size, Path(folder)):
                shape = " x ".join(map(str, check.shape))
                print(f"| {size} | {check.prompt} | {shape} | {check.difference:.1e} |", flush=True)


if __name__ == "__main__":
    main()
