"""What all models share: a config, and how they are loaded from a checkpoint folder and saved."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import torch
from torch import nn

from napari_clipseg.engine.checkpoints.json_files import CONFIG_FILE, write_json
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.checkpoints.weights import load_weights, save_weights
from napari_clipseg.engine.modeling.base_config import BaseConfig

Config = TypeVar("Config", bound=BaseConfig)


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

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Self:
        """Load a checkpoint in float32, ready for inference.

        Parameters
        ----------
        model : str or Path
            "demo", a folder in the public format, or the name of a downloaded hub
            checkpoint: of a whole CLIPSeg, or saved from this class.

        Raises
        ------
        CheckpointError
            If a file is missing or broken, or the weights are not those of the config.
        """
        folder = locate(model)
        config = cls.config_class.from_pretrained(folder)
        # On the meta device nothing is allocated, so that memory holds the weights only once.
        with torch.device("meta"):
            network = cls(config)  # type: ignore[arg-type]
        load_weights(network, folder, cls.prefix)
        return network.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors``, as `from_pretrained` reads them.

        The reference library reads them, too. Older files of these names are replaced when the
        new ones are written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        values = {"architectures": [type(self).__name__], **self.config.to_dict()}
        save_weights(self, folder)
        write_json(folder / CONFIG_FILE, values)
