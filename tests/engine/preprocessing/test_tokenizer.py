from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer as ReferenceTokenizer

from clip_tokenizer import VOCABULARIES, write_vocabulary
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.preprocessing.tokenizer import CLIPTokenizer

UNLIMITED = 10_000
# Texts that need no cleaning; of others, test_text_cleaning.py knows the ids.
TEXTS = {
    "words": "a photo of the red rings",
    "capitals": "NUCLEI and Rings",
    "apostrophes": "it's THE cells' don't we'll they'd i'm you've we're '''s",
    "numbers": "12 cells, 3.5 µm; ٣ 七",
    "white space": "  red \t\n\r\n rings\u00a0\u3000\u2028 x ",
    "nothing but white space": " \n ",
    "nothing": "",
    "accents": "é e\u0301 ñ Å",
    "CJK": "細胞核 세포 細 胞",
    "emoji": "🔬👩\u200d🔬 ❤\ufe0f",
    "right to left": "خلية \u200fתא",
    "special tokens": "a<|endoftext|>b <|startoftext|> <|end",
    "punctuation": "#hash -- (a/b) #version: 0.2 _x_ ...",
}
fragments = st.sampled_from([*TEXTS.values(), "'s", "'LL", " <|endoftext|>", " "])
plain = st.text(" '#,.0123456789ABCabcdelrstvxyz細胞", max_size=5)
texts = plain | st.lists(fragments | plain, max_size=5).map("".join)


@pytest.fixture(scope="module", params=VOCABULARIES)
def both(request, tmp_path_factory):
    """Our tokenizer and the reference's, of one folder."""
    folder = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(folder, request.param)
    ours = CLIPTokenizer.from_pretrained(folder, UNLIMITED)
    return ours, ReferenceTokenizer.from_pretrained(folder)


def assert_same(both, some):
    ours, reference = both
    got = ours(some)
    wanted = reference(some, padding=True, return_tensors="pt")
    assert got.input_ids.tolist() == wanted.input_ids.tolist()
    assert got.attention_mask.tolist() == wanted.attention_mask.tolist()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_tokenizer_gives_the_ids_of_the_reference(text, both):
    assert_same(both, [text])


@given(text=texts)
def test_tokenizer_gives_the_ids_of_the_reference_on_any_text(text, both):
    assert_same(both, [text])


@given(some=st.lists(texts, min_size=1, max_size=4))
def test_tokenizer_pads_like_the_reference(some, both):
    assert_same(both, some)


# name: what is asked for beside the texts
ASKED = {
    "padding": {"padding": True},
    "to the longest": {"padding": "longest"},
    "to a length": {"padding": "max_length", "max_length": 60},
    "to a length, cut": {"padding": "max_length", "max_length": 9, "truncation": True},
    "cut": {"padding": True, "truncation": True, "max_length": 6},
    "cut, by name": {"padding": True, "truncation": "longest_first", "max_length": 3},
    "nothing but start and end": {"padding": True, "truncation": True, "max_length": 2},
    "a length that is not needed": {"padding": True, "truncation": True, "max_length": 70},
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@given(some=st.lists(texts, min_size=1, max_size=3))
def test_tokenizer_pads_and_truncates_like_the_reference(asked, both, some):
    ours, reference = both
    some = [text[:10] for text in some] if "truncation" not in asked else some
    got = ours(some, **asked)
    wanted = reference(some, return_tensors="pt", **asked)
    assert got.input_ids.tolist() == wanted.input_ids.tolist()
    assert got.attention_mask.tolist() == wanted.attention_mask.tolist()


@pytest.mark.parametrize("padding", [False, "do_not_pad"])
def test_tokenizer_takes_one_text_without_padding(padding, both):
    ours, reference = both
    got = ours("a photo of cells", padding=padding)
    wanted = reference(["a photo of cells"], padding=padding, return_tensors="pt")
    assert got.input_ids.tolist() == wanted.input_ids.tolist()
    with pytest.raises(
        ValueError, match=r"3 to \d+ tokens and are not to be padded; .*Set padding"
    ):
        ours(["a photo of cells", "a"], padding=padding)
    with pytest.raises(ValueError, match="padding"):
        reference(["a photo of cells", "a"], padding=padding, return_tensors="pt")


@pytest.mark.parametrize("kind", ["np", None], ids=["arrays", "lists"])
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("some", ["a photo", ["a photo"], ["a", "a photo of cells"]], ids=str)
def test_tokenizer_gives_the_arrays_and_lists_of_the_reference(some, asked, kind, both):
    ours, reference = both
    got = ours(some, return_tensors=kind, **asked)
    wanted = reference(some, return_tensors=kind, **asked)
    assert list(got) == list(wanted)
    for name, values in wanted.items():
        assert type(got[name]) is type(values)
        np.testing.assert_array_equal(got[name], values)


def test_tokenizer_gives_lists_of_several_lengths_without_padding(both):
    some = ["a", "a photo of cells"]
    got, wanted = (one(some, padding=False, return_tensors=None) for one in both)
    assert len({len(row) for row in got.input_ids}) == 2
    assert dict(got) == dict(wanted)


@pytest.mark.parametrize("kind", ["tf", "pytorch", True, 3], ids=str)
def test_tokenizer_refuses_another_kind_of_result(kind, tokenizer):
    with pytest.raises(ValueError, match=f"return_tensors is {kind!r}; wanted 'pt' for tensors"):
        tokenizer("a", return_tensors=kind)


@pytest.mark.parametrize("skip", [False, True], ids=["all tokens", "words only"])
@given(some=st.lists(texts, min_size=1, max_size=3))
def test_batch_decode_gives_the_texts_of_the_reference(skip, both, some):
    ours, reference = both
    ids = ours(some).input_ids
    wanted = reference.batch_decode(ids, skip_special_tokens=skip)
    assert ours.batch_decode(ids, skip_special_tokens=skip) == wanted
    assert ours.decode(ids[0].tolist(), skip) == wanted[0]


@given(ids=st.lists(st.integers(0, 60_000) | st.integers(0, 700), max_size=8))
def test_decode_gives_the_text_of_the_reference_for_any_ids(both, ids):
    ours, reference = both
    assert ours.decode(ids) == reference.decode(ids)
    assert ours.decode(np.array(ids, np.uint16)) == reference.decode(ids)


def test_decode_separates_words(both):
    ours = both[0]
    ids = ours(["A photo of the  RED rings!", "it's"]).input_ids
    assert ours.batch_decode(ids, skip_special_tokens=True) == [
        "a photo of the red rings !",
        "it 's",
    ]
    assert ours.decode(ids[1, :2]) == "<|startoftext|>it"
    assert ours.decode(int(ids[1, 1])) == "it"


@pytest.mark.parametrize(
    "ids",
    [
        [0.5],
        [True],
        [[1, 2]],
        [3, -1],
        [2**32],
        0.5 * np.ones(1),
        torch.zeros(1, 2, 3, dtype=torch.int64),
    ],
    ids=str,
)
def test_decode_refuses_what_are_no_ids(ids, tokenizer):
    with pytest.raises(ValueError, match="wanted one row of whole numbers from 0 on"):
        tokenizer.decode(ids)


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return CLIPTokenizer.from_pretrained(checkpoint("small"))


def test_tokenizer_pads_with_the_end_token(tokenizer):
    batch = tokenizer(["dog", "a photo of the red rings"])
    assert batch.input_ids.dtype == batch.attention_mask.dtype == torch.int64
    short, long = batch.attention_mask.sum(dim=1).tolist()
    assert long == batch.input_ids.shape[1] > short
    assert batch.attention_mask[0].tolist() == [1] * short + [0] * (long - short)
    assert batch.input_ids[0, 0] == 49406
    assert (batch.input_ids[0, short - 1 :] == 49407).all()


def test_tokenizer_gives_no_rows_for_no_texts(tokenizer):
    assert tokenizer([]).input_ids.shape == (0, 0)


def test_tokenizer_takes_a_text_of_the_models_length(tokenizer):
    assert tokenizer(["! " * 75]).input_ids.shape == (1, 77)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("! " * 76, "'" + "! " * 30 + "…'"), ("ü" * 38, "'" + "ü" * 38 + "'")],
    ids=["cut", "whole"],
)
def test_tokenizer_refuses_longer_texts(text, shown, tokenizer):
    with pytest.raises(ValueError, match=r"has 78 tokens, .* at most 77 .*Use fewer words") as e:
        tokenizer(["dog", text])
    assert shown in str(e.value)


@pytest.mark.parametrize("truncation", [False, True])
def test_tokenizer_refuses_millions_of_characters_at_once(truncation, tokenizer, monkeypatch):
    monkeypatch.delattr(tokenizer, "_backend")  # never reached
    with pytest.raises(ValueError, match=r"'a a .*…' has 9,000,000 characters; wanted at most 10,"):
        tokenizer("a " * 4_500_000, truncation=truncation)


def test_tokenizer_takes_thousands_of_characters_to_be_cut(tokenizer):
    assert tokenizer("a " * 5000, truncation=True).input_ids.shape == (1, tokenizer.max_length)


@pytest.mark.parametrize("text", ["\ud83d", "nuclei \udc00"], ids=ascii)
def test_tokenizer_refuses_half_a_character(text, tokenizer):
    with pytest.raises(ValueError, match="half of a character"):
        tokenizer([text])


WRONG = {
    "padding": ({"padding": "left"}, "padding is 'left'; wanted one of True, 'longest', 'max_"),
    "padding by a number": ({"padding": 1}, "padding is 1; wanted"),
    "truncation": ({"truncation": "only_first"}, "truncation is 'only_first'; wanted one of"),
    "truncation none": ({"truncation": None}, "truncation is None"),
    "more than the model reads": ({"max_length": 78}, "max_length is 78; wanted 2, .* to 77"),
    "no place for the end": ({"max_length": 1}, "max_length is 1; wanted 2"),
    "too long for a length": ({"max_length": 3}, "has 4 tokens, max_length allows at most 3"),
}


@pytest.mark.parametrize(("options", "says"), WRONG.values(), ids=WRONG)
def test_tokenizer_refuses_unknown_options(options, says, tokenizer):
    with pytest.raises(ValueError, match=says):
        tokenizer("a a", **options)


@pytest.mark.parametrize(
    ("text", "says"),
    [(3, "text of type int"), (b"a", "of type bytes"), (["a", None], "of type NoneType in the")],
    ids=str,
)
def test_tokenizer_refuses_what_is_no_text(text, says, tokenizer):
    with pytest.raises(TypeError, match=says):
        tokenizer(text)


def test_tokenizer_takes_one_text_without_a_list(tokenizer):
    assert torch.equal(tokenizer("dog").input_ids, tokenizer(["dog"]).input_ids)


def test_save_pretrained_is_read_by_both(both, tmp_path):
    ours, reference = both
    ours.save_pretrained(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["merges.txt", "tokenizer_config.json", "vocab.json"]
    again = (
        CLIPTokenizer.from_pretrained(tmp_path, UNLIMITED),
        ReferenceTokenizer.from_pretrained(tmp_path),
    )
    assert again[1].model_max_length == UNLIMITED
    for text in TEXTS.values():
        assert again[0]([text]).input_ids.tolist() == ours([text]).input_ids.tolist()
        assert again[1](text).input_ids == reference(text).input_ids


# name: the entry of tokenizer_config.json, and how long a text may be
LONGEST = {
    "as the model": (77, 77),
    "shorter": (20, 20),
    "a float": (20.0, 20),
    "no bound": (10**30, 77),
    "no bound, a float": (1e30, 77),
    "infinite": (float("inf"), 77),
}


@pytest.mark.parametrize(("value", "wanted"), LONGEST.values(), ids=LONGEST)
def test_from_pretrained_reads_how_long_a_text_may_be(value, wanted, folder):
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": value}))
    assert CLIPTokenizer.from_pretrained(folder).max_length == wanted
    assert CLIPTokenizer.from_pretrained(folder, 9).max_length == 9


@pytest.mark.parametrize("content", ["{}", None], ids=["no entry", "no file"])
def test_from_pretrained_takes_clips_own_length_if_nothing_is_said(content, folder):
    path = folder / "tokenizer_config.json"
    path.unlink(missing_ok=True)
    if content:
        path.write_text(content)
    assert CLIPTokenizer.from_pretrained(folder).max_length == 77


@pytest.mark.parametrize("value", [1, 0, -5, True, "77", None, [77], float("nan")], ids=str)
def test_from_pretrained_names_a_length_that_is_none(value, folder):
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({"model_max_length": value}))
    with pytest.raises(
        CheckpointError, match=r"tokenizer_config\.json says .*wanted a number from"
    ):
        CLIPTokenizer.from_pretrained(folder)


def test_model_input_names_are_those_of_the_reference(both):
    assert list(both[0].model_input_names) == both[1].model_input_names
