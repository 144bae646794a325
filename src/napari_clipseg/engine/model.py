"""CLIPSeg as a whole: CLIP's two towers, and the decoder on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from napari_clipseg.engine.config import CLIPSegConfig
from napari_clipseg.engine.decoder import CLIPSegDecoder
from napari_clipseg.engine.text import CLIPSegTextModel
from napari_clipseg.engine.vision import CLIPSegVisionModel
from napari_clipseg.engine.weights import load_weights


@dataclass(frozen=True)
class CLIPSegOutput:
    """What `CLIPSegModel` gives.

    Attributes
    ----------
    logits_per_image, logits_per_text : Tensor
        ``(images, texts)`` and its transpose: cosine similarities times the temperature.
    text_embeds, image_embeds : Tensor
        ``(texts, projection_dim)`` and ``(images, projection_dim)``, of length 1.
    """

    logits_per_image: Tensor
    logits_per_text: Tensor
    text_embeds: Tensor
    image_embeds: Tensor


@dataclass(frozen=True)
class CLIPSegImageSegmentationOutput:
    """What `CLIPSegForImageSegmentation` gives.

    Attributes
    ----------
    logits : Tensor
        ``(batch, height, width)``; their sigmoid is the probability.
    conditional_embeddings : Tensor
        ``(batch, projection_dim)``, the prompts as vectors.
    """

    logits: Tensor
    conditional_embeddings: Tensor


class CLIPSegModel(nn.Module):
    """CLIP: both towers, each projected to the space that they share."""

    def __init__(self, config: CLIPSegConfig) -> None:
        super().__init__()
        self.text_model = CLIPSegTextModel(config.text_config)
        self.vision_model = CLIPSegVisionModel(config.vision_config)
        text, vision = config.text_config.hidden_size, config.vision_config.hidden_size
        self.visual_projection = nn.Linear(vision, config.projection_dim, bias=False)
        self.text_projection = nn.Linear(text, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))

    def get_text_features(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Map token ids ``(batch, tokens)`` to ``(batch, projection_dim)``."""
        pooled = self.text_model(input_ids, attention_mask, position_ids).pooler_output
        features: Tensor = self.text_projection(pooled)
        return features

    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        """Map pictures ``(batch, channels, height, width)`` to ``(batch, projection_dim)``."""
        features: Tensor = self.visual_projection(self.vision_model(pixel_values).pooler_output)
        return features

    def forward(
        self,
        input_ids: Tensor,
        pixel_values: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> CLIPSegOutput:
        """Compare every picture with every text (https://arxiv.org/abs/2103.00020, figure 3)."""
        image = nn.functional.normalize(self.get_image_features(pixel_values), dim=-1)
        features = self.get_text_features(input_ids, attention_mask, position_ids)
        text = nn.functional.normalize(features, dim=-1)
        logits_per_text = self.logit_scale.exp() * text @ image.T
        return CLIPSegOutput(logits_per_text.T, logits_per_text, text, image)


class CLIPSegForImageSegmentation(nn.Module):
    """CLIP with the CLIPSeg decoder: a picture and a prompt to a map of logits."""

    def __init__(self, config: CLIPSegConfig) -> None:
        super().__init__()
        self.config = config
        self.clip = CLIPSegModel(config)
        self.decoder = CLIPSegDecoder(config)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a checkpoint folder in the public format, in float32, ready for inference.

        Parameters
        ----------
        folder : str or Path
            Holds ``config.json`` and ``model.safetensors``.

        Raises
        ------
        CheckpointError
            If a file is missing or broken, or the weights are not those of the config.
        """
        config = CLIPSegConfig.from_pretrained(folder)
        # On the meta device nothing is allocated or initialised, so no second copy exists.
        with torch.device("meta"):
            model = cls(config)
        load_weights(model, folder)
        return model.eval()

    def get_conditional_embeddings(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        conditional_pixel_values: Tensor | None = None,
    ) -> Tensor:
        """Turn prompts, texts or pictures, into ``(batch, projection_dim)``.

        Raises
        ------
        ValueError
            Unless exactly one kind of prompt is given.
        """
        if (input_ids is None) == (conditional_pixel_values is None):
            given = "neither" if input_ids is None else "both"
            raise ValueError(
                f"Got {given} of input_ids and conditional_pixel_values; "
                f"give exactly one kind of prompt."
            )
        if input_ids is not None:
            return self.clip.get_text_features(input_ids, attention_mask, position_ids)
        assert conditional_pixel_values is not None
        return self.clip.get_image_features(conditional_pixel_values)

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        conditional_pixel_values: Tensor | None = None,
        conditional_embeddings: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> CLIPSegImageSegmentationOutput:
        """Segment pictures, one prompt each.

        Parameters
        ----------
        input_ids : Tensor, optional
            ``(batch, tokens)``: text prompts.
        pixel_values : Tensor
            ``(batch, channels, height, width)``: normalised pictures.
        conditional_pixel_values : Tensor, optional
            ``(batch, channels, height, width)``: image prompts.
        conditional_embeddings : Tensor, optional
            ``(batch, projection_dim)``: prompts that are vectors already.
        attention_mask, position_ids : Tensor, optional
            See `CLIPSegTextModel`.

        Returns
        -------
        CLIPSegImageSegmentationOutput
            Logits of the pictures' size, up to the last whole patch.

        Raises
        ------
        ValueError
            If there is no picture, not exactly one kind of prompt, another number of
            prompts than of pictures, or vectors of another length than the model's.
        """
        if pixel_values is None:
            raise ValueError("Got no pixel_values; give the pictures to segment.")
        if conditional_embeddings is None:
            conditional_embeddings = self.get_conditional_embeddings(
                input_ids, attention_mask, position_ids, conditional_pixel_values
            )
        elif input_ids is not None or conditional_pixel_values is not None:
            raise ValueError(
                "Got conditional_embeddings beside another prompt; give exactly one kind of prompt."
            )
        wanted = (len(pixel_values), self.config.projection_dim)
        if tuple(conditional_embeddings.shape) != wanted:
            raise ValueError(
                f"Got prompts of shape {tuple(conditional_embeddings.shape)} for "
                f"{len(pixel_values)} pictures; wanted {wanted}, one vector a picture."
            )
        vision = self.clip.vision_model
        activations = vision.activations(pixel_values, self.config.extract_layers)
        grid = vision.embeddings.grid(pixel_values.shape[-2], pixel_values.shape[-1])
        logits = self.decoder(activations, conditional_embeddings, grid)
        return CLIPSegImageSegmentationOutput(logits, conditional_embeddings)
