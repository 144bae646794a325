"""CLIP's text encoder: from token ids to one vector for each prompt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_clipseg.engine.modeling.layers import CLIPSegEncoder, Record, new_embedding
from napari_clipseg.engine.modeling.outputs import BaseModelOutputWithPooling
from napari_clipseg.engine.modeling.pretrained import Pretrained
from napari_clipseg.engine.modeling.tower_configs import CLIPSegTextConfig

# Older configurations say 2, whatever the vocabulary; the id was corrected later.
LEGACY_EOS = 2


class CLIPSegTextEmbeddings(nn.Module):
    """Token embeddings plus position embeddings."""

    def __init__(self, config: CLIPSegTextConfig) -> None:
        super().__init__()
        self.token_embedding = new_embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = new_embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """Map ids ``(batch, tokens)`` to ``(batch, tokens, width)``."""
        longest = self.position_embedding.num_embeddings
        length = input_ids.shape[-1]
        if length > longest:
            raise ValueError(
                f"The prompt has {length} tokens, the model takes at most {longest}. "
                f"Use a shorter prompt."
            )
        if position_ids is None:
            position_ids = torch.arange(length, device=input_ids.device)
        # (batch, tokens, width) + (tokens, width) or (batch, tokens, width)
        embeddings: Tensor = self.token_embedding(input_ids) + self.position_embedding(position_ids)
        return embeddings


class CLIPSegTextModel(Pretrained[CLIPSegTextConfig]):
    """The text tower (Radford et al., https://arxiv.org/abs/2103.00020, section 2.4).

    Examples
    --------
    >>> import torch
    >>> from napari_clipseg.engine import CLIPSegTextConfig, CLIPSegTextModel
    >>> model = CLIPSegTextModel(CLIPSegTextConfig(num_hidden_layers=1))
    >>> model(torch.tensor([[49406, 320, 49407]])).pooler_output.shape
    torch.Size([1, 512])
    """

    config_class = CLIPSegTextConfig
    prefix = "clip.text_model."

    def __init__(self, config: CLIPSegTextConfig) -> None:
        super().__init__(config)
        self.eos_token_id = config.eos_token_id
        self.embeddings = CLIPSegTextEmbeddings(config)
        self.encoder = CLIPSegEncoder(
            config.hidden_size,
            config.num_attention_heads,
            config.intermediate_size,
            config.num_hidden_layers,
            config.hidden_act,
            config.layer_norm_eps,
            config.attention_dropout,
        )
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """Encode prompts.

        Parameters
        ----------
        input_ids : Tensor
            ``(batch, tokens)``, each row from start token to end token, then padding.
        attention_mask : Tensor, optional
            ``(batch, tokens)``, 0 where padded. A token attends to earlier ones only, so
            padding after the end changes nothing; a mask is needed for other padding.
        position_ids : Tensor, optional
            ``(batch, tokens)`` or ``(tokens,)``, counted from 0 by default.
        output_attentions, output_hidden_states : bool, optional
            Whether to return them, too; by default what the config says.
        return_dict : bool, optional
            False for a tuple of the fields that are not None; by default what the config says.

        Returns
        -------
        BaseModelOutputWithPooling or tuple
            Pooled at the end token of each row.

        Raises
        ------
        ValueError
            If there are no ids, or more than the model reads.
        """
        if input_ids is None:
            raise ValueError("Got no input_ids; give the texts' ids, as the tokenizer makes them.")
        wanted = self.wanted(output_attentions, output_hidden_states, return_dict)
        record = Record(wanted.hidden_states, wanted.attentions)
        x = self.embeddings(input_ids, position_ids)
        if attention_mask is None:
            x = self.encoder(x, causal=True, record=record)
        else:
            length = input_ids.shape[-1]
            causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
            # (batch, 1, 1, tokens) and (tokens, tokens) -> (batch, 1, tokens, tokens)
            mask = attention_mask.bool()[:, None, None, :] & causal
            x = self.encoder(x, mask, record=record)
        x = self.final_layer_norm(x)
        if self.eos_token_id == LEGACY_EOS:
            end = input_ids.argmax(dim=-1)
        else:
            end = (input_ids == self.eos_token_id).int().argmax(dim=-1)
        # (batch, tokens, width) -> (batch, width)
        pooled = x[torch.arange(x.shape[0], device=x.device), end]
        output = BaseModelOutputWithPooling(x, pooled, record.hidden_states, record.attentions)
        return output if wanted.return_dict else output.to_tuple()
