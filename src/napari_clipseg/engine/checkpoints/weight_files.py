"""Tensors by name, out of the files that checkpoints hold; with errors that say the cure.

Files are mapped into memory, not read into a second copy. Of pickled ones only tensors are
read: code in them is never run.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path, PurePath
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from napari_clipseg.engine.modeling.config import read_json
from napari_clipseg.engine.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
PICKLE_FILE = "pytorch_model.bin"
# Where the weights are spread over several files, this one says which file holds which tensor.
INDEX_SUFFIX = ".index.json"
# In the order in which the reference library looks for them.
KINDS = (WEIGHTS_FILE, WEIGHTS_FILE + INDEX_SUFFIX, PICKLE_FILE, PICKLE_FILE + INDEX_SUFFIX)


def read_weights(folder: str | Path) -> tuple[Path, dict[str, Tensor]]:
    """Read all tensors of a folder.

    Parameters
    ----------
    folder : str or Path
        Holds ``model.safetensors`` or ``pytorch_model.bin``, or the index of one that was
        written in parts.

    Returns
    -------
    Path
        The file that was read, or the index of those that were.
    dict of Tensor
        By name, as they lie in the file.

    Raises
    ------
    CheckpointError
        If there is no such file, or one is missing, truncated or broken.
    """
    paths = [Path(folder) / name for name in KINDS]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise CheckpointError(
            f"{folder} has no {WEIGHTS_FILE}, nor a {PICKLE_FILE}. Choose a folder that holds all "
            f"files of a checkpoint, or get its files again."
        )
    return path, _read_parts(path) if path.name.endswith(INDEX_SUFFIX) else _read(path)


def _read_parts(index: Path) -> dict[str, Tensor]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(map(_is_plain_name, names.values())):
        raise CheckpointError(
            f"{index} does not say which file beside it holds which tensor. Get the checkpoint's "
            f"files again."
        )
    state: dict[str, Tensor] = {}
    for name in sorted(set(names.values())):
        path = index.parent / name
        if not path.is_file():
            raise CheckpointError(
                f"{index.parent} has no {name}, which {index.name} names as a part of the weights. "
                f"Get the checkpoint's files again."
            )
        state |= _read(path)
    return state


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", "..") and PurePath(name).name == name


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return read_pickle(path, f"Get the checkpoint's {WEIGHTS_FILE} instead.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _broken(path, "safetensors", error) from error


def read_pickle(path: Path, cure: str) -> dict[str, Tensor]:
    """Read the tensors of a file that ``torch.save`` wrote, and nothing else of it.

    Parameters
    ----------
    path : Path
        The file.
    cure : str
        What the error says to do where there is more in it, or something else.

    Raises
    ------
    CheckpointError
        If it is no whole file, or holds anything but tensors by name.
    """
    try:
        # Files of PyTorch before 1.6 are no archives, and cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it may not understand it raises anyway
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        if cause := _stands_for_another(path):
            raise CheckpointError(f"{path} holds no weights. {cause}") from error
        raise CheckpointError(
            f"{path} holds more than tensors, or is broken; it is not read, since it could run "
            f"any code. {cure}"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise _broken(path, "PyTorch", error) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(x, Tensor) for name, x in state.items()
    ):
        raise CheckpointError(f"{path} holds no weights by name. {cure}")
    return dict(state)


def _broken(path: Path, kind: str, error: Exception) -> CheckpointError:
    size = f"{path.stat().st_size:,} bytes" if path.is_file() else "no file"
    cause = _stands_for_another(path) or (
        "It may have been cut off while it was copied; get it again."
    )
    return CheckpointError(f"{path} ({size}) is no whole {kind} file: {error}. {cause}")


def _stands_for_another(path: Path) -> str:
    """Say so, and the cure, if a file is what came in the place of the one that was wanted."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip()
    except OSError:
        return ""
    if start.startswith(b"version https://git-lfs"):
        return "It only points to the weights; run `git lfs pull` where it was cloned."
    if start.startswith(b"<"):
        return "It is a web page, not the file that the page offers; download that one."
    return ""
