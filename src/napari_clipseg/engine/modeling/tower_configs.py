"""Sizes and settings of CLIP's two towers. Names, order and defaults are those documented."""

from __future__ import annotations

from dataclasses import dataclass

from napari_clipseg.engine.modeling.base_config import BaseConfig, unchanging
from napari_clipseg.engine.modeling.config_checks import (
    require_counts,
    require_divisible,
    require_ids_or_none,
    require_indices,
    require_numbers,
)

ACTIVATIONS = ("quick_gelu", "gelu", "relu")


class _TowerConfig(BaseConfig):
    """What both of CLIP's transformers have in common, with its checks.

    No dataclass: each tower has its parameters in an order of its own.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str
    layer_norm_eps: float
    attention_dropout: float
    initializer_range: float
    initializer_factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(
            self, "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"
        )
        require_numbers(self, "layer_norm_eps", "attention_dropout")
        require_numbers(self, "initializer_range", "initializer_factor")
        require_divisible(self, "hidden_size", "num_attention_heads")
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(
                f"{type(self).__name__}.hidden_act is {self.hidden_act!r}; "
                f"it must be one of {', '.join(ACTIVATIONS)}."
            )


@unchanging
@dataclass(frozen=True)
class CLIPSegTextConfig(_TowerConfig):
    """The text encoder: a causal transformer over byte-pair tokens.

    Parameters
    ----------
    vocab_size : int
        Number of tokens in the vocabulary.
    hidden_size, intermediate_size : int
        Width of the tokens, and of the hidden layer of each MLP.
    num_hidden_layers, num_attention_heads : int
        Depth, and heads per attention.
    max_position_embeddings : int
        Longest prompt in tokens, start and end included.
    hidden_act : str
        Activation of the MLPs: "quick_gelu", "gelu" or "relu".
    layer_norm_eps, attention_dropout : float
        As in PyTorch's LayerNorm and attention.
    initializer_range, initializer_factor : float
        Spread of new weights in the reference library. Public files have them; they have
        no effect here.
    pad_token_id, bos_token_id, eos_token_id : int
        Special tokens. ``eos_token_id == 2`` marks older files, in which the prompt's
        end is found as the highest id (see `CLIPSegTextModel`).
    output_attentions, output_hidden_states, return_dict : bool
        What a model returns, if a call does not say it.
    others : dict
        Settings of other libraries, kept from a file (see `from_dict`).

    Raises
    ------
    ValueError
        If a value cannot be used; the message names it, and says what was wanted.

    Examples
    --------
    >>> from napari_clipseg.engine import CLIPSegTextConfig
    >>> CLIPSegTextConfig(vocab_size=1000).hidden_size
    512
    """

    model_type = "clipseg_text_model"
    part = "text_config"

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_factor: float = 1.0
    pad_token_id: int | None = 1
    bos_token_id: int | None = 49406
    eos_token_id: int = 49407

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "vocab_size", "max_position_embeddings")
        require_indices(self, "eos_token_id")
        require_ids_or_none(self, "pad_token_id", "bos_token_id")


@unchanging
@dataclass(frozen=True)
class CLIPSegVisionConfig(_TowerConfig):
    """The vision encoder: a transformer over square patches of an image.

    Parameters
    ----------
    hidden_size, intermediate_size : int
        Width of the tokens, and of the hidden layer of each MLP.
    num_hidden_layers, num_attention_heads : int
        Depth, and heads per attention.
    num_channels : int
        Channels of an image, 3 for RGB.
    image_size : int
        Side in pixels of the square that the position embeddings were made for.
    patch_size : int
        Side of a patch in pixels.
    hidden_act : str
        Activation of the MLPs: "quick_gelu", "gelu" or "relu".
    layer_norm_eps, attention_dropout : float
        As in PyTorch's LayerNorm and attention.
    initializer_range, initializer_factor : float
        Spread of new weights in the reference library. Public files have them; they have
        no effect here.
    output_attentions, output_hidden_states, return_dict : bool
        What a model returns, if a call does not say it.
    others : dict
        Settings of other libraries, kept from a file (see `from_dict`).

    Raises
    ------
    ValueError
        If a value cannot be used; the message names it, and says what was wanted.

    Examples
    --------
    >>> from napari_clipseg.engine import CLIPSegVisionConfig
    >>> CLIPSegVisionConfig(patch_size=16).image_size
    224
    """

    model_type = "clipseg_vision_model"
    part = "vision_config"

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "num_channels", "image_size", "patch_size")
        if self.image_size < self.patch_size:
            raise ValueError(
                f"CLIPSegVisionConfig.image_size is {self.image_size}, smaller than "
                f"patch_size {self.patch_size}; an image must hold at least one patch."
            )
