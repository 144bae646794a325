"""The CLIPSeg decoder: from activations of the vision tower and a prompt's vector to logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.layers import NOTHING, Blocks, CLIPSegDecoderLayer, Record
from napari_clipseg.engine.modeling.outputs import CLIPSegDecoderOutput


class CLIPSegDecoder(Blocks):
    """The part that CLIPSeg adds to CLIP (https://arxiv.org/abs/2112.10003, section 3.1).

    It has two steps: `reduce` needs the image alone, `segment` needs a prompt too. So an image
    is reduced once for any number of prompts.

    Examples
    --------
    >>> import torch
    >>> from napari_clipseg.engine import CLIPSegConfig, CLIPSegDecoder
    >>> decoder = CLIPSegDecoder(CLIPSegConfig())
    >>> activations = [torch.zeros(1, 1 + 7 * 7, 768) for _ in range(3)]
    >>> reduced = decoder.reduce(activations)
    >>> decoder.segment(reduced, torch.zeros(1, 512), grid=(7, 7)).shape  # patches of 32 pixels
    torch.Size([1, 224, 224])
    """

    def __init__(self, config: CLIPSegConfig) -> None:
        super().__init__()
        vision, width = config.vision_config, config.reduce_dim
        depth = len(config.extract_layers)
        self.conditional_layer = config.conditional_layer
        self.film_mul = nn.Linear(config.projection_dim, width)
        self.film_add = nn.Linear(config.projection_dim, width)
        self.transposed_convolution: nn.Module
        if config.use_complex_transposed_convolution:
            # Each enlarges by a quarter of the patch: both together by a patch only if it is 16.
            step = vision.patch_size // 4
            self.transposed_convolution = nn.Sequential(
                nn.Conv2d(width, width, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(width, width // 2, kernel_size=step, stride=step),
                nn.ReLU(),
                nn.ConvTranspose2d(width // 2, 1, kernel_size=step, stride=step),
            )
        else:
            step = vision.patch_size
            self.transposed_convolution = nn.ConvTranspose2d(width, 1, step, stride=step)
        self.reduces = nn.ModuleList(nn.Linear(vision.hidden_size, width) for _ in range(depth))
        self.layers = nn.ModuleList(
            CLIPSegDecoderLayer(
                width,
                config.decoder_num_attention_heads,
                config.decoder_intermediate_size,
                "relu",
                vision.layer_norm_eps,
                vision.attention_dropout,
            )
            for _ in range(depth)
        )

    def reduce(self, activations: Sequence[Tensor]) -> list[Tensor]:
        """Project activations to the decoder's width, deepest first.

        Parameters
        ----------
        activations : sequence of Tensor
            ``(batch, 1 + patches, vision width)`` for each extracted block, ascending.

        Returns
        -------
        list of Tensor
            ``(batch, 1 + patches, reduce_dim)`` for each decoder block.
        """
        deepest_first = reversed(activations)
        return [reduce(x) for reduce, x in zip(self.reduces, deepest_first, strict=True)]

    def segment(
        self,
        reduced: Sequence[Tensor],
        prompts: Tensor,
        grid: tuple[int, int],
        record: Record = NOTHING,
    ) -> Tensor:
        """Turn reduced activations and prompts into logits.

        Parameters
        ----------
        reduced : sequence of Tensor
            From `reduce`; ``(batch, 1 + patches, reduce_dim)`` each.
        prompts : Tensor
            ``(batch, projection_dim)``, one for each image.
        grid : tuple of int
            Rows and columns of patches.
        record : Record
            Collects intermediate results.

        Returns
        -------
        Tensor
            ``(batch, height, width)`` logits.
        """
        x: Tensor | None = None
        for i, (layer, activation) in enumerate(zip(self.layers, reduced, strict=True)):
            x = activation if x is None else activation + x
            if i == self.conditional_layer:
                # FiLM (Perez et al., https://arxiv.org/abs/1709.07871): one scale and one shift
                # for each channel, the same for all patches.
                # (batch, projection_dim) -> (batch, 1, reduce_dim)
                x = self.film_mul(prompts)[:, None] * x + self.film_add(prompts)[:, None]
            if i == 0:
                record.add_hidden_state(x)
            x = self.run(layer, record, x)
            record.add_hidden_state(x)
        assert x is not None  # a config has at least one extracted layer
        # (batch, 1 + patches, reduce_dim) -> (batch, reduce_dim, rows, columns)
        x = x[:, 1:].transpose(1, 2).unflatten(2, grid)
        # (batch, 1, height, width) -> (batch, height, width)
        logits: Tensor = self.transposed_convolution(x).squeeze(1)
        return logits

    def forward(
        self,
        hidden_states: Sequence[Tensor],
        conditional_embeddings: Tensor,
        grid: tuple[int, int],
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> CLIPSegDecoderOutput:
        """Do both steps: `reduce` the activations, then `segment` with the prompts."""
        record = Record(output_hidden_states, output_attentions)
        logits = self.segment(self.reduce(hidden_states), conditional_embeddings, grid, record)
        return CLIPSegDecoderOutput(logits, record.hidden_states, record.attentions)
