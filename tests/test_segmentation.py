from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from cases import COLOUR, GRAY, IMAGES, colour_images, gray_images, named, some_finite
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.images.labels import semantic_labels
from napari_clipseg.images.source import as_plane, finite
from napari_clipseg.segmentation import Segmentation, segment, segment_steps

RGB = COLOUR["RGB uint8"]
EXAMPLE = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)


def check(result, image, prompts):
    assert result.probability.shape == (prompts, *image.shape[:2])
    assert result.probability.dtype == np.float32
    assert ((result.probability >= 0) & (result.probability <= 1)).all()
    assert (result.probability[:, ~finite(as_plane(image))] == 0).all()
    assert result.labels.dtype == np.int32
    wanted = semantic_labels(result.probability, result.threshold)
    np.testing.assert_array_equal(result.labels, wanted)


@pytest.mark.parametrize("image", named(IMAGES))
def test_any_image_is_segmented(image, engine):
    before = image.copy()
    result = segment(image, ["red rings", "nuclei"], model=engine)
    check(result, image, prompts=2)
    np.testing.assert_array_equal(image, before)


@settings(max_examples=25)
@given(image=gray_images(40) | colour_images(40), threshold=st.none() | st.floats(0, 1))
def test_any_size_and_type_is_segmented(image, threshold, engine):
    assume(some_finite(image))
    before = image.copy()
    result = segment(image, "red rings", model=engine, threshold=threshold)
    check(result, image, prompts=1)
    assert result.threshold == (0.3 if threshold is None else threshold)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("image", named(GRAY))
def test_an_image_of_any_type_is_an_example(image, engine):
    before = image.copy()
    check(segment(RGB, [image], model=engine), RGB, prompts=1)
    np.testing.assert_array_equal(image, before)


def test_the_probability_is_the_engines_answer(engine):
    # Of the model's own size, so that nothing is resized.
    image = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    prompts = ["red rings", EXAMPLE]
    logits = engine.decode(engine.encode([image]), engine.embed(prompts))[0]
    result = segment(image, prompts, model=engine)
    np.testing.assert_allclose(result.probability, 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (96, 96), (31, 47)], ids=str)
def test_the_answer_lies_on_the_image(shape, engine, monkeypatch):
    # A model that finds what is bright, in its own square.
    def decode(pictures, _):
        square = Image.fromarray(pictures[0]).resize((96, 96), Image.Resampling.BILINEAR)
        return np.asarray(square, np.float32)[None, None, ..., 0] / 25 - 5

    monkeypatch.setattr(engine, "encode", lambda pictures: pictures)
    monkeypatch.setattr(engine, "decode", decode)
    image = np.zeros(shape)
    height, width = shape
    image[height // 5 : height // 2, width // 2 : width * 3 // 4] = 1
    labels = segment(image, "what is bright", model=engine, threshold=0.5).labels
    assert np.mean(labels != image) < 0.02
    assert np.mean(labels[:, ::-1] != image) > 0.1
    assert np.mean(labels[::-1] != image) > 0.1


def test_what_was_asked_for_is_kept(engine):
    result = segment(RGB, [" red rings\n", EXAMPLE, "nuclei"], model=engine, threshold=1)
    assert result.prompts == ("red rings", "image prompt 2", "nuclei")
    assert result.model == engine.name
    assert type(result.threshold) is float


def test_white_space_around_a_text_does_not_matter(engine):
    padded, plain = (segment(RGB, [p], model=engine) for p in (" red rings\n", "red rings"))
    np.testing.assert_array_equal(padded.probability, plain.probability)


@pytest.mark.parametrize("prompts", ["red rings", EXAMPLE], ids=["text", "array"])
def test_one_prompt_needs_no_list(prompts, engine):
    alone, listed = (segment(RGB, p, model=engine) for p in (prompts, [prompts]))
    np.testing.assert_array_equal(alone.probability, listed.probability)


def test_prompts_may_come_from_a_generator(engine):
    assert len(segment(RGB, (p for p in ("a", "b")), model=engine).probability) == 2


def test_a_prompt_has_the_same_answer_among_others(engine):
    together = segment(RGB, ["dog", EXAMPLE, "red rings"], model=engine).probability
    for i, prompt in enumerate(["dog", EXAMPLE, "red rings"]):
        alone = segment(RGB, prompt, model=engine).probability[0]
        np.testing.assert_allclose(together[i], alone, atol=1e-5)


def test_a_model_can_be_named_by_its_folder(checkpoint, engine):
    by_folder = segment(RGB, "dog", model=checkpoint("small"))
    np.testing.assert_allclose(
        by_folder.probability, segment(RGB, "dog", model=engine).probability, atol=1e-4
    )


def test_labels_follow_the_threshold():
    probability = np.array([[[0.2, 0.5, 0.9]], [[0.1, 0.6, 0.8]]], np.float32)
    for threshold, labels in ((0, [1, 2, 1]), (0.3, [0, 2, 1]), (0.7, [0, 0, 1])):
        result = Segmentation(probability, threshold, ("a", "b"), "")
        assert result.labels.tolist() == [labels]


STACK = np.zeros((3, 40, 50))
BAD = {
    "an empty image": (np.zeros((0, 5)), "dog", {}, ValueError, "The image is empty"),
    "a stack of planes": (STACK, "dog", {}, ValueError, "Choose one plane of a stack"),
    "a complex image": (np.ones((4, 4), complex), "dog", {}, TypeError, "complex128"),
    "an image of NaN": (np.full((4, 4), np.nan), "dog", {}, ValueError, "no finite pixel"),
    "no prompts": (RGB, [], {}, ValueError, "Got no prompt"),
    "an empty prompt": (RGB, "", {}, ValueError, "Got a blank prompt"),
    "a blank prompt": (RGB, ["dog", " \t"], {}, ValueError, "Got a blank prompt"),
    "None for a prompt": (RGB, None, {}, TypeError, "prompt of type NoneType"),
    "a number for a prompt": (RGB, ["dog", 5], {}, TypeError, "prompt of type int"),
    "bytes for a prompt": (RGB, [b"dog"], {}, TypeError, "prompt of type bytes"),
    "nested prompts": (RGB, [["dog"]], {}, TypeError, "prompt of type list"),
    "a long prompt": (RGB, "! " * 76, {}, ValueError, "has 78 tokens"),
    "a stack for a prompt": (RGB, ["dog", STACK], {}, ValueError, "Prompt 2: The image has shape"),
    "an empty example": (RGB, np.zeros((0, 5, 3)), {}, ValueError, "Prompt 1: The image is empty"),
    "an array of texts": (RGB, np.array(["dog"]), {}, TypeError, "Prompt 1: The image holds"),
    "a threshold in percent": (RGB, "dog", {"threshold": 30}, ValueError, "The threshold is 30"),
    "a threshold of NaN": (RGB, "dog", {"threshold": np.nan}, ValueError, "The threshold is nan"),
    "no such model": (RGB, "dog", {"model": "./no/thing"}, CheckpointError, "no checkpoint"),
}


@pytest.mark.parametrize(("image", "prompts", "options", "error", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_the_cure(image, prompts, options, error, says, engine):
    with pytest.raises(error) as caught:
        segment(image, prompts, **{"model": engine, **options})
    assert says in str(caught.value)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        segment(RGB, "dog", model=tmp_path)


def test_bad_prompts_are_refused_before_the_model_is_loaded(tmp_path):
    for prompts, options in (([], {}), ("dog", {"threshold": 2})):
        with pytest.raises(ValueError, match=r"Got no prompt|threshold"):
            segment(RGB, prompts, model=tmp_path, **options)


@pytest.mark.parametrize("prompts", [["dog"], ["dog", EXAMPLE, "nuclei"]], ids=len)
def test_progress_rises_step_by_step(prompts, engine):
    steps = segment_steps(as_plane(RGB), prompts, model=engine)
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            result = stop.value
            break
    assert [step.done for step in seen] == list(range(2 + 2 * len(prompts)))
    assert {step.total for step in seen} == {len(seen)}
    assert len({step.doing for step in seen}) == len(seen)
    np.testing.assert_array_equal(
        result.probability, segment(RGB, prompts, model=engine).probability
    )


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_run_can_be_stopped_between_any_steps(after, engine, monkeypatch):
    called = []
    for name in ("encode", "embed", "decode"):
        real = getattr(engine, name)
        monkeypatch.setattr(engine, name, lambda *a, n=name, r=real: (called.append(n), r(*a))[1])
    steps = segment_steps(as_plane(RGB), ["dog"], model=engine)
    for _ in range(after + 1):
        next(steps)
    steps.close()
    assert called == ["encode", "embed", "decode"][: max(0, after - 1)]
    with pytest.raises(StopIteration):
        next(steps)


def test_importing_it_imports_no_torch():
    code = (
        "import sys, napari_clipseg.segmentation; "
        "print(sorted({'torch', 'napari', 'tokenizers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
