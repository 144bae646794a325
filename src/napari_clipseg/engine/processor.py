"""Texts and pictures to the tensors that the model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from napari_clipseg.engine.config import CLIPSegConfig, CLIPSegTextConfig, read_json
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.text import LEGACY_EOS
from napari_clipseg.engine.tokenizer import VOCAB_FILE, CLIPTokenizer

PREPROCESSOR_FILE = "preprocessor_config.json"
CHANNELS = 3

Picture = NDArray[np.uint8] | Image.Image


@dataclass(frozen=True)
class PictureFormat:
    """How a picture becomes numbers, as ``preprocessor_config.json`` says.

    Attributes
    ----------
    height, width : int
        Size in pixels that pictures are brought to, whatever their shape.
    resample : int
        Pillow's number of the interpolation; 2 is bilinear, with antialiasing.
    factor : float
        What the values 0 to 255 are multiplied with first.
    mean, std : tuple of float
        Subtracted then, and divided by, for red, green and blue.
    """

    height: int
    width: int
    resample: int = int(Image.Resampling.BILINEAR)
    factor: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PictureFormat:
        """Read the mapping of a ``preprocessor_config.json``, of any age of that format."""
        size = values["size"]
        if isinstance(size, int):
            size = {"height": size, "width": size}
        unit = values.get("do_normalize", True)
        picture_format = cls(
            height=int(size["height"]),
            width=int(size["width"]),
            resample=int(values.get("resample", Image.Resampling.BILINEAR)),
            factor=float(values.get("rescale_factor", 1 / 255))
            if values.get("do_rescale", True)
            else 1.0,
            mean=tuple(map(float, values.get("image_mean", cls.mean))) if unit else (0.0,),
            std=tuple(map(float, values.get("image_std", cls.std))) if unit else (1.0,),
        )
        picture_format.check()
        return picture_format

    def check(self) -> None:
        """Raise ValueError if pictures cannot be prepared like this."""
        if min(self.height, self.width) < 1:
            raise ValueError(f"the size is {self.height} x {self.width} pixels")
        Image.Resampling(self.resample)
        if not {len(self.mean), len(self.std)} <= {1, CHANNELS} or 0 in self.std:
            raise ValueError(f"image_mean is {self.mean} and image_std {self.std}")


class CLIPSegProcessor:
    """Prepare texts, pictures and visual prompts for the model.

    Parameters
    ----------
    picture_format : PictureFormat
        Size and normalisation of pictures.
    tokenizer : CLIPTokenizer
        For texts.
    """

    def __init__(self, picture_format: PictureFormat, tokenizer: CLIPTokenizer) -> None:
        self.picture_format = picture_format
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> CLIPSegProcessor:
        """Read a checkpoint folder's preprocessor and tokenizer.

        Raises
        ------
        CheckpointError
            If a file is missing or broken.
        """
        path = Path(folder) / PREPROCESSOR_FILE
        values = read_json(path)
        try:
            picture_format = PictureFormat.from_dict(values)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} does not say how pictures are prepared: {error!r}. "
                f"Get the checkpoint's files again."
            ) from error
        config = CLIPSegConfig.from_pretrained(folder)
        patch = config.vision_config.patch_size
        if picture_format.height % patch or picture_format.width % patch:
            # The part of a patch that is left over would shift the map against the picture.
            raise CheckpointError(
                f"{path} wants pictures of {picture_format.height} x {picture_format.width} "
                f"pixels, which are no whole patches of {patch}. Get all files from the same "
                f"checkpoint."
            )
        longest = config.text_config.max_position_embeddings
        tokenizer = CLIPTokenizer.from_pretrained(folder, longest)
        _require_same_vocabulary(folder, config.text_config, tokenizer)
        return cls(picture_format, tokenizer)

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        images: Picture | Sequence[Picture] | None = None,
        visual_prompt: Picture | Sequence[Picture] | None = None,
    ) -> dict[str, Tensor]:
        """Turn what is given into the model's keyword arguments.

        Parameters
        ----------
        text : str or sequence of str, optional
            Text prompts.
        images : picture or sequence of pictures, optional
            What to segment. A picture is a Pillow image, or a uint8 array of shape
            ``(height, width)`` or ``(height, width, 3)``.
        visual_prompt : picture or sequence of pictures, optional
            Image prompts, cut and darkened already where that is wanted.

        Returns
        -------
        dict of Tensor
            ``input_ids`` and ``attention_mask`` ``(texts, tokens)``; ``pixel_values`` and
            ``conditional_pixel_values`` ``(pictures, 3, height, width)``.

        Raises
        ------
        ValueError
            If nothing is given, or both a text and a visual prompt, or a picture of
            another kind or size.
        """
        if text is None and images is None and visual_prompt is None:
            raise ValueError("Got nothing to prepare; give text, images or visual_prompt.")
        if text is not None and visual_prompt is not None:
            raise ValueError("Got text and visual_prompt; give exactly one kind of prompt.")
        tensors: dict[str, Tensor] = {}
        if text is not None:
            batch = self.tokenizer([text] if isinstance(text, str) else text)
            tensors["input_ids"] = batch.input_ids
            tensors["attention_mask"] = batch.attention_mask
        if images is not None:
            tensors["pixel_values"] = self._pixel_values(images)
        if visual_prompt is not None:
            tensors["conditional_pixel_values"] = self._pixel_values(visual_prompt)
        return tensors

    def _pixel_values(self, pictures: Picture | Sequence[Picture]) -> Tensor:
        """Return ``(pictures, 3, height, width)``, float32, normalised."""
        if isinstance(pictures, np.ndarray | Image.Image):
            pictures = [pictures]
        if not pictures:
            raise ValueError("Got no picture; give at least one.")
        size = (self.picture_format.width, self.picture_format.height)
        resample = Image.Resampling(self.picture_format.resample)
        resized = [np.asarray(_rgb(p).resize(size, resample)) for p in pictures]
        # (pictures, height, width, 3) -> (pictures, 3, height, width)
        x = np.stack(resized).astype(np.float32) * self.picture_format.factor
        mean, std = (
            np.asarray(values, dtype=np.float32)
            for values in (self.picture_format.mean, self.picture_format.std)
        )
        x = (x - mean) / std
        return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def _require_same_vocabulary(
    folder: str | Path, config: CLIPSegTextConfig, tokenizer: CLIPTokenizer
) -> None:
    end = tokenizer.pad_token_id
    if tokenizer.highest_id >= config.vocab_size:
        fault = f"holds ids up to {tokenizer.highest_id}, the model knows {config.vocab_size}"
    elif config.eos_token_id == LEGACY_EOS and end != tokenizer.highest_id:
        fault = f"gives the end token the id {end}, which is not its highest"
    elif config.eos_token_id not in (LEGACY_EOS, end):
        fault = f"gives the end token the id {end}, config.json says {config.eos_token_id}"
    else:
        return
    # Unnoticed, every prompt would be read at its start token, and all would mean the same.
    raise CheckpointError(
        f"{Path(folder) / VOCAB_FILE} {fault}. Get all files from the same checkpoint."
    )


def _rgb(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    shape = picture.shape
    gray_or_rgb = len(shape) == 2 or (len(shape) == 3 and shape[2] == CHANNELS)
    if picture.dtype != np.uint8 or not gray_or_rgb or 0 in shape:
        raise ValueError(
            f"Got a picture of {picture.dtype} and shape {shape}; wanted uint8 and "
            f"(height, width) or (height, width, 3), not empty. Scale its values to 0 to 255 "
            f"and put the channels last."
        )
    return Image.fromarray(picture).convert("RGB")
