"""Sizes and settings of a CLIPSeg model, read from a checkpoint's ``config.json``.

Names and defaults are those of the public classes, so that public files can be read as they are.
"""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from napari_clipseg.engine.checkpoints.json_files import CONFIG_FILE, read_json
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError

ACTIVATIONS = ("quick_gelu", "gelu", "relu")


# A broken file must not make a model that no memory holds. The largest published CLIP has 48 layers
# and a width of 1664.
MOST = {"num_hidden_layers": 256, "image_size": 2**14, "patch_size": 2**10, "num_channels": 2**10}
MOST_OTHERS = 2**20
LARGEST_ID = 2**31 - 1
LARGEST_NUMBER = 1e30


class BaseConfig:
    """What all configs share: the conversion from and to the mapping in a ``config.json``."""

    model_type: ClassVar[str]
    # The entry for this config in that of a whole CLIPSeg.
    part: ClassVar[str] = ""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from a mapping; keys that this class does not have are ignored.

        Public files hold dozens of settings of the library that wrote them.
        """
        known = {item.name for item in fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that `from_dict` reads, ready for JSON."""
        return {"model_type": self.model_type, **asdict(self)}  # type: ignore[call-overload]

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """Read ``config.json`` of a checkpoint: of a whole CLIPSeg, or of this part.

        Parameters
        ----------
        model : str or Path
            "demo", a folder, or the name of a downloaded hub checkpoint.

        Raises
        ------
        CheckpointError
            If the checkpoint is not on this machine; or its file is missing, is no JSON, or
            describes another kind of model.
        """
        path = locate(model) / CONFIG_FILE
        values = read_json(path)
        found = values.get("model_type", CLIPSegConfig.model_type)
        if found not in (cls.model_type, CLIPSegConfig.model_type):
            raise CheckpointError(
                f"{path} describes a model of type {found!r}, wanted "
                f"{CLIPSegConfig.model_type!r}. Choose a CLIPSeg checkpoint folder."
            )
        try:
            if found == cls.model_type:
                return cls.from_dict(values)
            part: Self = getattr(CLIPSegConfig.from_dict(values), cls.part)
            return part
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(
                f"{path} is not a usable CLIPSeg configuration: {error} "
                f"Get the checkpoint's files again, or choose another folder."
            ) from error


@dataclass(frozen=True)
class _TowerConfig(BaseConfig):
    """What both of CLIP's transformers have in common, with its checks."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str
    layer_norm_eps: float
    attention_dropout: float

    def __post_init__(self) -> None:
        _require_counts(
            self, "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"
        )
        _require_numbers(self, "layer_norm_eps", "attention_dropout")
        _require_divisible(self, "hidden_size", "num_attention_heads")
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(
                f"{type(self).__name__}.hidden_act is {self.hidden_act!r}; "
                f"it must be one of {', '.join(ACTIVATIONS)}."
            )


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
    pad_token_id, bos_token_id, eos_token_id : int
        Special tokens. ``eos_token_id == 2`` marks older files, in which the prompt's
        end is found as the highest id (see `CLIPSegTextModel`).
    initializer_range, initializer_factor : float
        Spread of new weights in the reference library. Public files have them; they have
        no effect here.

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

    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    vocab_size: int = 49408
    max_position_embeddings: int = 77
    pad_token_id: int | None = 1
    bos_token_id: int | None = 49406
    eos_token_id: int = 49407
    initializer_range: float = 0.02
    initializer_factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_counts(self, "vocab_size", "max_position_embeddings")
        _require_indices(self, "eos_token_id")
        _require_numbers(self, "initializer_range", "initializer_factor")
        for name in ("pad_token_id", "bos_token_id"):
            value = getattr(self, name)
            if value is not None and not (_is_int(value) and abs(value) <= LARGEST_ID):
                raise _wrong(self, name, f"null, or a whole number of at most {LARGEST_ID}")


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
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    attention_dropout: float = 0.0
    num_channels: int = 3
    image_size: int = 224
    patch_size: int = 32
    initializer_range: float = 0.02
    initializer_factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_counts(self, "num_channels", "image_size", "patch_size")
        _require_numbers(self, "initializer_range", "initializer_factor")
        if self.image_size < self.patch_size:
            raise ValueError(
                f"CLIPSegVisionConfig.image_size is {self.image_size}, smaller than "
                f"patch_size {self.patch_size}; an image must hold at least one patch."
            )


@dataclass(frozen=True)
class CLIPSegConfig(BaseConfig):
    """A whole CLIPSeg model: CLIP's two towers and the decoder.

    Parameters
    ----------
    text_config, vision_config : CLIPSegTextConfig, CLIPSegVisionConfig
        The towers.
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

    model_type = "clipseg"

    text_config: CLIPSegTextConfig = field(default_factory=CLIPSegTextConfig)
    vision_config: CLIPSegVisionConfig = field(default_factory=CLIPSegVisionConfig)
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
    default_threshold: float = 0.3

    def __post_init__(self) -> None:
        _require_counts(
            self,
            "projection_dim",
            "reduce_dim",
            "decoder_num_attention_heads",
            "decoder_intermediate_size",
        )
        _require_indices(self, "conditional_layer")
        _require_numbers(
            self, "logit_scale_init_value", "decoder_attention_dropout", "default_threshold"
        )
        _require_divisible(self, "reduce_dim", "decoder_num_attention_heads")
        use_three: Any = self.use_complex_transposed_convolution  # a JSON file may hold anything
        if not isinstance(use_three, bool):
            raise _wrong(self, "use_complex_transposed_convolution", "true or false")
        layers: Any = self.extract_layers
        if not isinstance(layers, list | tuple) or not all(map(_is_int, layers)):
            raise _wrong(self, "extract_layers", "a list of whole numbers")
        object.__setattr__(self, "extract_layers", tuple(layers))
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

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CLIPSegConfig:
        """Build from the mapping that a ``config.json`` holds.

        Older files hold the towers a second time as ``text_config_dict`` and
        ``vision_config_dict``; values in those are preferred.
        """
        known = {item.name for item in fields(cls)}
        picked = {key: value for key, value in values.items() if key in known}
        for name, tower in (
            ("text_config", CLIPSegTextConfig),
            ("vision_config", CLIPSegVisionConfig),
        ):
            merged = {**(values.get(name) or {}), **(values.get(f"{name}_dict") or {})}
            picked[name] = tower.from_dict(merged)
        return cls(**picked)

    @classmethod
    def from_text_vision_configs(
        cls, text_config: CLIPSegTextConfig, vision_config: CLIPSegVisionConfig, **others: Any
    ) -> CLIPSegConfig:
        """Build from the configs of the towers, and any other parameters by name."""
        return cls(text_config=text_config, vision_config=vision_config, **others)

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that `from_dict` reads, ready for JSON."""
        towers = {tower.part: tower.to_dict() for tower in (self.text_config, self.vision_config)}
        return {**super().to_dict(), **towers, "extract_layers": list(self.extract_layers)}


def _require_counts(config: BaseConfig, *names: str) -> None:
    for name in names:
        value, most = getattr(config, name), MOST.get(name, MOST_OTHERS)
        if not _is_int(value) or not 1 <= value <= most:
            raise _wrong(config, name, f"a whole number from 1 to {most}")


def _require_indices(config: BaseConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not _is_int(value) or not 0 <= value <= LARGEST_ID:
            raise _wrong(config, name, f"a whole number from 0 to {LARGEST_ID}")


def _require_numbers(config: BaseConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(config, name, "a number")
        if not abs(value) <= LARGEST_NUMBER:  # NaN is not, either
            raise _wrong(config, name, f"a number of at most {LARGEST_NUMBER:g}")


def _require_divisible(config: BaseConfig, whole: str, part: str) -> None:
    if getattr(config, whole) % getattr(config, part):
        raise ValueError(
            f"{type(config).__name__}.{whole} is {getattr(config, whole)}, which {part} "
            f"{getattr(config, part)} does not divide."
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # True is an int in Python


def _wrong(config: BaseConfig, name: str, wanted: str) -> ValueError:
    shown = reprlib.repr(getattr(config, name))
    return ValueError(f"{type(config).__name__}.{name} is {shown}; wanted {wanted}.")
