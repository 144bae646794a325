from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer as ReferenceTokenizer

import parity
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.tokenizer import END, CLIPTokenizer

ROOT = Path(__file__).parents[1]
PUBLIC_MERGES = ROOT.parent / "shared" / "data" / "clip_bpe_vocab_16e6.txt.gz"
UNLIMITED = 10_000
TEXTS = {
    "words": "a photo of the red rings",
    "capitals": "NUCLEI and Rings",
    "apostrophes": "it's THE cells' don't we'll they'd i'm you've we're '''s",
    "numbers": "12 cells, 3.5 µm; ² ½ ٣ Ⅷ",
    "white space": "  red \t\n\r\n rings\u00a0\u3000\u2028 x ",
    "nothing but white space": " \n ",
    "nothing": "",
    "accents": "é e\u0301 ñ İ ẞ ﬃ Å",
    "CJK": "細胞核 세포 細 胞",
    "emoji": "🔬👩\u200d🔬 ❤\ufe0f",
    "right to left": "خلية \u200fתא",
    "control characters": "a\x00b\x1f\x7f\x85c\ufeff\ufffd",
    "special tokens": "a<|endoftext|>b <|startoftext|> <|ENDOFTEXT|> <|end",
    "punctuation": "#hash -- (a/b) #version: 0.2 _x_ ...",
}
fragments = st.sampled_from([*TEXTS.values(), "'s", "'LL", "<|endoftext|>", "\u0301", " "])
texts = st.text(max_size=40) | st.lists(fragments | st.text(max_size=5), max_size=5).map("".join)


def write_public_vocabulary(folder):
    lines = gzip.decompress(PUBLIC_MERGES.read_bytes()).decode().splitlines()[:48895]
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*symbols, *(s + "</w>" for s in symbols)]
    tokens += ["".join(line.split()) for line in lines[1:]]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    assert len(tokens) == 49408
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines[1:]]), encoding="utf-8")


@pytest.fixture(
    scope="module",
    params=[
        "small",
        pytest.param(
            "public",
            marks=pytest.mark.skipif(
                not PUBLIC_MERGES.is_file(), reason="CLIP's vocabulary is not beside the repository"
            ),
        ),
    ],
)
def both(request, tmp_path_factory):
    """Our tokenizer and the reference's, of one folder."""
    folder = tmp_path_factory.mktemp("vocabulary")
    if request.param == "small":
        parity.write_vocabulary(folder, 700)
    else:
        write_public_vocabulary(folder)
    ours = CLIPTokenizer.from_pretrained(folder, UNLIMITED)
    return ours, ReferenceTokenizer.from_pretrained(folder)


def assert_same(both, some):
    ours, reference = both
    got = ours(some)
    wanted = reference(some, padding=True, return_tensors="pt")
    assert got.input_ids.tolist() == wanted.input_ids.tolist()
    assert got.attention_mask.tolist() == wanted.attention_mask.tolist()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_ids_equal_the_references(text, both):
    assert_same(both, [text])


@given(text=texts)
def test_ids_equal_the_references_on_any_text(text, both):
    assert_same(both, [text])


@given(some=st.lists(texts, min_size=1, max_size=4))
def test_several_texts_are_padded_like_the_references(some, both):
    assert_same(both, some)


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return CLIPTokenizer.from_pretrained(checkpoint("small"))


def test_shorter_texts_are_padded_with_the_end_token(tokenizer):
    batch = tokenizer(["dog", "a photo of the red rings"])
    assert batch.input_ids.dtype == batch.attention_mask.dtype == torch.int64
    short, long = batch.attention_mask.sum(dim=1).tolist()
    assert long == batch.input_ids.shape[1] > short
    assert batch.attention_mask[0].tolist() == [1] * short + [0] * (long - short)
    assert batch.input_ids[0, 0] == 49406
    assert (batch.input_ids[0, short - 1 :] == 49407).all()


def test_no_texts_are_no_rows(tokenizer):
    assert tokenizer([]).input_ids.shape == (0, 0)


def test_a_text_of_the_models_length_fits(tokenizer):
    assert tokenizer(["! " * 75]).input_ids.shape == (1, 77)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("! " * 76, "'" + "! " * 30 + "…'"), ("ü" * 38, "'" + "ü" * 38 + "'")],
    ids=["cut", "whole"],
)
def test_longer_texts_are_refused_with_counts(text, shown, tokenizer):
    with pytest.raises(ValueError, match=r"has 78 tokens, .* at most 77 .*Use fewer words") as e:
        tokenizer(["dog", text])
    assert shown in str(e.value)


@pytest.mark.parametrize("text", ["\ud83d", "nuclei \udc00"], ids=ascii)
def test_half_a_character_is_refused(text, tokenizer):
    with pytest.raises(ValueError, match="half of a character"):
        tokenizer([text])


def test_unknown_symbols_become_the_references_token(folder):
    # "z" and both ways in which the bytes of "é" can begin a word are not known.
    change_vocab(lambda v: [v.pop(token) for token in ("z", "z</w>", "Ã", "©</w>")])(folder)
    both = CLIPTokenizer.from_pretrained(folder), ReferenceTokenizer.from_pretrained(folder)
    assert_same(both, ["a zebra jazz zzz", "é café"])
    assert (both[0](["a z"]).input_ids == both[0]([f"a {END}"]).input_ids).all()


def write(name, change):
    def break_it(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return break_it


def change_vocab(change):
    def to_bytes(content):
        vocab = json.loads(content)
        change(vocab)
        return json.dumps(vocab).encode()

    return write("vocab.json", to_bytes)


BROKEN = {
    "no vocabulary": (lambda f: (f / "vocab.json").unlink(), "has no vocab.json"),
    "no merges": (lambda f: (f / "merges.txt").unlink(), "merges.txt cannot be read"),
    "vocabulary is no JSON": (write("vocab.json", lambda b: b[:-5]), "vocab.json cannot be read"),
    "vocabulary is a list": (write("vocab.json", lambda _: b"[]"), "vocab.json holds a list"),
    "vocabulary is empty": (write("vocab.json", lambda _: b"{}"), "vocab.json and merges.txt"),
    "ids are text": (change_vocab(lambda v: v.update({"a": "1"})), "vocab.json and merges.txt"),
    "ids are null": (change_vocab(lambda v: v.update({"a": None})), "vocab.json and merges.txt"),
    "ids are fractions": (change_vocab(lambda v: v.update(a=0.5)), "vocab.json and merges.txt"),
    "no start token": (change_vocab(lambda v: v.pop("<|startoftext|>")), "<|startoftext|>"),
    "no end token": (change_vocab(lambda v: v.pop("<|endoftext|>")), "<|endoftext|>"),
    "merges are no text": (write("merges.txt", lambda _: b"\xff\xff"), "merges.txt cannot be"),
    "a merge of an unknown symbol": (
        write("merges.txt", lambda b: b + "細 胞\n".encode()),
        "vocab.json and merges.txt",
    ),
    "a merge of three": (write("merges.txt", lambda b: b + b"a b c\n"), "merges.txt are no CLIP"),
    "a merge of one": (write("merges.txt", lambda b: b + b"a\n"), "merges.txt are no CLIP"),
}


@pytest.mark.parametrize(("break_it", "says"), BROKEN.values(), ids=BROKEN)
def test_broken_files_are_named_with_the_cure(break_it, says, folder):
    break_it(folder)
    with pytest.raises(CheckpointError, match=r"[Gg]et (the checkpoint's|its|both) files") as e:
        CLIPTokenizer.from_pretrained(folder)
    assert str(folder) in str(e.value)
    assert says in str(e.value)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda b: b.replace(b"\n", b"\r\n"), id="lines of Windows"),
        pytest.param(lambda b: b.rstrip(), id="no last line break"),
        pytest.param(lambda b: b + b"\n\n", id="empty lines"),
        pytest.param(lambda b: b.partition(b"\n")[2], id="no version line"),
        pytest.param(lambda b: b'"bpe_simple_vocab_16e6.txt' + b, id="the file's name before it"),
    ],
)
def test_other_forms_of_the_merges_say_the_same(change, folder, tokenizer):
    write("merges.txt", change)(folder)
    other = CLIPTokenizer.from_pretrained(folder)
    for text in TEXTS.values():
        assert other([text]).input_ids.tolist() == tokenizer([text]).input_ids.tolist()
