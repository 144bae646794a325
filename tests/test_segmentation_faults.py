from __future__ import annotations

import numpy as np
import pytest

from cases import COLOUR
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.segmentation import segment

RGB = COLOUR["RGB uint8"]
PLAIN = Appearance(contrast=(0, 255))
STACK = np.zeros((3, 40, 50))
NAN = np.full((4, 4), np.nan)
BAD = {
    "an empty image": (np.zeros((0, 5)), "dog", {}, ValueError, "The image is empty"),
    "a complex image": (np.ones((4, 4), complex), "dog", {}, TypeError, "complex128"),
    "an image of NaN": (NAN, "dog", {}, ValueError, "no finite pixel"),
    "NaN in a given contrast": (NAN, "dog", {"appearance": PLAIN}, ValueError, "no finite pixel"),
    "no prompts": (RGB, [], {}, ValueError, "Got no prompt"),
    "an empty prompt": (RGB, "", {}, ValueError, "Got a blank prompt"),
    "a blank prompt": (RGB, ["dog", " \t"], {}, ValueError, "Got a blank prompt"),
    "a blank negative prompt": (RGB, "dog", {"negative_prompts": " "}, ValueError, "blank prompt"),
    "None for a prompt": (RGB, None, {}, TypeError, "prompt of type NoneType"),
    "a number for a prompt": (RGB, ["dog", 5], {}, TypeError, "prompt of type int"),
    "bytes for a prompt": (RGB, [b"dog"], {}, TypeError, "prompt of type bytes"),
    "nested prompts": (RGB, [["dog"]], {}, TypeError, "prompt of type list"),
    "a long prompt": (RGB, "! " * 76, {}, ValueError, "has 78 tokens"),
    "a stack for a prompt": (RGB, ["dog", STACK], {}, ValueError, "Prompt 2: The image has shape"),
    "an empty example": (RGB, np.zeros((0, 5, 3)), {}, ValueError, "Prompt 1: The image is empty"),
    "an array of texts": (RGB, np.array([["dog"]]), {}, TypeError, "Prompt 1: The image holds"),
    "a threshold in percent": (RGB, "dog", {"threshold": 30}, ValueError, "The threshold is 30"),
    "a threshold of NaN": (RGB, "dog", {"threshold": np.nan}, ValueError, "The threshold is nan"),
    "too many thresholds": (
        RGB,
        "dog",
        {"threshold": [0.1, 0.2]},
        ValueError,
        "Got 2 thresholds for 1 prompts",
    ),
    "a low threshold in percent": (
        RGB,
        "dog",
        {"low_threshold": 20},
        ValueError,
        "The threshold is 20",
    ),
    "a low threshold above the other": (
        RGB,
        "dog",
        {"low_threshold": 0.6, "threshold": 0.5},
        ValueError,
        "The low threshold is 0.6, above the threshold 0.5",
    ),
    "a low threshold above the checkpoint's": (
        RGB,
        "dog",
        {"low_threshold": 0.6},
        ValueError,
        "The low threshold is 0.6, above the threshold 0.3",
    ),
    "edges refined in a file": (
        RGB,
        "dog",
        {"refine_edges": True, "output": "map.zarr"},
        ValueError,
        "Edges are refined in memory",
    ),
    "another detail": (RGB, "dog", {"detail": "finest"}, ValueError, "The tile size is 'finest'"),
    "millions of tiles": (
        np.zeros((4000, 4000), np.uint8),
        "dog",
        {"detail": 4},
        ValueError,
        "1,776,889 on a plane of 4000 x 4000 pixels; wanted at most 500,000",
    ),
    "a window beyond the plane": (
        RGB,
        "dog",
        {"instances": InstanceOptions(smooth=1e8)},
        ValueError,
        "Got smooth=100000000.0; on planes of 12 x 20 pixels wanted at most 20",
    ),
    "no such axis": (RGB, "dog", {"planes": {"z": 0}}, ValueError, "Got planes along ['z']"),
    "axes that do not fit": (RGB, "dog", {"axes": "yx"}, ValueError, "Got 2 names 'yx'"),
    "a map of another type": (RGB, "dog", {"dtype": "int8"}, ValueError, "'int8' for the map"),
    "a map in another format": (RGB, "dog", {"output": "map.tif"}, ValueError, "ends in .zarr"),
    "no such field": (RGB, "dog", {"treshold": 0.5}, TypeError, "treshold"),
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


@pytest.mark.parametrize(
    ("prompts", "options"),
    [
        ([], {}),
        ("dog", {"threshold": 2}),
        ("dog", {"low_threshold": 2}),
        ("dog", {"threshold": [0.1] * 3}),
    ],
    ids=str,
)
def test_bad_prompts_are_refused_before_the_model_is_loaded(prompts, options, tmp_path):
    with pytest.raises(ValueError, match=r"Got no prompt|threshold"):
        segment(RGB, prompts, model=tmp_path, **options)
