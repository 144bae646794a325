from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.preprocessing.image_processor import ViTImageProcessor

RGB = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
PUBLIC = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": 352, "width": 352},
}
IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}


@pytest.fixture(scope="module")
def processor(checkpoint):
    return ViTImageProcessor.from_pretrained(checkpoint("small"))


@pytest.fixture(scope="module")
def reference(checkpoint):
    return ViTImageProcessorPil.from_pretrained(checkpoint("small"))


def assert_same(processor, reference, images):
    before = [np.array(p) for p in images]
    got = processor(images)
    colours = [np.asarray(Image.fromarray(np.asarray(p)).convert("RGB")) for p in images]
    # Without a word it takes 3 or 4 rows for channels.
    wanted = reference(colours, return_tensors="pt", input_data_format="channels_last")[
        "pixel_values"
    ]
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=0)
    for image, was in zip(images, before, strict=True):
        np.testing.assert_array_equal(image, was)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    gray=st.booleans(),
    seed=st.integers(0, 9),
)
def test_image_processor_equals_the_reference(height, width, gray, seed, processor, reference):
    shape = (height, width) if gray else (height, width, 3)
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert_same(processor, reference, [image])


@given(image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_image_processor_on_small_images_equals_the_reference(image, processor, reference):
    assert_same(processor, reference, [image])


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(RGB, id="RGB"),
        pytest.param(RGB[..., 1], id="gray"),
        pytest.param(RGB[::-2, ::3], id="strided"),
        pytest.param(RGB[:1], id="one row"),
        pytest.param(RGB[:1, :1], id="one pixel"),
        pytest.param(np.repeat(RGB[:4], 20, axis=1), id="strip"),
        pytest.param(Image.fromarray(RGB), id="Pillow"),
        pytest.param(Image.fromarray(RGB).convert("L"), id="Pillow, gray"),
    ],
)
def test_image_processor_on_kinds_of_images_equals_the_reference(image, processor, reference):
    assert_same(processor, reference, [image])


def test_image_processor_makes_one_batch_of_several_sizes(processor, reference):
    assert_same(processor, reference, [RGB, RGB[:5], RGB[:, :7, 0]])


def test_image_processor_ignores_transparency(processor):
    see_through = Image.fromarray(np.dstack([RGB, RGB[..., 0]]), "RGBA")
    torch.testing.assert_close(processor(see_through), processor(RGB))


@pytest.mark.parametrize("several", [[RGB], (RGB,)], ids=["list", "tuple"])
def test_image_processor_takes_one_image_without_a_list(several, processor):
    assert processor(RGB).shape == (1, 3, 96, 96)
    torch.testing.assert_close(processor(RGB), processor(several))


BAD = {
    "no image in the list": ([], ValueError, "Got no image"),
    "floats": (RGB / 255, ValueError, "Got an image of float64"),
    "16 bit": (RGB.astype(np.uint16), ValueError, "wanted uint8"),
    "RGBA": (np.dstack([RGB, RGB])[..., :4], ValueError, "(37, 53, 4)"),
    "channels first": (RGB.transpose(2, 0, 1), ValueError, "put the channels last"),
    "a line": (RGB[0, :, 0], ValueError, "(53,)"),
    "several in one array": (RGB[None], ValueError, "(1, 37, 53, 3)"),
    "empty": (RGB[:0], ValueError, "not empty"),
    "a file's name": ("cells.png", TypeError, "Got an image of type str; wanted a Pillow image"),
    "a list of names": (["cells.png"], TypeError, "Got an image of type str"),
    "a tensor": (torch.zeros(3, 9, 9), TypeError, "Got an image of type Tensor"),
    "one that is none": ([RGB, None], TypeError, "Got an image of type NoneType"),
}


@pytest.mark.parametrize(("images", "kind", "says"), BAD.values(), ids=BAD)
def test_image_processor_refuses_what_is_no_image(images, kind, says, processor):
    with pytest.raises(kind, match=re.escape(says)):
        processor(images)


def sized(side, **values):
    return ViTImageProcessor({"height": side, "width": side}, **values)


FORMATS = {
    "public": (PUBLIC, sized(352, **IMAGENET)),
    "size as a number": ({**PUBLIC, "size": 224}, sized(224, **IMAGENET)),
    "the oldest": (
        {
            "do_normalize": True,
            "do_resize": True,
            "feature_extractor_type": "ViTFeatureExtractor",
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "resample": 2,
            "size": 352,
        },
        sized(352, **IMAGENET),
    ),
    "only a size": ({"size": 96}, sized(96)),
    "nothing": ({}, sized(224)),
    "not square": (
        {"size": {"height": 32, "width": 64}},
        ViTImageProcessor({"height": 32, "width": 64}),
    ),
    "bicubic": ({**PUBLIC, "resample": 3}, sized(352, resample=3, **IMAGENET)),
    "not normalised": (
        {**PUBLIC, "do_normalize": False},
        sized(352, do_normalize=False, **IMAGENET),
    ),
    "not rescaled": ({**PUBLIC, "do_rescale": False}, sized(352, do_rescale=False, **IMAGENET)),
    "another factor": (
        {**PUBLIC, "rescale_factor": 0.5},
        sized(352, rescale_factor=0.5, **IMAGENET),
    ),
    "another mean": (
        {**PUBLIC, "image_mean": [0, 1, 2], "image_std": [1, 2, 3]},
        sized(352, image_mean=(0, 1, 2), image_std=(1, 2, 3)),
    ),
}


@pytest.mark.parametrize(("values", "wanted"), FORMATS.values(), ids=FORMATS)
def test_from_dict_reads_all_versions_of_the_format(values, wanted):
    assert ViTImageProcessor.from_dict(values) == wanted


@pytest.mark.parametrize("values", [values for values, _ in FORMATS.values()], ids=FORMATS)
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in processor_config.json"])
def test_from_pretrained_gives_the_pixels_of_the_reference(values, nested, folder):
    values = {**values, "image_processor_type": "ViTImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    if nested:
        whole = {"image_processor": values, "processor_class": "CLIPSegProcessor"}
        (folder / "processor_config.json").write_text(json.dumps(whole))
        (folder / "preprocessor_config.json").write_text('{"size": 32}')  # not asked
    got = ViTImageProcessor.from_pretrained(folder)(RGB)
    wanted = ViTImageProcessorPil.from_pretrained(folder)(RGB, return_tensors="pt")
    wanted = wanted["pixel_values"].float()
    torch.testing.assert_close(got, wanted, atol=1e-6 * max(1, wanted.abs().max().item()), rtol=0)


def test_from_pretrained_ignores_a_processor_config_without_the_entry(folder, processor):
    (folder / "processor_config.json").write_text('{"processor_class": "CLIPSegProcessor"}')
    assert ViTImageProcessor.from_pretrained(folder) == processor


@pytest.mark.parametrize("wanted", [w for _, w in FORMATS.values()], ids=FORMATS)
def test_save_pretrained_is_read_by_both(wanted, tmp_path):
    (tmp_path / "processor_config.json").write_text('{"image_processor": {"size": 32}}')
    wanted.save_pretrained(tmp_path)
    assert ViTImageProcessor.from_pretrained(tmp_path) == wanted
    theirs = ViTImageProcessorPil.from_pretrained(tmp_path)(RGB, return_tensors="pt")
    torch.testing.assert_close(wanted(RGB), theirs["pixel_values"].float(), atol=1e-3, rtol=1e-6)


BROKEN = {
    "size of another form": {"size": {"shortest_edge": 96}},
    "size is text": {"size": "96"},
    "size is null": {"size": None},
    "size 0": {"size": 0},
    "a size for no memory": {"size": 10**30},
    "a size for little memory": {"size": {"height": 96, "width": 4097}},
    "size infinite": {"size": {"height": float("inf"), "width": 96}},
    "interpolation infinite": {"size": 96, "resample": float("inf")},
    "interpolation NaN": {"size": 96, "resample": float("nan")},
    "factor infinite": {"size": 96, "rescale_factor": float("inf")},
    "factor of 400 digits": {"size": 96, "rescale_factor": 10**400},
    "mean NaN": {"size": 96, "image_mean": [0.5, float("nan"), 0.5]},
    "deviation infinite": {"size": 96, "image_std": float("inf")},
    "deviations infinite": {"size": 96, "image_std": [float("inf")]},
    "negative size": {"size": {"height": -96, "width": 96}},
    "unknown interpolation": {"size": 96, "resample": 99},
    "interpolation is null": {"size": 96, "resample": None},
    "means are text": {"size": 96, "image_mean": "x"},
    "two means": {"size": 96, "image_mean": [0.5, 0.5]},
    "means are null": {"size": 96, "image_mean": None},
    "deviation of 0": {"size": 96, "image_std": [0.2, 0, 0.2]},
    "factor is null": {"size": 96, "rescale_factor": None},
    "not resized": {"size": 96, "do_resize": False},
}


@pytest.mark.parametrize("values", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in processor_config.json"])
def test_from_pretrained_names_a_wrong_file_and_the_cure(values, nested, folder):
    name = "processor_config.json" if nested else "preprocessor_config.json"
    (folder / name).write_text(json.dumps({"image_processor": values} if nested else values))
    with pytest.raises(CheckpointError, match=rf"/{name} does not say how .* Get the checkpoint's"):
        ViTImageProcessor.from_pretrained(folder)


def test_from_pretrained_refuses_an_entry_that_is_no_mapping(folder):
    (folder / "processor_config.json").write_text('{"image_processor": [1]}')
    with pytest.raises(CheckpointError, match=r"processor_config\.json does not say how"):
        ViTImageProcessor.from_pretrained(folder)
