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
    # Without a word, 3 rows could be channels, too.
    got = processor(images, input_data_format="channels_last").pixel_values
    colours = [np.asarray(Image.fromarray(np.asarray(p)).convert("RGB")) for p in images]
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
    torch.testing.assert_close(pixels(processor, see_through), pixels(processor, RGB))


@pytest.mark.parametrize("several", [[RGB], (RGB,)], ids=["list", "tuple"])
def test_image_processor_takes_one_image_without_a_list(several, processor):
    assert pixels(processor, RGB).shape == (1, 3, 96, 96)
    torch.testing.assert_close(pixels(processor, RGB), pixels(processor, several))


GRAY = RGB[..., 1]
HALVES = (RGB / 255).astype(np.float16)
# name: an image that is not as RGB is, and RGB or GRAY, which it is the same as
SAME = {
    "floats from 0 to 1": (RGB / 255, RGB),
    "float32": (RGB.astype(np.float32) / 255, RGB),
    "float16": (HALVES, np.rint(HALVES.astype(np.float32) * 255).astype(np.uint8)),
    "floats from 0 to 255": (RGB.astype(np.float32), RGB),
    "gray floats": (GRAY / 255, GRAY),
    "black floats": (np.zeros((9, 7)), np.zeros((9, 7), np.uint8)),
    "channels first": (RGB.transpose(2, 0, 1), RGB),
    "channels first, floats": (RGB.transpose(2, 0, 1) / 255, RGB),
    "one channel, first": (GRAY[None], GRAY),
    "one channel, last": (GRAY[..., None], GRAY),
    "a tensor": (torch.from_numpy(RGB).permute(2, 0, 1), RGB),
    "a tensor, channels last": (torch.from_numpy(RGB), RGB),
    "a tensor of floats": (torch.from_numpy(RGB).permute(2, 0, 1) / 255, RGB),
    "a tensor of bfloat16": (torch.from_numpy(RGB // 128 * 255).bfloat16() / 255, RGB // 128 * 255),
    "a gray tensor": (torch.from_numpy(GRAY.copy()), GRAY),
    "a batch of one": (RGB[None], RGB),
    "a tensor of one": (torch.from_numpy(RGB).permute(2, 0, 1)[None], RGB),
    "a tensor in a list": ([torch.from_numpy(RGB)], RGB),
    "big-endian": ((RGB / 255).astype(">f4"), RGB),
}


@pytest.mark.parametrize(("image", "same"), SAME.values(), ids=SAME)
def test_image_processor_takes_kinds_of_numbers_and_axes(image, same, processor):
    assert torch.equal(pixels(processor, image), pixels(processor, same))


@pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "tensor"])
def test_image_processor_takes_a_batch_in_one_array(as_tensor, processor):
    batch = np.stack([RGB, RGB[::-1]])
    got = pixels(processor, torch.from_numpy(batch).permute(0, 3, 1, 2) if as_tensor else batch)
    assert torch.equal(got, pixels(processor, list(batch)))


@given(
    image=hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.just(3))),
    floats=st.booleans(),
)
def test_image_processor_reads_an_image_as_it_is_told(image, floats, processor):
    wanted = pixels(processor, image, input_data_format="channels_last")
    first = image.transpose(2, 0, 1)
    first = first / 255 if floats else torch.from_numpy(first.copy())
    assert torch.equal(pixels(processor, first, input_data_format="channels_first"), wanted)


def test_image_processor_of_floats_equals_the_reference(processor, reference):
    """The reference wants floats from 0 to 255, or a word that they are rescaled."""
    wanted = reference(
        RGB.astype(np.float32), return_tensors="pt", input_data_format="channels_last"
    )
    got = pixels(processor, RGB / 255)
    torch.testing.assert_close(got, wanted["pixel_values"], atol=1e-6, rtol=0)


def test_image_processor_returns_tensors_arrays_and_lists(processor, reference):
    tensor = processor(RGB)
    assert list(tensor) == ["pixel_values"]
    assert torch.equal(tensor.pixel_values, processor(images=RGB, return_tensors="pt").pixel_values)
    array = processor([RGB, RGB], return_tensors="np").pixel_values
    one_by_one = processor([RGB, RGB], return_tensors=None).pixel_values
    wanted = reference([RGB, RGB], return_tensors=None)["pixel_values"]
    assert isinstance(one_by_one, list)
    for other in (array, one_by_one, wanted):
        assert len(other) == 2
        for got in other:
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, tensor.pixel_values[0], atol=1e-6)


pixel_values = torch.linspace(-2.1, 2.6, 3 * 9 * 9).reshape(3, 9, 9)
BAD = {
    "no image in the list": ([], ValueError, "Got no image"),
    "floats beyond 1": (RGB / 100, ValueError, "with values from 0 to 2.55; wanted floats from 0"),
    "floats below 0": (RGB / 255 - 0.5, ValueError, "from -0.5 to 0.5; wanted floats from 0 to 1"),
    "normalized": (pixel_values, ValueError, "needs no processor: give it to the model"),
    "NaN": (np.full((9, 9), np.nan), ValueError, "with values from nan to nan; wanted floats"),
    "infinite": (np.full((9, 9), np.inf), ValueError, "with values from inf to inf; wanted floats"),
    "16 bit": (
        RGB.astype(np.uint16),
        ValueError,
        "Got an image of uint16; wanted uint8, or floats",
    ),
    "whole numbers": (
        torch.zeros(9, 9, dtype=torch.int64),
        ValueError,
        "an image of int64; wanted",
    ),
    "bool": (RGB > 9, ValueError, "image of bool; wanted uint8, or floats"),
    "complex": (RGB + 1j, ValueError, "image of complex128; wanted uint8, or floats from 0 to 1."),
    "RGBA": (np.dstack([RGB, RGB])[..., :4], ValueError, "(37, 53, 4)"),
    "channels first or last": (RGB[:3], ValueError, "(3, 53, 3), in which the first or the last "),
    "a gray row or column": (RGB[:1, :, :1], ValueError, "Add input_data_format='channels_first'"),
    "channels between": (RGB.transpose(0, 2, 1), ValueError, "(37, 3, 53); wanted a Pillow image"),
    "a line": (RGB[0, :, 0], ValueError, "(53,)"),
    "a batch of batches": (RGB[None, None], ValueError, "shape (1, 1, 37, 53, 3)"),
    "a batch in a list": ([RGB[None]], ValueError, "shape (1, 37, 53, 3)"),
    "an empty batch": (RGB[None][:0], ValueError, "Got no image"),
    "empty": (RGB[:0], ValueError, "not empty"),
    "a file's name": ("cells.png", TypeError, "Got an image of type str; wanted a Pillow image"),
    "a list of names": (["cells.png"], TypeError, "Got an image of type str"),
    "a tensor with gradients": (
        torch.zeros(3, 9, 9, requires_grad=True),
        ValueError,
        "requires gradients as an image; images are made 8-bit, which ends gradients. Call detach",
    ),
    "one that is none": ([RGB, None], TypeError, "Got an image of type NoneType"),
}


@pytest.mark.parametrize(("images", "kind", "says"), BAD.values(), ids=BAD)
def test_image_processor_refuses_what_is_no_image(images, kind, says, processor):
    with pytest.raises(kind, match=re.escape(says)):
        processor(images)


FORMATS_REFUSED = {
    "another word": ("last", RGB, "input_data_format is 'last'; wanted one of 'channels_first', "),
    "not where it is": ("channels_first", RGB, "has 37 channels by input_data_format='channels_fi"),
    "four channels": ("channels_last", RGB[..., [0, 0, 0, 0]], "has 4 channels by input_data_form"),
}


@pytest.mark.parametrize(("word", "image", "says"), FORMATS_REFUSED.values(), ids=FORMATS_REFUSED)
def test_image_processor_refuses_a_format_that_does_not_fit(word, image, says, processor):
    with pytest.raises(ValueError, match=re.escape(says)):
        processor(image, input_data_format=word)


def test_image_processor_refuses_another_kind_of_result(processor):
    with pytest.raises(ValueError, match="return_tensors is 'tf'; wanted 'pt' for tensors, as the"):
        processor(RGB, return_tensors="tf")


def pixels(processor, images, **options):
    return processor(images, **options).pixel_values


def sized(side, **values):
    return ViTImageProcessor(size={"height": side, "width": side}, **values)


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
        ViTImageProcessor(size={"height": 32, "width": 64}),
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
    "settings that change nothing": (
        {**PUBLIC, "do_convert_rgb": True, "do_center_crop": False, "do_pad": None, "crop_size": 9},
        sized(352, **IMAGENET),
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
    got = pixels(ViTImageProcessor.from_pretrained(folder), RGB)
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
    torch.testing.assert_close(
        pixels(wanted, RGB), theirs["pixel_values"].float(), atol=1e-3, rtol=1e-6
    )


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
    "deviation of nearly 0": {"size": 96, "image_std": [0.2, 1e-99, 0.2]},
    "mean beyond float32": {"size": 96, "image_mean": [1e38]},
    "deviation of 0": {"size": 96, "image_std": [0.2, 0, 0.2]},
    "factor is null": {"size": 96, "rescale_factor": None},
    "not resized": {"size": 96, "do_resize": False},
    "cropped": {"size": 96, "do_center_crop": True, "crop_size": 64},
    "padded": {"size": 96, "do_pad": True},
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
