"""What all models share: a config, how they are loaded and saved, and what they return."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Generic, NamedTuple, Self, TypeVar

import torch
from torch import nn

from napari_clipseg.engine.checkpoints.json_files import CONFIG_FILE, write_json
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.checkpoints.weights import DTYPES, load_weights, save_weights
from napari_clipseg.engine.modeling.base_config import BaseConfig
from napari_clipseg.engine.modeling.layers import Blocks

Config = TypeVar("Config", bound=BaseConfig)
# By the names that a config.json has for them.
DTYPE_NAMES = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES}
# What a config.json says about the type of the weights beside it, today and before.
DTYPE_KEYS = ("dtype", "torch_dtype")


class Wanted(NamedTuple):
    """What a call of a model returns."""

    attentions: bool
    hidden_states: bool
    return_dict: bool


class Pretrained(nn.Module, Generic[Config]):
    """A model that can be loaded from a checkpoint folder, and saved as one.

    Parameters
    ----------
    config : CLIPSegTextConfig, CLIPSegVisionConfig or CLIPSegConfig
        Sizes and settings. The weights are random; `from_pretrained` loads them.
    """

    config_class: ClassVar[type[BaseConfig]]
    # How this model's keys begin in the weights of a whole CLIPSeg.
    prefix: ClassVar[str] = ""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights' numbers."""
        return next(x.dtype for x in self.parameters() if x.is_floating_point())

    def wanted(
        self,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> Wanted:
        """Return what a call asks for, and the config's setting for each that is None."""
        settings = self.config
        return Wanted(
            settings.output_attentions if output_attentions is None else output_attentions,
            settings.output_hidden_states if output_hidden_states is None else output_hidden_states,
            settings.return_dict if return_dict is None else return_dict,
        )

    @classmethod
    def from_pretrained(
        cls, model: str | Path, *, dtype: torch.dtype | str = torch.float32
    ) -> Self:
        """Load a checkpoint, ready for inference.

        Parameters
        ----------
        model : str or Path
            "demo", a folder in the public format, or the name of a downloaded hub
            checkpoint: of a whole CLIPSeg, or saved from this class.
        dtype : torch.dtype or str
            Type of the weights' numbers, whatever the file has: float32, float16, bfloat16 or
            float64.

        Raises
        ------
        CheckpointError
            If a file is missing or broken, or the weights are not those of the config.
        ValueError
            If there is no such type.
        """
        kind = DTYPE_NAMES.get(dtype) if isinstance(dtype, str) else dtype
        if kind not in DTYPES:
            raise ValueError(
                f"dtype is {dtype!r}; wanted one of {', '.join(DTYPE_NAMES)}, as text or of torch. "
                f"Leave it out for float32."
            )
        folder = locate(model)
        config = cls.config_class.from_pretrained(folder)
        # On the meta device nothing is allocated, so that memory holds the weights only once.
        with torch.device("meta"):
            network = cls(config)  # type: ignore[arg-type]
        load_weights(network, folder, cls.prefix, kind)
        network.after_loading()
        return network.eval()

    def after_loading(self) -> None:
        """What a model does when it has got its weights: nothing, unless its class says so."""

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors``, as `from_pretrained` reads them.

        The reference library reads them, too. Older files of these names are replaced when the
        new ones are written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self, folder)
        values = self.config.to_dict()
        for one in (values, values.get("text_config", {}), values.get("vision_config", {})):
            for key in DTYPE_KEYS:
                one.pop(key, None)  # of the weights that the config was read with
        values |= {
            "architectures": [type(self).__name__],
            "dtype": str(self.dtype).removeprefix("torch."),
        }
        write_json(folder / CONFIG_FILE, values)

    def gradient_checkpointing_enable(self) -> None:
        """Compute activations again for the gradients, instead of keeping them, while training.

        Less memory, for the time of a second forward pass: Chen et al.,
        https://arxiv.org/abs/1604.06174.
        """
        self._set_checkpointing(True)

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations for the gradients, as by default."""
        self._set_checkpointing(False)

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether activations are computed again for the gradients."""
        return any(x.gradient_checkpointing for x in self.modules() if isinstance(x, Blocks))

    def _set_checkpointing(self, wanted: bool) -> None:
        for module in self.modules():
            if isinstance(module, Blocks):
                module.gradient_checkpointing = wanted
