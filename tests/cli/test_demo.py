from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_clipseg.cli.demo import COLORS, draw, iou, measure
from napari_clipseg.results import Labelling, Segmentation
from napari_clipseg.sample_data import Sample

TRUTH = np.zeros((20, 30), np.uint8)
TRUTH[2:6, 3:9] = 1  # 24 pixels
TRUTH[10:15, 20:30] = 2  # 50 pixels
GRAY = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
PROMPTS = ("nuclei", "red rings")


def result_of(labels, prompts=PROMPTS):
    probability = np.stack([labels == k for k in range(1, len(prompts) + 1)]).astype(np.float32)
    return Segmentation(probability, Labelling(0.5), prompts, "random")


def sample_of(image=GRAY, truth=TRUTH):
    return Sample("mine", image, truth, PROMPTS)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        pytest.param([1, 1, 0], [1, 1, 0], 1, id="the same"),
        pytest.param([1, 1, 0], [0, 1, 1], 1 / 3, id="one of three"),
        pytest.param([1, 1, 1], [0, 1, 0], 1 / 3, id="one within the other"),
        pytest.param([1, 0, 0], [0, 1, 1], 0, id="apart"),
        pytest.param([0, 0, 0], [1, 0, 0], 0, id="nothing found"),
        pytest.param([0, 0, 0], [0, 0, 0], 1, id="nothing to find"),
    ],
)
def test_intersection_over_union(first, second, wanted):
    assert iou(np.array(first, bool), np.array(second, bool)) == pytest.approx(wanted)


def test_each_prompt_is_measured_against_its_own_truth():
    labels = TRUTH.copy()
    labels[10:15, 20:25] = 0  # half of the rings are not found
    labels[0, :6] = 1  # and nuclei where there are none
    nuclei, rings = measure(sample_of(), result_of(labels))
    assert (nuclei.prompt, rings.prompt) == PROMPTS
    assert nuclei.iou == pytest.approx(24 / 30)
    assert rings.iou == pytest.approx(0.5)
    assert (nuclei.found, nuclei.true) == (30 / 600, 24 / 600)
    assert (rings.found, rings.true) == (25 / 600, 50 / 600)


@pytest.mark.parametrize("image", [GRAY, np.dstack([GRAY] * 3)], ids=["gray", "RGB"])
def test_the_picture_shows_image_maps_and_labels(image, tmp_path):
    path = tmp_path / "sheet.png"
    before = image.copy()
    draw(sample_of(image), result_of(TRUTH), path)
    np.testing.assert_array_equal(image, before)
    with Image.open(path) as picture:
        sheet = np.asarray(picture.convert("RGB")).astype(int)
    colour = np.dstack([GRAY] * 3)
    labelled = colour // 2 + COLORS[np.maximum(TRUTH, 1) - 1] // 2
    panels = [
        colour,
        *(np.dstack([255 * (k == TRUTH)] * 3) for k in (1, 2)),
        np.where(TRUTH[..., None] > 0, labelled, colour),
    ]
    places = [find(sheet, panel) for panel in panels]
    assert [len(found) for found in places] == [1, 1, 1, 1]
    assert places == sorted(places)


def find(sheet, panel):
    """Where a panel lies on a sheet."""
    height, width = panel.shape[:2]
    return [
        (y, x)
        for y in range(sheet.shape[0] - height + 1)
        for x in range(sheet.shape[1] - width + 1)
        # Half of an odd value may be rounded either way.
        if np.abs(sheet[y, x : x + width] - panel[0]).max() <= 1
        and np.abs(sheet[y : y + height, x : x + width] - panel).max() <= 1
    ]
