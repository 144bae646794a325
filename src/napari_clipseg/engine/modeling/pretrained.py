"""What all models share: a config, and the way from and to a checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import torch
from torch import nn

from napari_clipseg.engine.modeling.config import CONFIG_FILE, BaseConfig
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.checkpoints.weights import load_weights, save_weights

Config = TypeVar("Config", bound=BaseConfig)


class Pretrained(nn.Module, Generic[Config]):
    """A model that comes from a checkpoint folder and can be saved as one.

    Parameters
    ----------
    config : CLIPSegTextConfig, CLIPSegVisionConfig or CLIPSegConfig
        What the model is made of. Its weights are fresh; see `from_pretrained`.
    """

    config_class: ClassVar[type[BaseConfig]]
    # Where this model's keys begin in the weights of a whole CLIPSeg.
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
        # On the meta device nothing is allocated or initialised, so no second copy exists.
        with torch.device("meta"):
            network = cls(config)  # type: ignore[arg-type]
        load_weights(network, folder, cls.prefix)
        return network.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors``, as `from_pretrained` reads them.

        The reference library reads them, too. What was in the folder under these names is
        replaced, once all is written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        values = {"architectures": [type(self).__name__], **self.config.to_dict()}
        save_weights(self, folder)
        text = json.dumps(values, indent=2) + "\n"
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
