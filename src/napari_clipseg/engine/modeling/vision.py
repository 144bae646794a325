"""CLIP's vision encoder: from an image to one token for each patch and one for the whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_clipseg.engine.modeling.layers import (
    CLIPSegEncoder,
    Record,
    initial_values,
    new_embedding,
)
from napari_clipseg.engine.modeling.outputs import BaseModelOutputWithPooling
from napari_clipseg.engine.modeling.pretrained import Pretrained
from napari_clipseg.engine.modeling.tower_configs import CLIPSegVisionConfig


class CLIPSegVisionEmbeddings(nn.Module):
    """Patch embeddings and a class token, plus position embeddings."""

    def __init__(self, config: CLIPSegVisionConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.side = config.image_size // config.patch_size
        self.class_embedding = nn.Parameter(initial_values(config.hidden_size))
        self.patch_embedding = nn.Conv2d(
            config.num_channels,
            config.hidden_size,
            kernel_size=config.patch_size,
            stride=config.patch_size,
            bias=False,
        )
        self.position_embedding = new_embedding(self.side**2 + 1, config.hidden_size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Map ``(batch, channels, height, width)`` to ``(batch, 1 + patches, width)``."""
        rows, columns = self.grid(pixel_values.shape[-2], pixel_values.shape[-1])
        pixel_values = pixel_values.to(self.patch_embedding.weight.dtype)
        # (batch, width, rows, columns) -> (batch, patches, width)
        patches = self.patch_embedding(pixel_values).flatten(2).transpose(1, 2)
        # (width,) -> (batch, 1, width)
        class_token = self.class_embedding.expand(patches.shape[0], 1, -1)
        # (batch, 1 + patches, width)
        return torch.cat([class_token, patches], dim=1) + self.positions(rows, columns)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return how many rows and columns of whole patches an image holds."""
        if min(height, width) < self.patch_size:
            raise ValueError(
                f"The image is {height} x {width} pixels, smaller than a patch of "
                f"{self.patch_size} x {self.patch_size}. Enlarge it."
            )
        return height // self.patch_size, width // self.patch_size

    def positions(self, rows: int, columns: int) -> Tensor:
        """Return position embeddings ``(1 + rows * columns, width)``, interpolated to the grid.

        As for other resolutions in Dosovitskiy et al., https://arxiv.org/abs/2010.11929,
        section 3.2.
        """
        weight = self.position_embedding.weight
        # An exported program serves all sizes, so it must not take this branch for its example's.
        if not torch.compiler.is_compiling() and (rows, columns) == (self.side, self.side):
            return weight
        # (patches, width) -> (1, width, side, side)
        patches = weight[1:].T.unflatten(1, (self.side, self.side))[None]
        patches = F.interpolate(patches, (rows, columns), mode="bicubic", align_corners=False)
        # (1, width, rows, columns) -> (rows * columns, width), after the class token's
        return torch.cat([weight[:1], patches[0].flatten(1).T])


class CLIPSegVisionModel(Pretrained[CLIPSegVisionConfig]):
    """The vision tower (Radford et al., https://arxiv.org/abs/2103.00020, section 2.4).

    Examples
    --------
    >>> import torch
    >>> from napari_clipseg.engine import CLIPSegVisionConfig, CLIPSegVisionModel
    >>> model = CLIPSegVisionModel(CLIPSegVisionConfig(num_hidden_layers=1))
    >>> model(torch.zeros(1, 3, 64, 96)).last_hidden_state.shape  # a class token, 2 x 3 patches
    torch.Size([1, 7, 768])
    """

    config_class = CLIPSegVisionConfig
    prefix = "clip.vision_model."

    def __init__(self, config: CLIPSegVisionConfig) -> None:
        super().__init__(config)
        self.embeddings = CLIPSegVisionEmbeddings(config)
        # Spelled as in the published weights.
        self.pre_layrnorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.encoder = CLIPSegEncoder(
            config.hidden_size,
            config.num_attention_heads,
            config.intermediate_size,
            config.num_hidden_layers,
            config.hidden_act,
            config.layer_norm_eps,
            config.attention_dropout,
        )
        self.post_layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        interpolate_pos_encoding: bool = True,
    ) -> BaseModelOutputWithPooling | tuple[Any, ...]:
        """Encode images.

        Parameters
        ----------
        pixel_values : Tensor
            ``(batch, channels, height, width)``, normalized, at least one patch high and wide.
        output_attentions, output_hidden_states : bool, optional
            Whether to return them, too; by default what the config says.
        return_dict : bool, optional
            False for a tuple of the fields that are not None; by default what the config says.
        interpolate_pos_encoding : bool
            Whether images of another size than the config's are accepted.

        Returns
        -------
        BaseModelOutputWithPooling or tuple
            Pooled at the class token.

        Raises
        ------
        ValueError
            If there is no image, or one is smaller than a patch, or of another size when that is
            not accepted.
        """
        if pixel_values is None:
            raise ValueError("Got no pixel_values; give images, as the processor prepares them.")
        wanted = self.wanted(output_attentions, output_hidden_states, return_dict)
        side = self.config.image_size
        height, width = pixel_values.shape[-2:]
        if not interpolate_pos_encoding and (height, width) != (side, side):
            raise ValueError(
                f"The image is {height} x {width} pixels, the model's positions are for "
                f"{side} x {side}. Resize it, or set interpolate_pos_encoding to True."
            )
        record = Record(wanted.hidden_states, wanted.attentions)
        x = self.encoder(self.pre_layrnorm(self.embeddings(pixel_values)), record=record)
        # (batch, 1 + patches, width) -> (batch, width)
        pooled = self.post_layernorm(x[:, 0])
        output = BaseModelOutputWithPooling(x, pooled, record.hidden_states, record.attentions)
        return output if wanted.return_dict else output.to_tuple()

    def activations(self, pixel_values: Tensor, blocks: tuple[int, ...]) -> list[Tensor]:
        """Return the outputs of ``blocks``, each ``(batch, 1 + patches, width)``.

        Blocks after the last of them are not run: the decoder does not read them.
        """
        return self.encoder.extract(self.pre_layrnorm(self.embeddings(pixel_values)), blocks)
