"""Texts, images and visual prompts to the tensors that the model takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_clipseg.engine.checkpoints.json_files import CONFIG_FILE
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.checkpoints.weight_files import has_weights
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.text import LEGACY_EOS
from napari_clipseg.engine.modeling.tower_configs import CLIPSegTextConfig
from napari_clipseg.engine.preprocessing.encoding import TENSORS, BatchEncoding
from napari_clipseg.engine.preprocessing.image_processor import (
    ViTImageProcessor,
    image_processor_file,
)
from napari_clipseg.engine.preprocessing.images import ImageLike
from napari_clipseg.engine.preprocessing.tokenizer import CLIPTokenizer, TokenIds, TokenRows
from napari_clipseg.engine.preprocessing.vocabulary import vocabulary_file


class CLIPSegProcessor:
    """Prepare texts, images and visual prompts for the model.

    Parameters
    ----------
    image_processor : ViTImageProcessor
        For images and visual prompts.
    tokenizer : CLIPTokenizer
        For texts.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.engine import CLIPSegProcessor
    >>> processor = CLIPSegProcessor.from_pretrained("demo")
    >>> inputs = processor(text=["red rings"], images=[np.zeros((100, 150, 3), np.uint8)])
    >>> sorted(inputs)
    ['attention_mask', 'input_ids', 'pixel_values']
    >>> inputs.pixel_values.shape
    torch.Size([1, 3, 192, 192])
    """

    model_input_names = ("pixel_values", *CLIPTokenizer.model_input_names)

    def __init__(self, image_processor: ViTImageProcessor, tokenizer: CLIPTokenizer) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, model: str | Path) -> CLIPSegProcessor:
        """Read a checkpoint's image processor and tokenizer, in any of their formats.

        They are compared with the ``config.json`` of a model, if the folder has a model.

        Parameters
        ----------
        model : str or Path
            "demo", a folder, or the name of a downloaded hub checkpoint.

        Raises
        ------
        CheckpointError
            If the checkpoint is not on this machine, a file is missing or broken, or they are not
            those of one model.
        """
        folder = locate(model)
        image_processor = ViTImageProcessor.from_pretrained(folder)
        if not (folder / CONFIG_FILE).is_file() and not has_weights(folder):
            return cls(image_processor, CLIPTokenizer.from_pretrained(folder))
        config = CLIPSegConfig.from_pretrained(folder)
        _require_whole_patches(folder, config.vision_config.patch_size, image_processor)
        longest = config.text_config.max_position_embeddings
        tokenizer = CLIPTokenizer.from_pretrained(folder, longest)
        require_same_vocabulary(folder, config.text_config, tokenizer)
        return cls(image_processor, tokenizer)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the files of both, as `from_pretrained` reads them, alone or beside a model's.

        The reference library reads them, too.
        """
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        images: ImageLike | Sequence[ImageLike] | None = None,
        visual_prompt: ImageLike | Sequence[ImageLike] | None = None,
        *,
        padding: bool | str = True,
        truncation: bool | str = False,
        max_length: int | None = None,
        do_resize: bool = True,
        input_data_format: str | None = None,
        return_tensors: str | None = TENSORS,
    ) -> BatchEncoding:
        """Turn texts and images into the model's keyword arguments.

        Parameters
        ----------
        text : str or sequence of str, optional
            Text prompts.
        images : image or sequence of images, optional
            What to segment: each a Pillow image, or an array or tensor; see
            `ViTImageProcessor`.
        visual_prompt : image or sequence of images, optional
            Image prompts; cropping and fading, if wanted, is already done.
        padding, truncation : bool or str
        max_length : int, optional
            Of the texts; see `CLIPTokenizer`. Unlike in the reference library, texts are
            padded by default, since the model needs all of one length.
        do_resize : bool
            False for images that keep their size, which must be the same for all in a call.
        input_data_format : "channels_first" or "channels_last", optional
            Where the channels of images are, if their shape does not say it.
        return_tensors : "pt", "np" or None
            Whether to return tensors, as the model takes them, arrays of numpy, or lists.

        Returns
        -------
        BatchEncoding
            ``input_ids`` and ``attention_mask`` ``(texts, tokens)``; ``pixel_values`` and
            ``conditional_pixel_values`` ``(images, 3, height, width)``.

        Raises
        ------
        ValueError
            If nothing is given, or both a text and a visual prompt, a text that is too long,
            an image of another type or size, or an unknown option.
        TypeError
            If something else than texts and images is given.
        """
        if text is None and images is None and visual_prompt is None:
            raise ValueError("Got nothing to prepare; give text, images or visual_prompt.")
        if text is not None and visual_prompt is not None:
            raise ValueError("Got text and visual_prompt; give exactly one kind of prompt.")
        encoding = BatchEncoding()
        if text is not None:
            encoding |= self.tokenizer(
                text,
                padding=padding,
                truncation=truncation,
                max_length=max_length,
                return_tensors=return_tensors,
            )
        for name, some in (("pixel_values", images), ("conditional_pixel_values", visual_prompt)):
            if some is not None:
                encoding[name] = self.image_processor(
                    some,
                    do_resize=do_resize,
                    input_data_format=input_data_format,
                    return_tensors=return_tensors,
                ).pixel_values
        return encoding

    def decode(self, token_ids: TokenIds, skip_special_tokens: bool = False) -> str:
        """Turn the ids of one prompt into text; see `CLIPTokenizer.decode`."""
        return self.tokenizer.decode(token_ids, skip_special_tokens)

    def batch_decode(self, sequences: TokenRows, skip_special_tokens: bool = False) -> list[str]:
        """Turn the ids of several prompts into texts; see `CLIPTokenizer.batch_decode`."""
        return self.tokenizer.batch_decode(sequences, skip_special_tokens)


def _require_whole_patches(folder: str | Path, patch: int, images: ViTImageProcessor) -> None:
    if images.height % patch or images.width % patch:
        # The rest that is smaller than a patch would shift the map against the image.
        raise CheckpointError(
            f"{image_processor_file(folder)} wants images of {images.height} x "
            f"{images.width} pixels, which are no whole patches of {patch}. Get all files from "
            f"the same checkpoint."
        )


def require_same_vocabulary(
    folder: str | Path, config: CLIPSegTextConfig, tokenizer: CLIPTokenizer
) -> None:
    """Raise CheckpointError if the tokenizer of a folder is not the one its model was made for."""
    end = tokenizer.pad_token_id
    if tokenizer.highest_id >= config.vocab_size:
        fault = f"holds ids up to {tokenizer.highest_id}, the model knows {config.vocab_size}"
    elif config.eos_token_id == LEGACY_EOS and end != tokenizer.highest_id:
        fault = f"gives the end token the id {end}, which is not its highest"
    elif config.eos_token_id not in (LEGACY_EOS, end):
        fault = f"gives the end token the id {end}, config.json says {config.eos_token_id}"
    else:
        return
    # Otherwise every prompt would be read at its start token, and all would get one vector.
    raise CheckpointError(
        f"{vocabulary_file(folder)} {fault}. Get all files from the same checkpoint."
    )
