from __future__ import annotations

import json

import pytest
from transformers import CLIPTokenizer as ReferenceTokenizer

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.preprocessing.tokenizer import END, START, CLIPTokenizer

TEXTS = ["a photo of the red rings", "it's NUCLEI, # 12 µm", "zebra jazz café", "細胞 🔬", ""]


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return CLIPTokenizer.from_pretrained(checkpoint("small"))


def assert_same(ours, others):
    for text in TEXTS:
        got = ours(text).input_ids[0].tolist()
        assert got == others(text).input_ids
        assert ours.decode(got) == others.decode(got)


def test_tokenizer_gives_unknown_symbols_the_token_of_the_reference(folder):
    # "z" and both ways in which the bytes of "é" can begin a word are not known.
    change_vocab(lambda v: [v.pop(token) for token in ("z", "z</w>", "Ã", "©</w>")])(folder)
    ours = CLIPTokenizer.from_pretrained(folder)
    assert_same(ours, ReferenceTokenizer.from_pretrained(folder))
    assert (ours(["a z"]).input_ids == ours([f"a {END}"]).input_ids).all()


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
    **{
        f"an id of {number}": (
            change_vocab(lambda v, number=number: v.update(a=number)),
            "the id of 'a' is ",
        )
        for number in (True, -1, 2**20, 2**31, 2**32 - 1, 2**63, 10**30)
    },
    "merges are empty": (write("merges.txt", lambda _: b""), "it has no merges"),
    "merges are a version": (write("merges.txt", lambda _: b"#version: 0.2\n"), "no merges"),
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
def test_read_vocabulary_names_broken_files_and_the_cure(break_it, says, folder):
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
def test_read_vocabulary_reads_other_forms_of_the_merges(change, folder, tokenizer):
    write("merges.txt", change)(folder)
    other = CLIPTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert other([text]).input_ids.tolist() == tokenizer([text]).input_ids.tolist()


def as_today(folder, change=lambda values: None, keep=False):
    """Leave the vocabulary as ``tokenizer.json``, as ``transformers`` writes it."""
    ReferenceTokenizer.from_pretrained(folder).save_pretrained(folder)
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    if not keep:
        (folder / "vocab.json").unlink()
        (folder / "merges.txt").unlink()


def older_merges(values):
    values["model"]["merges"] = [" ".join(merge) for merge in values["model"]["merges"]]


def special_tokens_apart(values):
    for token in (START, END):
        del values["model"]["vocab"][token]


TODAY = {
    "as it is written": lambda _: None,
    "merges of older versions": older_merges,
    "special tokens only beside the vocabulary": special_tokens_apart,
    "no special tokens beside it": lambda v: v.pop("added_tokens"),
    "cut and padded by the file": lambda v: v.update(
        truncation={"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    ),
}


@pytest.mark.parametrize("change", TODAY.values(), ids=TODAY)
@pytest.mark.parametrize("keep", [False, True], ids=["alone", "beside the older files"])
def test_read_vocabulary_reads_tokenizer_json(change, keep, folder, tokenizer):
    as_today(folder, change, keep)
    ours = CLIPTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert ours(text).input_ids.tolist() == tokenizer(text).input_ids.tolist()


def test_read_vocabulary_prefers_tokenizer_json(folder):
    as_today(folder, keep=True)
    change_vocab(lambda v: v.update({"a</w>": v["e</w>"], "e</w>": v["a</w>"]}))(folder)
    assert_same(CLIPTokenizer.from_pretrained(folder), ReferenceTokenizer.from_pretrained(folder))


def in_model(**changes):
    return lambda values: values["model"].update(changes)


BROKEN_TODAY = {
    "no model": lambda v: v.pop("model"),
    "model is null": lambda v: v.update(model=None),
    "another kind of vocabulary": in_model(end_of_word_suffix=None),
    "no vocabulary": lambda v: v["model"].pop("vocab"),
    "no merges": lambda v: v["model"].pop("merges"),
    "vocabulary is a list": in_model(vocab=[["a", 0.1]]),
    "a merge of three": in_model(merges=["a b c"]),
    "a merge of an unknown symbol": in_model(merges=["細 胞"]),
    "merges are numbers": in_model(merges=[1, 2]),
    "ids are text": in_model(vocab={"a": "1", START: 2, END: 3}),
    "no special tokens": lambda v: (special_tokens_apart(v), v.pop("added_tokens")),
    "an added token without an id": lambda v: v["added_tokens"][0].pop("id"),
}


@pytest.mark.parametrize("change", BROKEN_TODAY.values(), ids=BROKEN_TODAY)
def test_read_vocabulary_names_a_broken_tokenizer_json(change, folder):
    as_today(folder, change)
    says = r"/tokenizer\.json is no CLIP vocabulary: .*Get its files from the same checkpoint"
    with pytest.raises(CheckpointError, match=says):
        CLIPTokenizer.from_pretrained(folder)
