"""A checkpoint folder's weights into a model: strictly, and with errors that say the cure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_clipseg.engine.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
PICKLE_FILE = "pytorch_model.bin"
# Buffers that older versions of the reference library wrote; they hold 0, 1, 2, ...
IGNORED_SUFFIX = ".position_ids"
NAMED_IN_ERRORS = 3


def load_weights(model: nn.Module, folder: str | Path, prefix: str = "") -> None:
    """Fill ``model`` with the weights of a checkpoint folder, as float32.

    The file is mapped into memory, not read into a second copy.

    Parameters
    ----------
    model : nn.Module
        May lie on the meta device: its parameters are replaced, not copied into.
    folder : str or Path
        Holds ``model.safetensors``, or else ``pytorch_model.bin``. Of the latter only
        tensors are read: code in it is never run.
    prefix : str
        Where the model's keys begin in the weights of a larger model; the others are then
        passed over. A file without such keys is read as the model's own.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or broken, or if its tensors are not exactly
        the model's, name by name and shape by shape. The model is then unchanged.
    """
    paths = [Path(folder) / name for name in (WEIGHTS_FILE, PICKLE_FILE)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise CheckpointError(
            f"{folder} has no {WEIGHTS_FILE}, nor a {PICKLE_FILE}. Choose a folder that holds all "
            f"files of a CLIPSeg checkpoint, or get its files again."
        )
    read = _read_safetensors if path.name == WEIGHTS_FILE else _read_pickle
    state = {key: x for key, x in read(path).items() if not key.endswith(IGNORED_SUFFIX)}
    if any(key.startswith(prefix) for key in state):
        state = {key.removeprefix(prefix): x for key, x in state.items() if key.startswith(prefix)}
    _require_match(path, model.state_dict(), state)
    state = {key: x.float() for key, x in state.items()}
    model.load_state_dict(state, strict=True, assign=True)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _broken(path, "safetensors", error) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors, or is broken; it is not read, since it could run "
            f"any code. Get the checkpoint's {WEIGHTS_FILE} instead."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise _broken(path, "PyTorch", error) from error
    tensors = isinstance(state, dict) and all(isinstance(x, Tensor) for x in state.values())
    if not tensors:
        raise CheckpointError(
            f"{path} holds no weights by name. Get the checkpoint's {WEIGHTS_FILE} instead."
        )
    return dict(state)


def _broken(path: Path, kind: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} ({path.stat().st_size:,} bytes) is no whole {kind} file: {error}. "
        f"{_what_happened(path)}"
    )


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write a model's weights as ``model.safetensors``; an older file stays until it is done."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    partial = folder / f"{WEIGHTS_FILE}.partial"
    save_file(state, partial, metadata={"format": "pt"})
    os.replace(partial, folder / WEIGHTS_FILE)


def _require_match(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    problems = []
    for title, names in (
        ("missing", sorted(expected.keys() - found.keys())),
        ("not of this model", sorted(found.keys() - expected.keys())),
    ):
        if names:
            problems.append(f"{len(names)} tensors {title} ({_some(names)})")
    other = [
        f"{name} is {tuple(found[name].shape)}, wanted {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if expected[name].shape != found[name].shape
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
