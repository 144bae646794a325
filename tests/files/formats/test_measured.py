"""Tables beside scikit-image's, and overlays."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage.measure import regionprops_table

from exported import CASES, TWO, image_of, made_of, table_read, written
from napari_clipseg import Appearance
from napari_clipseg.files.formats.records import read_record
from napari_clipseg.results import Segmentation

MEASURED = {
    "2-D": "yx",
    "an image with channels": "cyx",
    "a stack": "zyx",
    "a stack in time": "tzyx",
    "a region": "yx",
    "planes backwards": "zyx",
    "no objects": "yx",
}


@pytest.mark.parametrize("case", MEASURED)
def test_intensities_in_tables_are_those_of_scikit_image(case, tmp_path):
    result, image = CASES[case], image_of(CASES[case])
    found = table_read("csv", written("csv", result, tmp_path, image=image))
    channels_last = np.moveaxis(image, 0, -1) if "c" in result.axes else image[..., None]
    if case == "a region":
        channels_last = channels_last[3:, 70:]
    if case == "planes backwards":
        channels_last = channels_last[::-2]
    planes = result.extent.planes_shape
    stack = result.labels.reshape(-1, *result.labels.shape[-2:]) if planes else result.labels
    properties = ("label", "intensity_mean", "intensity_min", "intensity_max", "intensity_std")
    theirs = regionprops_table(
        stack,
        channels_last.reshape(*stack.shape, channels_last.shape[-1]).astype(float),
        properties=properties,
    )
    labels = theirs.pop("label")
    assert found["index"].tolist() == labels.tolist()
    assert [name for name in found if name.startswith("intensity")]
    for name, column in theirs.items() if len(labels) else ():
        own = name if name[-2] == "-" else f"{name}-0"
        np.testing.assert_allclose(found[own], column, rtol=1e-12)


def test_area_and_shape_in_tables_are_those_of_scikit_image(tmp_path):
    result = CASES["anisotropic pixels"]
    found = table_read("csv", written("csv", result, tmp_path))
    properties = ("area", "axis_major_length", "axis_minor_length", "eccentricity", "centroid")
    theirs = regionprops_table(result.labels, spacing=result.extent.spacing, properties=properties)
    for name, column in theirs.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-12)
    assert set(found["unit"]) == {"um"}


def overlay_of(result, folder, image):
    path = written("overlay", result, folder, image=image)
    with Image.open(path) as png:
        return np.array(png)


def test_an_overlay_shows_labels_on_the_image(tmp_path):
    result = CASES["labels of prompts"]
    gray = np.arange(result.labels.size, dtype=np.uint8).reshape(result.labels.shape)
    recipe = result.recipe.replace(appearance=Appearance(contrast=(0, 255)))
    result = Segmentation(result.probability, 0.5, recipe, result.extent)
    found = overlay_of(result, tmp_path, gray)
    outside = result.labels == 0
    np.testing.assert_array_equal(found[outside], np.repeat(gray[outside][:, None], 3, axis=1))
    for label, color in ((1, (255, 0, 255)), (2, (0, 255, 0))):
        inside = result.labels == label
        wanted = (gray[inside][:, None].astype(int) + color) // 2
        np.testing.assert_array_equal(found[inside], wanted)


def test_an_overlay_of_a_stack_is_its_fullest_plane(tmp_path):
    classes = np.stack([TWO * 0, TWO, TWO > 9])
    image = np.zeros(classes.shape, np.uint8)
    found = overlay_of(made_of(classes, prompts=("a", "b")), tmp_path, image)
    np.testing.assert_array_equal(found.any(axis=-1), TWO > 0)
    assert read_record(tmp_path / "cells.overlay.png")["planes"] == {"z": 1}


def test_an_overlay_of_a_large_image_is_small(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_clipseg.files.formats.overlay.MOST", 50)
    result = CASES["wider than a tile"]
    found = overlay_of(result, tmp_path, np.zeros(result.labels.shape, np.uint8))
    assert found.shape == (-(-280 // 11), 50, 3)


def test_an_overlay_of_an_image_without_objects_is_the_image(tmp_path):
    found = overlay_of(CASES["no objects"], tmp_path, np.zeros((4, 5, 3), np.uint8)[..., 0])
    assert not found.any()
