import numpy as np
import pytest

from napari_clipseg import Example
from napari_clipseg.engine.prompts import Average, Blend, leaves, require_images

IMAGE = np.zeros((30, 40, 3), np.uint8)


def test_average_wants_a_list_of_prompts():
    with pytest.raises(ValueError, match="no prompts to average"):
        Average([])
    with pytest.raises(ValueError, match="no prompts to average"):
        Average("rings")


MIXED = {
    "a number": lambda: Average(["a", 5]),
    "nothing": lambda: Average([None]),
    "bytes": lambda: Average([b"a"]),
    "deep": lambda: Average(["a", [("b")]]),
    "a number to blend": lambda: Blend("a", 5),
    "nothing to blend": lambda: Blend(None, IMAGE),
}


@pytest.mark.parametrize("make", MIXED.values(), ids=MIXED)
def test_mixtures_refuse_what_is_no_prompt_when_they_are_made(make):
    with pytest.raises(TypeError, match=r"prompt of type .*; wanted a text, an array"):
        make()


def test_mixtures_take_what_becomes_a_prompt_later():
    example = Example(IMAGE, ((0, 0), (9, 9)))
    assert Average(["a", example]).prompts[1] is example
    assert Blend("a", example).image is example


@pytest.mark.parametrize("weight", [-0.1, 1.5, float("nan")])
def test_blend_wants_a_weight_from_0_to_1(weight):
    with pytest.raises(ValueError, match=rf"weight of the image is {weight}; wanted 0 to 1"):
        Blend("rings", IMAGE, weight)


def test_leaves_yields_what_mixtures_consist_of():
    vector = np.zeros(4, np.float32)
    prompts = ["a", Average(["b", Blend("c", IMAGE)]), vector]
    found = list(leaves(prompts))
    assert found[:3] == ["a", "b", "c"]
    assert found[3] is IMAGE
    assert found[4] is vector


def test_leaves_refuses_other_types():
    with pytest.raises(TypeError, match="prompt of type int; wanted a text, an array"):
        list(leaves(["a", 3]))


# name: a value that is no image, and what the error says
NO_IMAGES = {
    "floats": (IMAGE / 255, ValueError, r"Got an image of float64 and shape .*; wanted uint8 and"),
    "16 bit": (IMAGE.astype(np.uint16), ValueError, "image of uint16 .* Scale its values to 0 to"),
    "a list": (IMAGE.tolist(), TypeError, "image of type list; wanted an array .* numpy.asarray"),
    "nothing": (None, TypeError, "image of type NoneType"),
}


@pytest.mark.parametrize(("x", "kind", "says"), NO_IMAGES.values(), ids=NO_IMAGES)
def test_require_images(x, kind, says):
    require_images([])
    require_images([IMAGE])
    with pytest.raises(kind, match=says):
        require_images([IMAGE, x])
