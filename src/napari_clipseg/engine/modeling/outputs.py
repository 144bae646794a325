"""What the models return: the fields that the reference library documents, as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class BaseModelOutputWithPooling:
    """What a tower returns.

    Attributes
    ----------
    last_hidden_state : Tensor
        ``(batch, tokens, width)``, after the last block.
    pooler_output : Tensor
        ``(batch, width)``, the token that represents the whole image or text.
    hidden_states : tuple of Tensor, optional
        ``(batch, tokens, width)`` each: the input of each block, and the output of the last.
    attentions : tuple of Tensor, optional
        ``(batch, heads, tokens, tokens)`` for each block: how much each token (row) attends
        to each other (column).
    """

    last_hidden_state: Tensor
    pooler_output: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class CLIPSegOutput:
    """What `CLIPSegModel` returns.

    Attributes
    ----------
    loss : Tensor, optional
        A number: the contrastive loss, with ``return_loss``.
    logits_per_image, logits_per_text : Tensor
        ``(images, texts)`` and its transpose: cosine similarities times the temperature.
    text_embeds, image_embeds : Tensor
        ``(texts, projection_dim)`` and ``(images, projection_dim)``, of length 1.
    text_model_output, vision_model_output : BaseModelOutputWithPooling
        The outputs of the towers.
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
    """What `CLIPSegDecoder` returns.

    Attributes
    ----------
    logits : Tensor
        ``(batch, height, width)``.
    hidden_states : tuple of Tensor, optional
        ``(batch, 1 + patches, reduce_dim)`` each: the input of the first block, and the
        output of each.
    attentions : tuple of Tensor, optional
        ``(batch, heads, 1 + patches, 1 + patches)`` for each block.
    """

    logits: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class CLIPSegImageSegmentationOutput:
    """What `CLIPSegForImageSegmentation` returns.

    Attributes
    ----------
    loss : Tensor, optional
        A number: the binary cross entropy with the labels, if they were given.
    logits : Tensor
        ``(batch, height, width)``; their sigmoid is the probability.
    conditional_embeddings : Tensor
        ``(batch, projection_dim)``, the prompts as vectors.
    pooled_output : Tensor
        ``(batch, projection_dim)``, the images as vectors.
    vision_model_output : BaseModelOutputWithPooling
        The output of the vision tower, for the images.
    decoder_output : CLIPSegDecoderOutput
        The output of the decoder.
    """

    loss: Tensor | None
    logits: Tensor
    conditional_embeddings: Tensor
    pooled_output: Tensor
    vision_model_output: BaseModelOutputWithPooling
    decoder_output: CLIPSegDecoderOutput
