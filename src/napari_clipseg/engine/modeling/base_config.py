"""What all configs share: how they are read and saved, and that they do not change."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from napari_clipseg.engine.checkpoints.json_files import (
    CONFIG_FILE,
    json_text,
    read_json,
    write_json,
)
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.config_checks import require_flags

# The model type of a whole CLIPSeg, in whose config.json those of the towers are entries.
WHOLE = "clipseg"

Config = TypeVar("Config", bound="BaseConfig")


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """Settings that all configs have, and the conversion from and to a ``config.json``.

    Parameters
    ----------
    output_attentions, output_hidden_states, return_dict : bool
        What a model returns, if a call does not say it; see the models.
    others : dict
        What a file holds beside the parameters: settings of the library that wrote it. They have
        no effect here, and are written again by `to_dict`.
    """

    model_type: ClassVar[str]
    # The entry for this config in that of a whole CLIPSeg.
    part: ClassVar[str] = ""

    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    others: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        require_flags(self, "output_attentions", "output_hidden_states", "return_dict")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; keys that this class does not have become ``others``.

        Public files hold dozens of settings of the library that wrote them.
        """
        known = {item.name for item in fields(cls)} - {"others"}
        others = {key: x for key, x in values.items() if key not in {*known, "model_type"}}
        picked = {key: values[key] for key in known & values.keys()}
        return cls(**picked, others=others)

    def to_dict(self) -> dict[str, Any]:
        """Return the mapping that `from_dict` reads, ready for JSON."""
        known = {item.name: getattr(self, item.name) for item in fields(self)}
        del known["others"]
        for name, value in known.items():
            if isinstance(value, BaseConfig):
                known[name] = value.to_dict()
            elif isinstance(value, tuple):
                known[name] = list(value)
        return {**self.others, "model_type": self.model_type, **known}

    def to_json_string(self) -> str:
        """Return `to_dict` as JSON, as in a ``config.json``."""
        return json_text(self.to_dict())

    def to_json_file(self, path: str | Path) -> None:
        """Write `to_dict` as JSON; an older file is replaced when the new one is written."""
        write_json(Path(path), self.to_dict())

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json``, as `from_pretrained` reads it; the folder is made if needed."""
        self.to_json_file(Path(folder) / CONFIG_FILE)

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
        return cls.from_json_file(locate(model) / CONFIG_FILE)

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Read a file that `to_json_file` wrote, or any ``config.json``; see `from_pretrained`."""
        values = read_json(Path(path))
        found = values.get("model_type", WHOLE)
        if found not in (cls.model_type, WHOLE):
            raise CheckpointError(
                f"{path} describes a model of type {found!r}, wanted {WHOLE!r}. Choose a CLIPSeg "
                f"checkpoint folder."
            )
        try:
            of_a_whole = found == WHOLE and cls.part
            return cls.from_dict(tower_values(values, cls.part) or {} if of_a_whole else values)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(
                f"{path} is not a usable CLIPSeg configuration: {error} "
                f"Get the checkpoint's files again, or choose another folder."
            ) from error


def tower_values(values: Mapping[str, Any], part: str) -> Any:
    """Return what the mapping of a whole CLIPSeg holds for a tower, its ``part``; None if nothing.

    Older files hold the towers a second time as ``text_config_dict`` and
    ``vision_config_dict``; values in those are preferred.
    """
    older = values.get(f"{part}_dict")
    return {**(values.get(part) or {}), **older} if older else values.get(part)


def unchanging(cls: type[Config]) -> type[Config]:
    """Make the error for a change of a frozen config say what to do instead."""

    def refuse(self: Config, name: str, value: object) -> None:
        raise FrozenInstanceError(
            f"{cls.__name__}.{name} cannot be changed, since models are built with it. Make "
            f"another config: dataclasses.replace(config, {name}={reprlib.repr(value)})."
        )

    cls.__setattr__ = refuse  # type: ignore[assignment]
    return cls
