from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given

from cases import IMAGES, colour_images, gray_images, named, some_finite
from napari_clipseg.asking import as_list, as_picture, as_prompt, names_of
from napari_clipseg.engine.prompts import Average, Blend

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
GRAY = PICTURE[..., 0].astype(np.uint16) * 257
STACK = np.zeros((3, 40, 50))
VECTOR = np.zeros(5, np.float32)
MIXTURE = Average(["dog", PICTURE])


@pytest.mark.parametrize("prompt", ["dog", PICTURE, MIXTURE, Blend("dog", PICTURE, 0.5)], ids=type)
def test_one_prompt_needs_no_list(prompt):
    (given_prompt,) = as_list(prompt)
    assert given_prompt is prompt


@pytest.mark.parametrize("many", [list, tuple, iter], ids=lambda kind: kind.__name__)
def test_several_prompts_become_a_list(many):
    prompts = as_list(many(["dog", PICTURE, MIXTURE]))
    assert type(prompts) is list
    assert prompts == ["dog", PICTURE, MIXTURE]


def test_no_prompt_may_be_enough():
    assert as_list((), least=0) == []


BAD_LISTS = {
    "nothing in a list": ([], ValueError, "Got no prompt; give a text such as 'nuclei'"),
    "a blank": (["dog", " \t"], ValueError, "Got a blank prompt; write what to look for"),
    "None": (None, TypeError, "prompt of type NoneType; wanted a text or an array"),
    "bytes": (b"dog", TypeError, "prompt of type int"),
    "a list in a list": ([["dog"]], TypeError, "prompt of type list"),
}


@pytest.mark.parametrize(("prompts", "error", "says"), BAD_LISTS.values(), ids=BAD_LISTS)
def test_what_is_no_prompt_is_refused_with_the_cure(prompts, error, says):
    with pytest.raises(error) as caught:
        as_list(prompts)
    assert says in str(caught.value)


def test_texts_are_stripped_and_vectors_are_as_they_are():
    assert as_prompt(" dog\n", 1) == "dog"
    assert as_prompt(VECTOR, 1) is VECTOR


def test_arrays_become_8_bit_rgb_in_mixtures_too():
    wanted = as_picture(GRAY)
    assert (wanted.dtype, wanted.shape) == (np.uint8, (6, 7, 3))
    np.testing.assert_array_equal(as_prompt(GRAY, 1), wanted)
    average = as_prompt(Average([" dog ", GRAY, VECTOR]), 1)
    assert average.prompts[0] == "dog"
    np.testing.assert_array_equal(average.prompts[1], wanted)
    assert average.prompts[2] is VECTOR
    blend = as_prompt(Blend(text=" dog ", image=Average([GRAY]), weight=0.3), 1)
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
        as_prompt(prompt, 7)
    assert says in str(caught.value)


@pytest.mark.parametrize("image", named(IMAGES))
def test_any_image_is_a_picture(image):
    before = image.copy()
    picture = as_picture(image)
    assert (picture.dtype, picture.shape) == (np.uint8, (*image.shape[:2], 3))
    np.testing.assert_array_equal(image, before)


@given(gray_images() | colour_images())
def test_any_size_and_type_is_a_picture(image):
    assume(some_finite(image))
    assert as_picture(image).shape == (*image.shape[:2], 3)


def test_names_are_texts_or_numbers():
    prompts = [" dog ", PICTURE, "cat", MIXTURE]
    assert names_of(prompts) == ["dog", "image prompt 2", "cat", "image prompt 4"]
