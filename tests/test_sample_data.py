"""The samples: an image, what to ask of it, and the right answer, all of one size."""

from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.sample_data import SAMPLES, load_sample, micrograph, shapes


@pytest.mark.parametrize("name", SAMPLES)
def test_the_truth_answers_each_prompt_somewhere(name: str) -> None:
    sample = load_sample(name)
    assert sample.name == name
    assert sample.truth.shape == sample.image.shape[:2]
    assert set(np.unique(sample.truth)) == set(range(len(sample.prompts) + 1))
    assert all(prompt and prompt == prompt.strip() for prompt in sample.prompts)


@pytest.mark.parametrize(
    ("opened", "name", "dimensions"), [(shapes, "shapes", 3), (micrograph, "micrograph", 2)]
)
def test_napari_gets_one_image_layer(opened, name: str, dimensions: int) -> None:
    ((image, about, kind),) = opened()
    assert (about["name"], kind, image.ndim, image.dtype) == (name, "image", dimensions, np.uint8)
    np.testing.assert_array_equal(image, load_sample(name).image)
    assert image.flags.writeable


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'nuclei'.*shapes, micrograph"):
        load_sample("nuclei")
