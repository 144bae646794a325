"""Image prompts in the dock: the example is cut, faded and asked for as in Python."""

import numpy as np
import pytest

from napari_clipseg import Recipe, segment
from napari_clipseg.engine.prompts import Average
from napari_clipseg.images.visual_prompts import visual_prompt

pytestmark = pytest.mark.window(False)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def test_a_rectangle_on_the_image_itself(viewer, dock, run, image):
    layer = viewer.add_image(image, name="cells")
    region = viewer.add_shapes([[[9.6, 20], [9.6, 30], [17.6, 30], [17.6, 20]]], name="here")
    run(reference=layer, region=region)
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:18, 20:31] = True
    wanted = segment(image, visual_prompt(image, mask), model=dock.model.value, refine_edges=True)
    probability, labels = viewer.layers[-2:]
    assert probability.name == "cells · like here in cells"
    np.testing.assert_allclose(probability.data, wanted.probability[0], atol=1e-6)
    np.testing.assert_array_equal(labels.data, wanted.labels)
    recipe = Recipe.of(labels)
    assert recipe.prompt_names == ("like here in cells",)
    np.testing.assert_array_equal(recipe.prompts[0], visual_prompt(image, mask))
    np.testing.assert_array_equal(segment(layer, recipe).labels, labels.data)


def test_another_image_as_a_whole(viewer, dock, run, image):
    viewer.add_image(image, name="cells")
    example = viewer.add_image(image[:20, :20], name="example", rgb=True)
    dock.image.value = viewer.layers["cells"]
    run(reference=example, region=None)
    wanted = segment(image, image[:20, :20], model=dock.model.value, refine_edges=True)
    assert viewer.layers[-2].name == "cells · like example"
    np.testing.assert_allclose(viewer.layers[-2].data, wanted.probability[0], atol=1e-6)


def test_a_moved_rectangle_is_another_question_with_a_result_of_its_own(viewer, run, image):
    layer = viewer.add_image(image, name="cells")
    region = viewer.add_shapes([[[2, 2], [2, 12], [12, 12], [12, 2]]], name="here")
    run(reference=layer, region=region)
    first = viewer.layers[-2]
    before = first.data.copy()
    region.data = [np.array([[20, 30], [20, 50], [38, 50], [38, 30]])]
    run(reference=layer, region=region)
    assert len(viewer.layers) == 6
    assert not np.array_equal(viewer.layers[-2].data, before)
    np.testing.assert_array_equal(first.data, before)
    run(reference=layer, region=region)
    assert len(viewer.layers) == 6


def test_several_selected_shapes_are_one_prompt_of_several_examples(viewer, dock, run, image):
    layer = viewer.add_image(image, name="cells")
    boxes = [np.array([[2, 2], [2, 9], [9, 9], [9, 2]]) + shift for shift in (0, 20)]
    region = viewer.add_shapes(boxes, name="here")
    region.selected_data = {0, 1}
    run(reference=layer, region=region)
    cut = []
    for shift in (0, 20):
        mask = np.zeros((40, 60), dtype=bool)
        mask[2 + shift : 9 + shift, 2 + shift : 9 + shift] = True
        cut.append(visual_prompt(image, mask))
    wanted = segment(image, Average(cut), model=dock.model.value, refine_edges=True)
    np.testing.assert_allclose(viewer.layers[-2].data, wanted.probability[0], atol=0.01)


def test_the_selected_label_of_a_labels_layer(viewer, dock, run, image):
    layer = viewer.add_image(image, name="cells", scale=(0.5, 0.5), translate=(3, 4))
    painted = np.zeros((20, 30), dtype=int)  # half as fine as the image
    painted[4:8, 10:14] = 2
    painted[12:16, 20:26] = 2
    painted[0, 0] = 1
    region = viewer.add_labels(painted, name="painted", scale=(1, 1), translate=(3.25, 4.25))
    region.selected_label = 2
    run(reference=layer, region=region)
    cut = []
    for rows, columns in ((slice(24, 32), slice(40, 52)), (slice(8, 16), slice(20, 28))):
        mask = np.zeros((40, 60), dtype=bool)
        mask[rows, columns] = True
        cut.append(visual_prompt(image, mask))
    wanted = segment(image, Average(cut), model=dock.model.value, refine_edges=True)
    assert viewer.layers[-2].name == "cells · like label 2 of painted"
    # The corners that the outline cuts off make a small difference.
    np.testing.assert_allclose(viewer.layers[-2].data, wanted.probability[0], atol=0.05)


@pytest.mark.parametrize("selected", [0, 7])
def test_a_label_that_is_nowhere(viewer, dock, run, image, told, selected):
    layer = viewer.add_image(image, name="cells")
    region = viewer.add_labels(np.ones((40, 60), dtype=int), name="painted")
    region.selected_label = selected
    run(reference=layer, region=region)
    assert f"no pixel of its selected label, {selected}" in told()
    assert len(viewer.layers) == 2
