"""Images as they come, Pillow's, arrays and tensors, to 8-bit RGB images of Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

ImageLike: TypeAlias = NDArray[Any] | Tensor | Image.Image

FORMATS = {"channels_first": 0, "channels_last": 2}  # where the axis of the channels is
COLORS, GRAY = 3, 1
BATCH_AXES = 4
MOST_VALUE = 255
WANTED = (
    "a Pillow image, or an array or tensor of shape (height, width), (height, width, 3) or "
    "(3, height, width)"
)


def rgb_images(
    images: ImageLike | Sequence[ImageLike], input_data_format: str | None = None
) -> list[Image.Image]:
    """Return one image, several, or a batch in one array, as RGB images of Pillow.

    Parameters
    ----------
    images : image or sequence of images
        Each a Pillow image, or an array or tensor: uint8; floats from 0 to 1; or floats that are
        the whole numbers from 0 to 255. Of shape ``(height, width)``,
        ``(height, width, channels)`` or ``(channels, height, width)``, with 3 or 1 channels; with
        one more axis before these it is a batch.
    input_data_format : "channels_first" or "channels_last", optional
        Where the channels are; by default where the shape has 3, or else 1.

    Raises
    ------
    ValueError
        If there is no image, or one of another shape or type of numbers, or one that could be read
        in two ways.
    TypeError
        If something else than images is given.
    """
    if input_data_format is not None and input_data_format not in FORMATS:
        raise ValueError(
            f"input_data_format is {input_data_format!r}; wanted one of "
            f"{', '.join(map(repr, FORMATS))}, or None where the shape says it."
        )
    if isinstance(images, np.ndarray | Tensor):
        images = list(images) if images.ndim == BATCH_AXES else [images]
    elif not isinstance(images, list | tuple):
        images = [images]  # type: ignore[list-item]  # _rgb refuses what is no image
    if not len(images):
        raise ValueError("Got no image; give at least one.")
    return [_rgb(image, input_data_format) for image in images]


def _rgb(image: ImageLike, data_format: str | None) -> Image.Image:
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if isinstance(image, Tensor):
        if image.requires_grad:
            raise ValueError(
                "Got a tensor that requires gradients as an image; images are made 8-bit, which "
                "ends gradients. Call detach() on it, or give the model pixel_values."
            )
        image = (image.float() if image.is_floating_point() else image).cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise TypeError(f"Got an image of type {type(image).__name__}; wanted {WANTED}.")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(
            f"Got an image of {image.dtype} and shape {image.shape}; wanted {WANTED}, not empty."
        )
    if image.ndim == len(FORMATS) + 1:
        image = np.moveaxis(image, _channels(image.shape, data_format), -1)
        image = image[..., 0] if image.shape[-1] == GRAY else image
    return Image.fromarray(np.ascontiguousarray(_bytes(image))).convert("RGB")


def _channels(shape: tuple[int, ...], data_format: str | None) -> int:
    """Return the axis of the channels."""
    if data_format is not None:
        axis = FORMATS[data_format]
        if shape[axis] in (COLORS, GRAY):
            return axis
        raise ValueError(
            f"Got an image of shape {shape}, which has {shape[axis]} channels by "
            f"input_data_format={data_format!r}; wanted 3 or 1. Leave out other channels, such as "
            f"transparency, or change input_data_format."
        )
    for count in (COLORS, GRAY):
        axes = [axis for axis in FORMATS.values() if shape[axis] == count]
        if len(axes) == 1:
            return axes[0]
        if axes:
            raise ValueError(
                f"Got an image of shape {shape}, in which the first or the last axis could be the "
                f"channels. Add input_data_format='channels_first' or 'channels_last'."
            )
    raise ValueError(
        f"Got an image of shape {shape}; wanted {WANTED}. Leave out other channels, such as "
        f"transparency, or choose one plane of a stack."
    )


def _bytes(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values from 0 to 255."""
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise ValueError(
            f"Got an image of {image.dtype}; wanted uint8, or floats from 0 to 1. Scale its values "
            f"to 0 to 255, and convert it to uint8."
        )
    low, high = float(image.min()), float(image.max())
    if 0 <= low <= high <= 1:
        return np.rint(image.astype(np.float32) * MOST_VALUE).astype(np.uint8)
    if 0 <= low <= high <= MOST_VALUE and np.array_equal(image, np.rint(image)):
        return image.astype(np.uint8)
    raise ValueError(
        f"Got an image of {image.dtype} with values from {low:g} to {high:g}; wanted floats from "
        f"0 to 1, or whole numbers from 0 to 255. Scale it to 0 to 1. What is normalized already "
        f"needs no processor: give it to the model as pixel_values."
    )
