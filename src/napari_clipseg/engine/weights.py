"""A checkpoint folder's weights into a model: strictly, and with errors that say the cure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_clipseg.engine.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
# Buffers that older versions of the reference library wrote; they hold 0, 1, 2, ...
IGNORED_SUFFIX = ".position_ids"
NAMED_IN_ERRORS = 3


def load_weights(model: nn.Module, folder: str | Path, prefix: str = "") -> None:
    """Fill ``model`` with the weights of a checkpoint folder, as float32.

    Parameters
    ----------
    model : nn.Module
        May lie on the meta device: its parameters are replaced, not copied into.
    folder : str or Path
        Holds ``model.safetensors``.
    prefix : str
        Where the model's keys begin in the weights of a larger model; the others are then
        passed over. A file without such keys is read as the model's own.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or broken, or if its tensors are not exactly
        the model's, name by name and shape by shape. The model is then unchanged.
    """
    path = Path(folder) / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent} has no {WEIGHTS_FILE}. Choose a folder that holds all files of a "
            f"CLIPSeg checkpoint, or get its files again."
        )
    expected = model.state_dict()
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if not name.endswith(IGNORED_SUFFIX)]  # noqa: SIM118
            if prefix and not any(name.startswith(prefix) for name in names):
                prefix = ""
            keys = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
            shapes = {key: tuple(file.get_slice(keys[key]).get_shape()) for key in keys}
            _require_match(path, expected, shapes)
            state = {key: file.get_tensor(keys[key]).float() for key in keys}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is no whole safetensors file: {error}. "
            f"{_what_happened(path)}"
        ) from error
    model.load_state_dict(state, strict=True, assign=True)


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write a model's weights as ``model.safetensors``; an older file stays until it is done."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    partial = folder / f"{WEIGHTS_FILE}.partial"
    save_file(state, partial, metadata={"format": "pt"})
    os.replace(partial, folder / WEIGHTS_FILE)


def _require_match(
    path: Path, expected: Mapping[str, Tensor], found: Mapping[str, tuple[int, ...]]
) -> None:
    problems = []
    for title, names in (
        ("missing", sorted(expected.keys() - found.keys())),
        ("not of this model", sorted(found.keys() - expected.keys())),
    ):
        if names:
            problems.append(f"{len(names)} tensors {title} ({_some(names)})")
    other = [
        f"{name} is {found[name]}, wanted {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if tuple(expected[name].shape) != found[name]
    ]
    if other:
        problems.append(f"{len(other)} tensors of another shape ({_some(other)})")
    if problems:
        raise CheckpointError(
            f"{path} does not fit the config.json beside it: {'; '.join(problems)}. "
            f"Get both files from the same checkpoint."
        )


def _what_happened(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if start.startswith(b"version https://git-lfs"):
        return "It only points to the weights; run `git lfs pull` where it was cloned."
    if start.startswith(b"<"):
        return "It is a web page, not the file that the page offers; download that one."
    return "It may have been cut off while it was copied; get it again."


def _some(names: list[str]) -> str:
    rest = len(names) - NAMED_IN_ERRORS
    return ", ".join(names[:NAMED_IN_ERRORS]) + (f", and {rest} more" if rest > 0 else "")
