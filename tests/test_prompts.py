from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given

from cases import IMAGES, colour_images, gray_images, named, some_finite
from napari_clipseg.engine.prompts import Average, Blend
from napari_clipseg.images.visual_prompts import Example
from napari_clipseg.prompts import as_prompts, as_rgb, own_names, resolved

RGB = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
GRAY = RGB[..., 0].astype(np.uint16) * 257
STACK = np.zeros((3, 40, 50))
VECTOR = np.zeros(5, np.float32)
MIXTURE = Average(["dog", RGB])


@pytest.mark.parametrize("prompt", ["dog", RGB, MIXTURE, Blend("dog", RGB, 0.5)], ids=type)
def test_one_prompt_needs_no_list(prompt):
    (given_prompt,) = as_prompts(prompt)
    assert given_prompt is prompt


@pytest.mark.parametrize("many", [list, tuple, iter], ids=lambda kind: kind.__name__)
def test_several_prompts_become_a_tuple(many):
    prompts = as_prompts(many([" dog ", RGB, MIXTURE]))
    assert prompts == ("dog", RGB, MIXTURE)


BAD_LISTS = {
    "a blank": (["dog", " \t"], ValueError, "Got a blank prompt; write what to look for"),
    "None": (None, TypeError, "prompt of type NoneType; wanted a text, an array"),
    "bytes": (b"dog", TypeError, "prompt of type int"),
    "a list in a list": ([["dog"]], TypeError, "prompt of type list"),
}


@pytest.mark.parametrize(("prompts", "error", "says"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_what_is_no_prompt_is_refused_with_the_cure(prompts, error, says):
    with pytest.raises(error) as caught:
        as_prompts(prompts)
    assert says in str(caught.value)


def test_texts_are_stripped_and_vectors_are_copied():
    assert resolved(" dog\n", 1) == "dog"
    vector = resolved(VECTOR, 1)
    np.testing.assert_array_equal(vector, VECTOR)
    assert not np.shares_memory(vector, VECTOR)


def test_arrays_become_8_bit_rgb_in_mixtures_too():
    wanted = as_rgb(GRAY)
    assert (wanted.dtype, wanted.shape) == (np.uint8, (6, 7, 3))
    np.testing.assert_array_equal(resolved(GRAY, 1), wanted)
    average = resolved(Average([" dog ", GRAY, VECTOR]), 1)
    assert average.prompts[0] == "dog"
    np.testing.assert_array_equal(average.prompts[1], wanted)
    np.testing.assert_array_equal(average.prompts[2], VECTOR)
    blend = resolved(Blend(text=" dog ", image=Average([GRAY]), weight=0.3), 1)
    assert (blend.text, blend.weight) == ("dog", 0.3)
    np.testing.assert_array_equal(blend.image.prompts[0], wanted)


BAD_ARRAYS = {
    "a stack": (STACK, ValueError, "Prompt 7: The image has shape (3, 40, 50); wanted (height"),
    "a stack in an average": (Average(["dog", STACK]), ValueError, "Prompt 7: The image has"),
    "empty": (np.zeros((0, 5, 3)), ValueError, "Prompt 7: The image is empty"),
    "no finite pixel": (np.full((3, 3), np.nan), ValueError, "Prompt 7: The image has no finite"),
    "texts": (np.array([["dog"]]), TypeError, "Prompt 7: The image holds values of type <U3"),
    "a line of integers": (np.arange(5), ValueError, "Prompt 7: The image has shape (5,)"),
    "a line of texts": (np.array(["dog"]), TypeError, "Prompt 7: The image holds values"),
}


@pytest.mark.parametrize(("prompt", "error", "says"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_bad_examples_are_refused_with_their_number(prompt, error, says):
    with pytest.raises(error) as caught:
        resolved(prompt, 7)
    assert says in str(caught.value)


@pytest.mark.parametrize("image", named(IMAGES))
def test_any_image_becomes_rgb(image):
    before = image.copy()
    rgb = as_rgb(image)
    assert (rgb.dtype, rgb.shape) == (np.uint8, (*image.shape[:2], 3))
    np.testing.assert_array_equal(image, before)


@given(gray_images() | colour_images())
def test_any_size_and_type_becomes_rgb(image):
    assume(some_finite(image))
    assert as_rgb(image).shape == (*image.shape[:2], 3)


def test_own_names_are_texts_or_numbers():
    names = own_names(["dog", RGB, "cat", MIXTURE, Average(["a", "b"])], "image prompt")
    assert list(names) == ["dog", "image prompt 2", "cat", "image prompt 4", "a, b"]


def test_an_example_is_read_when_it_is_resolved():
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    boxes = [np.array([[5, 5], [15, 20]]), np.array([[20, 20], [30, 40]])]
    one = resolved(Example(image, boxes[0]), 1)
    assert (one.dtype, one.shape[2]) == (np.uint8, 3)
    both = resolved(Example(image, boxes), 1)
    assert len(both.prompts) == 2
    np.testing.assert_array_equal(both.prompts[0], one)


def test_an_example_beside_the_image_is_refused_with_its_number():
    with pytest.raises(ValueError, match=r"Prompt 3: .* covers no pixel"):
        resolved(Example(RGB, [[100, 100], [120, 120]]), 3)
