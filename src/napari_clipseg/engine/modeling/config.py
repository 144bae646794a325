"""Sizes and settings of a CLIPSeg model, read from a checkpoint's ``config.json``.

Names, order and defaults of the parameters are those documented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from napari_clipseg.engine.modeling.base_config import (
    WHOLE,
    BaseConfig,
    tower_values,
    unchanging,
)
from napari_clipseg.engine.modeling.config_checks import (
    is_int,
    require_counts,
    require_divisible,
    require_flags,
    require_indices,
    require_numbers,
    wrong,
)
from napari_clipseg.engine.modeling.tower_configs import CLIPSegTextConfig, CLIPSegVisionConfig


@unchanging
@dataclass(frozen=True)
class CLIPSegConfig(BaseConfig):
    """A whole CLIPSeg model: CLIP's two towers and the decoder.

    Parameters
    ----------
    text_config, vision_config : CLIPSegTextConfig, CLIPSegVisionConfig, optional
        The towers: a config, a mapping of its parameters, or None for its defaults. As an
        attribute always a config.
    projection_dim : int
        Length of the vector that a prompt becomes.
    logit_scale_init_value : float
        Start value of CLIP's learned temperature, as its logarithm.
    extract_layers : tuple of int
        Vision blocks whose outputs the decoder reads, counted from 0, ascending.
    reduce_dim : int
        Width of the decoder's tokens: the "rd64" of a checkpoint's name.
    decoder_num_attention_heads, decoder_intermediate_size : int
        Heads and MLP width of the decoder's blocks.
    decoder_attention_dropout, decoder_hidden_act
        Public files have them; they have no effect here. The decoder always uses ReLU, as
        when the published weights were trained.
    conditional_layer : int
        Decoder block before which the prompt modulates the tokens (FiLM).
    use_complex_transposed_convolution : bool
        True for the "refined" checkpoint: three convolutions to pixels instead of one.
    default_threshold : float
        Probability above which a pixel belongs to a prompt, unless the user says
        otherwise. The default is the paper's best for PhraseCut (its section 5.1).
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
    >>> from napari_clipseg.engine import CLIPSegConfig
    >>> config = CLIPSegConfig.from_pretrained("demo")
    >>> config.projection_dim, config.extract_layers
    (96, (1, 3, 5))
    """

    model_type = WHOLE

    # A mapping or None is made a config, so that whoever reads one finds nothing else.
    text_config: CLIPSegTextConfig = None  # type: ignore[assignment]
    vision_config: CLIPSegVisionConfig = None  # type: ignore[assignment]
    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592
    extract_layers: tuple[int, ...] = (3, 6, 9)
    reduce_dim: int = 64
    decoder_num_attention_heads: int = 4
    decoder_attention_dropout: float = 0.0
    decoder_hidden_act: str = "quick_gelu"
    decoder_intermediate_size: int = 2048
    conditional_layer: int = 0
    use_complex_transposed_convolution: bool = False
    default_threshold: float = field(default=0.3, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for tower in (CLIPSegTextConfig, CLIPSegVisionConfig):
            self._set(tower.part, _tower(self, tower))
        require_counts(
            self,
            "projection_dim",
            "reduce_dim",
            "decoder_num_attention_heads",
            "decoder_intermediate_size",
        )
        require_indices(self, "conditional_layer")
        require_numbers(
            self, "logit_scale_init_value", "decoder_attention_dropout", "default_threshold"
        )
        require_divisible(self, "reduce_dim", "decoder_num_attention_heads")
        require_flags(self, "use_complex_transposed_convolution")
        layers: Any = self.extract_layers  # a JSON file may hold anything
        if not isinstance(layers, list | tuple) or not all(map(is_int, layers)):
            raise wrong(self, "extract_layers", "a list of whole numbers")
        self._set("extract_layers", tuple(layers))
        depth = self.vision_config.num_hidden_layers
        ascending = list(self.extract_layers) == sorted(set(self.extract_layers))
        within = all(0 <= i < depth for i in self.extract_layers)
        if not self.extract_layers or not ascending or not within:
            raise ValueError(
                f"CLIPSegConfig.extract_layers is {list(self.extract_layers)}; wanted one or more "
                f"ascending block numbers from 0 to {depth - 1}, the vision encoder's last."
            )
        if not 0 <= self.conditional_layer < len(self.extract_layers):
            raise ValueError(
                f"CLIPSegConfig.conditional_layer is {self.conditional_layer}; "
                f"wanted 0 to {len(self.extract_layers) - 1}, one of the decoder's blocks."
            )
        if not 0 < self.default_threshold < 1:
            raise ValueError(
                f"CLIPSegConfig.default_threshold is {self.default_threshold}; "
                f"wanted a probability between 0 and 1."
            )
        patch = self.vision_config.patch_size
        if self.use_complex_transposed_convolution and (patch < 4 or self.reduce_dim < 2):
            raise ValueError(
                f"CLIPSegConfig.use_complex_transposed_convolution wants a patch_size of at least "
                f"4 and a reduce_dim of at least 2; they are {patch} and {self.reduce_dim}."
            )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # while it is being made

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from the mapping that a ``config.json`` holds, of any age.

        Keys that this class does not have become ``others``.
        """
        towers = {tower.part for tower in (CLIPSegTextConfig, CLIPSegVisionConfig)}
        older = {f"{part}_dict" for part in towers}
        rest = {key: x for key, x in values.items() if key not in towers | older}
        return super().from_dict(rest | {part: tower_values(values, part) for part in towers})

    @classmethod
    def from_text_vision_configs(
        cls, text_config: CLIPSegTextConfig, vision_config: CLIPSegVisionConfig, **kwargs: Any
    ) -> Self:
        """Build from the configs of the towers, and any other parameters by name."""
        return cls(text_config=text_config, vision_config=vision_config, **kwargs)


def _tower(config: CLIPSegConfig, kind: type[CLIPSegTextConfig | CLIPSegVisionConfig]) -> object:
    value: Any = getattr(config, kind.part)
    if value is None or isinstance(value, Mapping):
        return kind.from_dict(value or {})
    if not isinstance(value, kind):
        raise wrong(config, kind.part, f"a {kind.__name__}, a mapping of its parameters, or None")
    return value
