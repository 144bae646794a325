"""Any text becomes the ids that the tokenizer of CLIP's authors gives it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer as ReferenceTokenizer

from clip_tokenizer import VOCABULARIES, AuthorsTokenizer, write_vocabulary
from hard_texts import DIFFICULTIES, HARD_TEXTS, WORDS
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.preprocessing.text_cleaning import clean_text
from napari_clipseg.engine.preprocessing.tokenizer import CLIPTokenizer

# Unassigned characters become letters in later versions of Unicode, which libraries differ in.
characters = st.characters(exclude_categories=("Cs", "Cn"))
fragments = st.sampled_from(
    ["'s", "'LL", "’ſ", "\u0301", " ", "&amp;", "&lt;", "&#39", ";", "â€™", "Ã©", "ﬁ", "\x1b[0m"]
)
texts = st.lists(
    fragments | st.sampled_from(WORDS) | st.text(characters, max_size=5), max_size=6
).map("".join)


@pytest.fixture(scope="module", params=VOCABULARIES)
def tokenizers(request, tmp_path_factory):
    """Our tokenizer and the authors', of one vocabulary."""
    folder = tmp_path_factory.mktemp("vocabulary")
    write_vocabulary(folder, request.param)
    ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split()) for line in lines[1:]]
    return CLIPTokenizer.from_pretrained(folder, 10_000), AuthorsTokenizer(ids, merges)


def _ids(tokenizer, text):
    return tokenizer([text]).input_ids[0].tolist()


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_hard_texts_get_the_ids_of_the_authors(difficulty, tokenizers):
    ours, authors = tokenizers
    some = {name: text for name, text in HARD_TEXTS.items() if name.startswith(f"{difficulty}:")}
    assert len(some) == len(WORDS)
    found = {name: _ids(ours, text) for name, text in some.items()}
    assert found == {name: authors(text) for name, text in some.items()}


def test_the_reference_library_gives_other_ids_to_most_of_them(tmp_path):
    write_vocabulary(tmp_path, "small")
    reference = ReferenceTokenizer.from_pretrained(tmp_path)
    ours = CLIPTokenizer.from_pretrained(tmp_path, 10_000)
    assert len(HARD_TEXTS) == 420
    others = [text for text in HARD_TEXTS.values() if reference(text).input_ids != _ids(ours, text)]
    assert len(others) == 295


@given(text=texts)
def test_any_text_gets_the_ids_of_the_authors(text, tokenizers):
    ours, authors = tokenizers
    assert _ids(ours, text) == authors(text)


CLEANED = {
    "typographic apostrophe": ("the cell’s", "the cell's"),
    "quotes": ("“cells” ‘cells’ „cells‟", '"cells" \'cells\' "cells"'),
    "full width": ("ｎｕｃｌｅｉ　（２）", "nuclei (2)"),
    "ligatures": ("ﬁbers ﬂuoresce", "fibers fluoresce"),
    "entities": ("A&nbsp;&amp;&nbsp;B &lt;c&gt;", "a & b <c>"),
    "entities, escaped twice": ("cells &amp;amp; nuclei", "cells & nuclei"),
    "misread": ("the cellâ€™s cafÃ©", "the cell's café"),
    "control characters": ("nu\x00cl\ufeffei\x07", "nuclei"),
    "terminal colors": ("\x1b[31mred\x1b[0m", "red"),
    "white space": (" red\r\n\t rings\u3000", "red rings"),
    "decomposed": ("e\u0301", "é"),
    "capitals": ("DAPI ÉÅΣ", "dapi éåς"),
    "left alone": ("12 µm² – ½ 細胞 🔬", "12 µm² – ½ 細胞 🔬"),
}


@pytest.mark.parametrize(("text", "cleaned"), CLEANED.values(), ids=CLEANED)
def test_clean_text(text, cleaned):
    assert clean_text(text) == cleaned


BLANK = {"entity": "&nbsp;", "control character": "\x00", "white space": " \u3000 ", "nothing": ""}


@pytest.mark.parametrize("text", BLANK.values(), ids=BLANK)
def test_a_prompt_of_which_nothing_is_left_is_blank(text):
    with pytest.raises(ValueError, match="Got a blank prompt"):
        load("demo", device="cpu").embed(["nuclei", text])


def test_spellings_of_one_text_have_one_vector():
    first, second = load("demo", device="cpu").embed(["the cell's  rings", "The cell’s rings"])
    assert (first == second).all()
