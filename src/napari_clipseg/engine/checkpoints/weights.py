"""Weights from a checkpoint folder into a model, and back; every name and shape is checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_clipseg.engine.checkpoints.weight_files import WEIGHTS_FILE, read_weights
from napari_clipseg.engine.errors import CheckpointError

# Buffers that older versions of the reference library wrote; they hold 0, 1, 2, ...
IGNORED_SUFFIX = ".position_ids"
NAMED_IN_ERRORS = 3
# Of a quantized model, the integers alone would be read without their scales.
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
WANTED = "float32, float16, bfloat16 or float64"


def load_weights(
    model: nn.Module, folder: str | Path, prefix: str = "", dtype: torch.dtype = torch.float32
) -> None:
    """Fill ``model`` with the weights of a checkpoint folder.

    Weights that have the wanted type in a large file stay mapped to it, and are read when they are
    first used: the file must not be overwritten or truncated. Others are read at once.

    Parameters
    ----------
    model : nn.Module
        May be on the meta device: its parameters are replaced, not copied into.
    folder : str or Path
        See `read_weights`.
    prefix : str
        How the model's keys begin in the weights of a larger model; other keys are then
        ignored. A file without such keys is read as the model's own.
    dtype : torch.dtype
        Type to which the weights are converted.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or broken, or if names and shapes of its tensors are
        not exactly the model's. The model is then unchanged.
    """
    path, state = read_weights(folder)
    if any(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}
    fill(model, state, f"{path} does not fit the config.json beside it", dtype)


def fill(
    model: nn.Module,
    state: dict[str, Tensor],
    complaint: str,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Make ``state`` the weights of ``model``.

    Parameters
    ----------
    model : nn.Module
        May be on the meta device.
    state : dict of Tensor
        By name; changed in place: tensors that no model needs are removed, others converted.
    complaint : str
        How the error begins if names and shapes are not exactly the model's.
    dtype : torch.dtype
        Type to which the weights are converted.

    Raises
    ------
    CheckpointError
        If they are not. The model is then unchanged.
    """
    for key in [key for key in state if key.endswith(IGNORED_SUFFIX)]:
        del state[key]
    _require_match(complaint, model.state_dict(), state)
    for key in state:
        state[key] = state[key].to(dtype)
    model.load_state_dict(state, strict=True, assign=True)


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write ``model.safetensors``; an older file is replaced when all is written."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    partial = folder / f"{WEIGHTS_FILE}.partial"
    try:
        partial.touch()
        mode = partial.stat().st_mode
        save_file(state, partial, metadata={"format": "pt"})
        partial.chmod(mode)  # the library lets only the owner read the file
        os.replace(partial, folder / WEIGHTS_FILE)
    finally:
        partial.unlink(missing_ok=True)


def _require_match(
    complaint: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    problems = []
    for fault, names in (
        ("missing", sorted(expected.keys() - found.keys())),
        ("not of this model", sorted(found.keys() - expected.keys())),
    ):
        if names:
            problems.append(f"{len(names)} tensors {fault} ({_some(names)})")
    other = [
        f"{name} is {tuple(found[name].shape)}, wanted {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name].shape != found[name].shape
    ]
    if other:
        problems.append(f"{len(other)} tensors of another shape ({_some(other)})")
    unknown = [
        f"{name} is {str(found[name].dtype).removeprefix('torch.')}"
        for name in sorted(expected.keys() & found.keys())
        if found[name].dtype not in DTYPES
    ]
    if unknown:
        problems.append(f"{len(unknown)} tensors of another type than {WANTED} ({_some(unknown)})")
    if problems:
        raise CheckpointError(
            f"{complaint}: {'; '.join(problems)}. Get both files from the same checkpoint."
        )


def _some(names: list[str]) -> str:
    rest = len(names) - NAMED_IN_ERRORS
    return ", ".join(names[:NAMED_IN_ERRORS]) + (f", and {rest} more" if rest > 0 else "")
