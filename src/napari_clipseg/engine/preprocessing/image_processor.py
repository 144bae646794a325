"""Images to the tensors that the model takes, as a checkpoint folder says."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image

from napari_clipseg.engine.checkpoints.json_files import read_json, write_json
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.preprocessing.encoding import TENSORS, BatchEncoding, encode_pixels
from napari_clipseg.engine.preprocessing.images import ImageLike, rgb_images

PREPROCESSOR_FILE = "preprocessor_config.json"
# Newer versions of the reference library write the same mapping as an entry of this file.
PROCESSOR_FILE = "processor_config.json"
PROCESSOR_ENTRY = "image_processor"
CHANNELS = 3
# Steps that the reference library's format knows and this class has not; the names of others that
# change nothing here: every image is made RGB.
STEP = "do_"
NO_STEPS = ("do_convert_rgb",)
LARGEST = 1e6  # of the numbers that pixels are scaled with
MOST_PIXELS = (
    4096  # of a side: the published checkpoints have 352, attention grows with its 4th power
)


@dataclass(frozen=True, kw_only=True)
class ViTImageProcessor:
    """How an image becomes a tensor; names and defaults are those of the public class.

    Parameters
    ----------
    do_resize : bool
        Always true: the size must be a whole number of the model's patches.
    size : mapping
        ``height`` and ``width`` in pixels to which every image is resized.
    resample : int
        Pillow's number of the interpolation; 2 is bilinear, with antialiasing.
    do_rescale, rescale_factor : bool, float
        Whether the values 0 to 255 are multiplied by a factor first, and the factor.
    do_normalize, image_mean, image_std : bool, tuple of float
        Whether a mean is then subtracted, and the result divided by a standard deviation:
        one number, or one each for red, green and blue.

    Raises
    ------
    ValueError
        If a value cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.engine import ViTImageProcessor
    >>> processor = ViTImageProcessor(size={"height": 64, "width": 64})
    >>> processor(np.zeros((100, 150, 3), np.uint8)).pixel_values.shape
    torch.Size([1, 3, 64, 64])
    """

    do_resize: bool = True
    size: Mapping[str, int] = field(default_factory=lambda: {"height": 224, "width": 224})
    resample: int = int(Image.Resampling.BILINEAR)
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if not 1 <= min(self.height, self.width) <= max(self.height, self.width) <= MOST_PIXELS:
            raise ValueError(
                f"the size is {reprlib.repr(self.height)} x {reprlib.repr(self.width)} pixels; "
                f"wanted 1 to {MOST_PIXELS} each"
            )
        if not self.do_resize:
            raise ValueError("do_resize is false; the model takes images of one size only")
        Image.Resampling(self.resample)
        sizes = {len(self.image_mean), len(self.image_std)}
        if not sizes <= {1, CHANNELS} or 0 in self.image_std:
            raise ValueError(f"image_mean is {self.image_mean} and image_std {self.image_std}")
        numbers = (self.rescale_factor, *self.image_mean, *self.image_std)
        # Beyond, a pixel would not be finite.
        if not (np.abs(numbers) <= LARGEST).all() or min(np.abs(self.image_std)) < 1 / LARGEST:
            raise ValueError(
                f"rescale_factor, image_mean and image_std are {numbers}; wanted at most "
                f"{LARGEST:g}, and image_std at least {1 / LARGEST:g}"
            )

    @property
    def height(self) -> int:
        """Of the prepared images, in pixels."""
        return self.size["height"]

    @property
    def width(self) -> int:
        """Of the prepared images, in pixels."""
        return self.size["width"]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read the mapping of a ``preprocessor_config.json``, of any version of that format.

        Raises
        ------
        ValueError
            If a value cannot be used, or there is a step that this class does not have, such as
            ``do_center_crop``: it would change the images unnoticed, and a map must cover the
            whole image.
        """
        known = {item.name for item in fields(cls)}
        picked = {key: value for key, value in values.items() if key in known}
        for key in values.keys() - known:
            if key.startswith(STEP) and key not in NO_STEPS and values[key]:
                raise ValueError(
                    f"{key} is {values[key]}; wanted false, since images are resized, rescaled and "
                    f"normalized as a whole, so that the map covers all of them"
                )
        if "size" in picked:
            size = picked["size"]
            if isinstance(size, int):
                size = {"height": size, "width": size}
            picked["size"] = {name: int(size[name]) for name in ("height", "width")}
        for name in ("image_mean", "image_std"):
            if name in picked:
                picked[name] = tuple(map(float, picked[name]))
        for name, kind in (("resample", int), ("rescale_factor", float)):
            if name in picked:
                picked[name] = kind(picked[name])
        return cls(**picked)

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that `from_dict` reads, ready for JSON."""
        return {"image_processor_type": type(self).__name__, **asdict(self)}

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """Read ``preprocessor_config.json`` of a checkpoint, or what newer ones have instead.

        Parameters
        ----------
        model : str or Path
            "demo", a folder, or the name of a downloaded hub checkpoint.

        Raises
        ------
        CheckpointError
            If the checkpoint is not on this machine, or its file is missing or broken.
        """
        path = image_processor_file(locate(model))
        values = read_json(path)
        try:
            return cls.from_dict(values[PROCESSOR_ENTRY] if path.name == PROCESSOR_FILE else values)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(
                f"{path} does not say how images are prepared: {error!r}. "
                f"Get the checkpoint's files again."
            ) from error

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``preprocessor_config.json``, as the published checkpoints have it.

        An existing ``processor_config.json`` would be read instead, and is removed.
        """
        values = {**self.to_dict(), "processor_class": "CLIPSegProcessor"}
        write_json(Path(folder) / PREPROCESSOR_FILE, values)
        (Path(folder) / PROCESSOR_FILE).unlink(missing_ok=True)

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike],
        *,
        do_resize: bool = True,
        input_data_format: str | None = None,
        return_tensors: str | None = TENSORS,
    ) -> BatchEncoding:
        """Prepare one image or several.

        Parameters
        ----------
        images : image or sequence of images
            Each a Pillow image, or an array or tensor of shape ``(height, width)``,
            ``(height, width, 3)`` or ``(3, height, width)``: uint8, or floats from 0 to 1; see
            `images.rgb_images`. All are made 8-bit.
        do_resize : bool
            False for images that keep their size, which must be the same for all of them.
        input_data_format : "channels_first" or "channels_last", optional
            Where the channels are, if the shape does not say it.
        return_tensors : "pt", "np" or None
            Whether to return a tensor, an array, or a list of arrays.

        Returns
        -------
        BatchEncoding
            ``pixel_values``: ``(images, 3, height, width)``, float32, normalized.

        Raises
        ------
        ValueError
            If there is no image, or one of another shape or type of numbers; or if images that
            are not resized differ in size; or if an option has no such value.
        TypeError
            If something else than images is given.
        """
        rgb = rgb_images(images, input_data_format)
        size, resample = (self.width, self.height), Image.Resampling(self.resample)
        sizes = {image.size for image in rgb}
        if not do_resize and len(sizes) > 1:
            raise ValueError(
                f"Got images of {len(sizes)} sizes that are not to be resized; wanted one size, "
                f"since they become one array. Resize them, or give them one by one."
            )
        resized = [
            np.asarray(image.resize(size, resample) if do_resize else image) for image in rgb
        ]
        # (images, height, width, 3)
        x = np.stack(resized).astype(np.float32)
        if self.do_rescale:
            x = x * self.rescale_factor
        if self.do_normalize:
            mean, std = (np.asarray(v, dtype=np.float32) for v in (self.image_mean, self.image_std))
            x = (x - mean) / std
        # (images, height, width, 3) -> (images, 3, height, width)
        pixels = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        return encode_pixels("pixel_values", pixels, return_tensors)


def image_processor_file(folder: str | Path) -> Path:
    """Return the file of a checkpoint folder that says how images are prepared.

    As in the reference library, ``processor_config.json`` is preferred if it says so.
    """
    whole = Path(folder) / PROCESSOR_FILE
    if whole.is_file() and PROCESSOR_ENTRY in read_json(whole):
        return whole
    return Path(folder) / PREPROCESSOR_FILE
