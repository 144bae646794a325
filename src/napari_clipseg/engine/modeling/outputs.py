"""What the models give: the fields that the reference library documents, as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class BaseModelOutputWithPooling:
    """What a tower gives.

    Attributes
    ----------
    last_hidden_state : Tensor
        ``(batch, tokens, width)``, after the last block.
    pooler_output : Tensor
        ``(batch, width)``, the one token that stands for the whole.
    hidden_states : tuple of Tensor, optional
        ``(batch, tokens, width)`` each: what went into each block, and what came out of the
        last one.
    attentions : tuple of Tensor, optional
        ``(batch, heads, tokens, tokens)`` each: how much each token (row) looked at each
        other (column), one a block.
    """

    last_hidden_state: Tensor
    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class CLIPSegOutput:
    """What `CLIPSegModel` gives.

    Attributes
    ----------
    loss : Tensor, optional
        A number: the contrastive loss, where it was asked for.
    logits_per_image, logits_per_text : Tensor
        ``(images, texts)`` and its transpose: cosine similarities times the temperature.
    text_embeds, image_embeds : Tensor
        ``(texts, projection_dim)`` and ``(images, projection_dim)``, of length 1.
    text_model_output, vision_model_output : BaseModelOutputWithPooling
        Of the towers.
    """

    loss: Tensor | None
    logits_per_image: Tensor
    logits_per_text: Tensor
    text_embeds: Tensor
    image_embeds: Tensor
    text_model_output: BaseModelOutputWithPooling
    vision_model_output: BaseModelOutputWithPooling


@dataclass(frozen=True)
class CLIPSegDecoderOutput:
    """What `CLIPSegDecoder` gives.

    Attributes
    ----------
    logits : Tensor
        ``(batch, height, width)``.
    hidden_states : tuple of Tensor, optional
        ``(batch, 1 + patches, reduce_dim)`` each: what went into the first block, and what
        came out of each.
    attentions : tuple of Tensor, optional
        ``(batch, heads, 1 + patches, 1 + patches)`` each, one a block.
    """

    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class CLIPSegImageSegmentationOutput:
    """What `CLIPSegForImageSegmentation` gives.

    Attributes
    ----------
    loss : Tensor, optional
        A number: the binary cross entropy with the labels, where some were given.
    logits : Tensor
        ``(batch, height, width)``; their sigmoid is the probability.
    conditional_embeddings : Tensor
        ``(batch, projection_dim)``, the prompts as vectors.
    pooled_output : Tensor
        ``(batch, projection_dim)``, the pictures as vectors.
    vision_model_output : BaseModelOutputWithPooling
        Of the vision tower, for the pictures.
    decoder_output : CLIPSegDecoderOutput
        Of the decoder.
    """

    loss: Tensor | None
    logits: Tensor
    conditional_embeddings: Tensor
    pooled_output: Tensor
    vision_model_output: BaseModelOutputWithPooling
    decoder_output: CLIPSegDecoderOutput
