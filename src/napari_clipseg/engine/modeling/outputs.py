"""What the models return: the fields that the reference library documents, as dataclasses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


class ModelOutput(Mapping[str, Any]):
    """What all outputs share: their fields by attribute, by name and by position.

    ``output.logits``, ``output["logits"]`` and, where no field before it is None,
    ``output[0]`` are the same. As in the reference library, fields that are None have an
    attribute, but neither a name nor a position: ``list(output)`` is the names of the others.
    """

    def __getitem__(self, key: str | int | slice) -> Any:
        """Return a field by its name or position, or a tuple of fields by a slice."""
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key in self:
            return getattr(self, key)
        raise KeyError(f"{key} is not in this {type(self).__name__}; it has {', '.join(self)}")

    def __iter__(self) -> Iterator[str]:
        names = (one.name for one in fields(self))  # type: ignore[arg-type]  # see the subclasses
        return (name for name in names if getattr(self, name) is not None)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, key: object) -> bool:
        return key in list(iter(self))

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the fields that are not None; outputs among them are tuples, too."""
        values = (getattr(self, name) for name in self)
        return tuple(x.to_tuple() if isinstance(x, ModelOutput) else x for x in values)


@dataclass(frozen=True, eq=False)
class BaseModelOutputWithPooling(ModelOutput):
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


@dataclass(frozen=True, eq=False)
class CLIPSegOutput(ModelOutput):
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


@dataclass(frozen=True, eq=False)
class CLIPSegDecoderOutput(ModelOutput):
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


@dataclass(frozen=True, eq=False)
class CLIPSegImageSegmentationOutput(ModelOutput):
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


for _output in (
    BaseModelOutputWithPooling,
    CLIPSegOutput,
    CLIPSegDecoderOutput,
    CLIPSegImageSegmentationOutput,
):
    # So that torch.export, and what splits a batch over devices, finds the tensors in it.
    name = f"{_output.__module__}.{_output.__name__}"
    torch.export.register_dataclass(_output, serialized_type_name=name)
