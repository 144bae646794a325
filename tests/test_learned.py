from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from napari_clipseg.learned import (
    FORMAT,
    PIXELS_AT_ONCE,
    VERSION,
    LearnedClass,
    LearnedPrompt,
    input_count,
)

INPUTS = input_count(1, False, 2)


def made(seed=0, names=("a",), regions=False):
    rng = np.random.default_rng(seed)
    count = input_count(1, regions, 2)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    classes = tuple(
        LearnedClass(
            name,
            draw(2, 6),
            draw(3, 4),
            draw(3, 4),
            draw(count),
            np.abs(draw(count)) + 0.5,
            ((draw(count, 5), draw(5)), (draw(5, 1), draw(1))),
        )
        for name in names
    )
    return LearnedPrompt(
        classes, "demo", "sha256:" + "0" * 64, 1, regions, draw(3, 12), 0.5, {"values": [2]}
    )


def judged(one, inputs, filters=3):
    """The logits of ``(pixels, inputs)``, of which the first are filters, and the others maps."""
    responses, maps = inputs[None, :, :filters], inputs[None, :, filters:].transpose(2, 0, 1)
    return one.judge(responses, maps)[0]


def test_a_class_judges_as_its_formula_says():
    one = made().classes[0]
    x = np.random.default_rng(1).normal(0, 20, (50, INPUTS)).astype(np.float32)
    unit = np.clip((x - one.center) / one.spread, -6, 6)
    (w, b), (v, c) = one.network
    wanted = np.maximum(unit @ w + b, 0) @ v + c
    np.testing.assert_allclose(judged(one, x), wanted[:, 0], rtol=1e-4, atol=1e-4)


def test_pixels_are_judged_alike_however_many_there_are():
    one = made().classes[0]
    x = np.random.default_rng(1).normal(size=(PIXELS_AT_ONCE + 7, INPUTS)).astype(np.float32)
    np.testing.assert_allclose(judged(one, x)[-7:], judged(one, x[-7:]), rtol=1e-5, atol=1e-6)


def test_a_file_holds_everything(tmp_path):
    learned = made(names=("a", "b"), regions=True)
    learned.save(tmp_path / "one.safetensors")
    again = LearnedPrompt.load(tmp_path / "one.safetensors")
    assert again.to_bytes() == learned.to_bytes()
    assert again.names == ("a", "b")
    assert [one.name for one in tmp_path.iterdir()] == ["one.safetensors"]


def test_an_older_file_stays_when_a_new_one_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "one.safetensors"
    made().save(path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        made(seed=1).save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def changed(about=None, tensors=None):
    learned = made()
    arrays = load(learned.to_bytes())
    header = learned.to_bytes()
    length = int.from_bytes(header[:8], "little")
    text = json.loads(json.loads(header[8 : 8 + length])["__metadata__"][FORMAT])
    arrays.update(tensors or {})
    return save(
        {k: v for k, v in arrays.items() if v is not None},
        {FORMAT: json.dumps(text | (about or {}))},
    )


BROKEN = {
    "no safetensors": (b"hello", "holds no learned prompt"),
    "empty": (b"", "holds no learned prompt"),
    "other safetensors": (save({"a": np.zeros(3)}), "holds no learned prompt"),
    "a newer version": (changed({"version": VERSION + 1}), "update it with python -m pip"),
    "no version": (changed({"version": "x"}), "of version 'x'"),
    "no class": (changed({"names": []}), "it has no class"),
    "a class too many": (changed({"names": ["a", "b"]}), "class 1 has no network"),
    "other widths": (
        changed(tensors={"classes.0.center": np.zeros(3, np.float32)}),
        "arrays of 'a' do not fit together",
    ),
    "NaN": (
        changed(tensors={"classes.0.network.0.bias": np.full(5, np.nan, np.float32)}),
        "arrays of 'a' do not fit together",
    ),
    "no components": (changed(tensors={"components": None}), "components"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_say_what_is_wrong(name, tmp_path):
    data, message = BROKEN[name]
    path = tmp_path / "broken.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        LearnedPrompt.load(path)
    assert str(path) in str(error.value)
    assert "Choose a file that LearnedPrompt.save wrote" in str(error.value)


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
@settings(max_examples=60)
def test_a_damaged_file_is_read_or_refused(at, noise):
    data = bytearray(made().to_bytes())
    at %= len(data)
    data[at : at + len(noise)] = noise
    with contextlib.suppress(ValueError):  # and nothing else is raised
        assert LearnedPrompt.from_bytes(bytes(data)).classes


VERSIONS = sorted((Path(__file__).parent / "files").glob("learned-*.safetensors"))


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_file_of_any_version_answers_as_it_did(path):
    """One file of each version, with inputs and the logits that they gave then."""
    learned = LearnedPrompt.load(path)
    inputs, wanted = learned.samples["inputs"], learned.samples["logits"]
    np.testing.assert_allclose(judged(learned.classes[0], inputs), wanted, rtol=1e-6, atol=1e-6)


def test_there_is_a_file_of_each_version():
    assert [path.stem for path in VERSIONS] == [f"learned-{n}" for n in range(1, VERSION + 1)]


def test_a_missing_and_a_huge_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        LearnedPrompt.load(tmp_path / "none.safetensors")
    huge = tmp_path / "huge.safetensors"
    with huge.open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ValueError, match="has 65 MB; a learned prompt has less than 64 MB"):
        LearnedPrompt.load(huge)


def test_one_prompt_for_each_class():
    first, second = made(names=("a", "b")).split()
    assert (first.names, second.names) == (("a",), ("b",))
    assert not first.record
