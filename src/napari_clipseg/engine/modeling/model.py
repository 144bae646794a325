"""The whole CLIPSeg: CLIP's two towers, and the decoder on top of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.decoder import CLIPSegDecoder
from napari_clipseg.engine.modeling.outputs import CLIPSegImageSegmentationOutput, CLIPSegOutput
from napari_clipseg.engine.modeling.pretrained import Pretrained
from napari_clipseg.engine.modeling.text import CLIPSegTextModel
from napari_clipseg.engine.modeling.vision import CLIPSegVisionModel


class CLIPSegModel(Pretrained[CLIPSegConfig]):
    """CLIP: both towers, each projected into the space that they share.

    Examples
    --------
    >>> import torch
    >>> from napari_clipseg.engine import CLIPSegModel
    >>> clip = CLIPSegModel.from_pretrained("demo")
    >>> clip.get_image_features(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 96])
    """

    config_class = CLIPSegConfig
    prefix = "clip."

    def __init__(self, config: CLIPSegConfig) -> None:
        super().__init__(config)
        self.text_model = CLIPSegTextModel(config.text_config)
        self.vision_model = CLIPSegVisionModel(config.vision_config)
        text, vision = config.text_config.hidden_size, config.vision_config.hidden_size
        self.visual_projection = nn.Linear(vision, config.projection_dim, bias=False)
        self.text_projection = nn.Linear(text, config.projection_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(float(config.logit_scale_init_value)))

    def get_text_features(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Tensor:
        """Map token ids ``(batch, tokens)`` to ``(batch, projection_dim)``.

        The last three arguments are documented, and change nothing: only the features are
        returned. `text_model` returns the others.
        """
        # Nothing else is kept, whatever the config says.
        output = self.text_model(input_ids, attention_mask, position_ids, False, False, True)
        features: Tensor = self.text_projection(output.pooler_output)
        return features

    def get_image_features(
        self,
        pixel_values: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Tensor:
        """Map images ``(batch, channels, height, width)`` to ``(batch, projection_dim)``.

        The last three arguments are documented, and change nothing: only the features are
        returned. `vision_model` returns the others.
        """
        output = self.vision_model(pixel_values, False, False, True)
        features: Tensor = self.visual_projection(output.pooler_output)
        return features

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        return_loss: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        interpolate_pos_encoding: bool = True,
    ) -> CLIPSegOutput | tuple[Any, ...]:
        """Compare every image with every text (https://arxiv.org/abs/2103.00020, figure 3).

        Parameters
        ----------
        input_ids : Tensor
            ``(texts, tokens)``.
        pixel_values : Tensor
            ``(images, channels, height, width)``, normalized.
        attention_mask, position_ids : Tensor, optional
            See `CLIPSegTextModel`.
        return_loss : bool, optional
            Whether to compute the contrastive loss; the k-th text then belongs to the k-th
            image.
        output_attentions, output_hidden_states : bool, optional
            Whether to return those of the towers; by default what the config says.
        return_dict : bool, optional
            False for a tuple of the fields that are not None; by default what the config says.
        interpolate_pos_encoding : bool
            See `CLIPSegVisionModel`.

        Raises
        ------
        ValueError
            If there are no texts or no images; or if the loss is wanted, and there are not as
            many texts as images.
        """
        wanted = self.wanted(output_attentions, output_hidden_states, return_dict)
        vision = self.vision_model(
            pixel_values,
            wanted.attentions,
            wanted.hidden_states,
            return_dict=True,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )
        text = self.text_model(
            input_ids,
            attention_mask,
            position_ids,
            wanted.attentions,
            wanted.hidden_states,
            return_dict=True,
        )
        image_embeds = F.normalize(self.visual_projection(vision.pooler_output), dim=-1)
        text_embeds = F.normalize(self.text_projection(text.pooler_output), dim=-1)
        logits_per_text = self.logit_scale.exp() * text_embeds @ image_embeds.T
        loss = contrastive_loss(logits_per_text) if return_loss else None
        output = CLIPSegOutput(
            loss, logits_per_text.T, logits_per_text, text_embeds, image_embeds, text, vision
        )
        return output if wanted.return_dict else output.to_tuple()


def contrastive_loss(logits: Tensor) -> Tensor:
    """Return CLIP's loss of ``(n, n)`` similarities; matching pairs are on the diagonal.

    The mean of the cross entropies along both axes (https://arxiv.org/abs/2103.00020, figure 3).
    """
    if logits.shape[0] != logits.shape[1]:
        raise ValueError(
            f"Got {logits.shape[0]} texts and {logits.shape[1]} images; the loss wants as many "
            f"texts as images, in the same order."
        )
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


class CLIPSegForImageSegmentation(Pretrained[CLIPSegConfig]):
    """CLIP with the CLIPSeg decoder: from an image and a prompt to a map of logits.

    A model from `from_pretrained` trains its decoder alone, as in the paper and in the reference
    library: CLIP is frozen. `unfreeze_clip` lets CLIP learn, too. A new model, whose
    weights are random, learns in all its parts until `freeze_clip`.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.engine import CLIPSegForImageSegmentation, CLIPSegProcessor
    >>> model = CLIPSegForImageSegmentation.from_pretrained("demo")
    >>> processor = CLIPSegProcessor.from_pretrained("demo")
    >>> image = np.zeros((100, 150, 3), np.uint8)
    >>> model(**processor(text="red rings", images=image)).logits.shape
    torch.Size([1, 192, 192])
    """

    config_class = CLIPSegConfig

    def __init__(self, config: CLIPSegConfig) -> None:
        super().__init__(config)
        self.clip = CLIPSegModel(config)
        self.decoder = CLIPSegDecoder(config)

    def after_loading(self) -> None:
        """Freeze CLIP, which was trained before the decoder."""
        self.freeze_clip()

    def freeze_clip(self) -> Self:
        """Train the decoder alone: the parameters of CLIP get no gradients.

        Examples
        --------
        >>> from napari_clipseg.engine import CLIPSegConfig, CLIPSegForImageSegmentation
        >>> config = CLIPSegConfig.from_pretrained("demo")
        >>> model = CLIPSegForImageSegmentation(config).freeze_clip()
        >>> any(weight.requires_grad for weight in model.clip.parameters())
        False
        """
        self.clip.requires_grad_(False)
        return self

    def unfreeze_clip(self) -> Self:
        """Train CLIP, too: both towers and their projections.

        Examples
        --------
        >>> from napari_clipseg.engine import CLIPSegForImageSegmentation
        >>> model = CLIPSegForImageSegmentation.from_pretrained("demo").unfreeze_clip()
        >>> all(weight.requires_grad for weight in model.parameters())
        True
        """
        self.clip.requires_grad_(True)
        return self

    def get_conditional_embeddings(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        conditional_pixel_values: Tensor | None = None,
    ) -> Tensor:
        """Turn prompts, texts or images, into vectors ``(batch, projection_dim)``.

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
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        interpolate_pos_encoding: bool = True,
    ) -> CLIPSegImageSegmentationOutput | tuple[Any, ...]:
        """Segment images, with one prompt each.

        Parameters
        ----------
        input_ids : Tensor, optional
            ``(batch, tokens)``: text prompts.
        pixel_values : Tensor
            ``(batch, channels, height, width)``: normalized images.
        conditional_pixel_values : Tensor, optional
            ``(batch, channels, height, width)``: image prompts.
        conditional_embeddings : Tensor, optional
            ``(batch, projection_dim)``: prompts that are vectors already.
        attention_mask, position_ids : Tensor, optional
            See `CLIPSegTextModel`.
        labels : Tensor, optional
            ``(batch, height, width)``, 0 to 1, of the logits' size: the masks to be learned.
        output_attentions, output_hidden_states : bool, optional
            Whether to return those of vision tower and decoder; by default what the config
            says.
        return_dict : bool, optional
            False for a tuple of the fields that are not None; by default what the config says.
        interpolate_pos_encoding : bool
            See `CLIPSegVisionModel`.

        Returns
        -------
        CLIPSegImageSegmentationOutput or tuple
            Logits of the images' size, up to the last whole patch.

        Raises
        ------
        ValueError
            If there is no image, not exactly one kind of prompt, another number of
            prompts than of images, vectors of another length than the model's, or labels
            of another size than the logits.
        """
        if pixel_values is None:
            raise ValueError("Got no pixel_values; give the images to segment.")
        if conditional_embeddings is None:
            conditional_embeddings = self.get_conditional_embeddings(
                input_ids, attention_mask, position_ids, conditional_pixel_values
            )
        elif input_ids is not None or conditional_pixel_values is not None:
            raise ValueError(
                "Got conditional_embeddings beside another prompt; give exactly one kind of prompt."
            )
        shape = (pixel_values.shape[0], self.config.projection_dim)
        if tuple(conditional_embeddings.shape) != shape:
            raise ValueError(
                f"Got prompts of shape {tuple(conditional_embeddings.shape)} for "
                f"{shape[0]} images; wanted {shape}, one vector for each image."
            )
        wanted = self.wanted(output_attentions, output_hidden_states, return_dict)
        vision = self.clip.vision_model(
            pixel_values,
            wanted.attentions,
            output_hidden_states=True,
            return_dict=True,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )
        # Hidden state 0 is the input of block 0, so the output of block i is hidden state i + 1.
        activations = [vision.hidden_states[i + 1] for i in self.config.extract_layers]
        grid = self.clip.vision_model.embeddings.grid(*pixel_values.shape[-2:])
        decoded = self.decoder(
            activations,
            conditional_embeddings.to(activations[0].dtype),
            grid,
            wanted.attentions,
            wanted.hidden_states,
        )
        output = CLIPSegImageSegmentationOutput(
            None if labels is None else mask_loss(decoded.logits, labels),
            decoded.logits,
            conditional_embeddings,
            self.clip.visual_projection(vision.pooler_output),
            vision if wanted.hidden_states else replace(vision, hidden_states=None),
            decoded,
        )
        return output if wanted.return_dict else output.to_tuple()


def mask_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross entropy of ``(batch, height, width)`` logits with masks."""
    if labels.shape != logits.shape:
        raise ValueError(
            f"Got labels of shape {tuple(labels.shape)}; wanted {tuple(logits.shape)}, the size of "
            f"the logits. Resize the masks."
        )
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits))
