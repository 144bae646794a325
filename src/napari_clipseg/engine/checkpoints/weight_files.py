"""Tensors by name, read from the files that checkpoints hold; and the hash of these files.

Large files are mapped into memory, not copied; small ones are read. From pickled files only tensors
are read: code in them is never run.
"""

from __future__ import annotations

import hashlib
import re
import warnings
import zipfile
from itertools import groupby
from pathlib import Path, PurePath
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from napari_clipseg.engine.checkpoints.digests import linked_digest, sha256
from napari_clipseg.engine.checkpoints.json_files import read_json
from napari_clipseg.engine.checkpoints.locate import READ_WHOLE
from napari_clipseg.engine.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
PICKLE_FILE = "pytorch_model.bin"
# Where the weights are in several files, the index says which file holds which tensor.
INDEX_SUFFIX = ".index.json"
BLOCK = re.compile(r".*\.layers\.\d+\.")
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
        The file that was read, or the index of the files that were read.
    dict of Tensor
        By name, as they are in the file.

    Raises
    ------
    CheckpointError
        If there is no such file, or one is missing, truncated or broken.
    """
    path = weights_file(folder)
    state: dict[str, Tensor] = {}
    for part in _parts(path):
        state |= _read(part)
    return path, state


def weights_digest(folder: str | Path) -> str:
    """Return the hash of a folder's weights, the same on every machine.

    Parameters
    ----------
    folder : str or Path
        As for `read_weights`.

    Returns
    -------
    str
        "sha256:" and 64 hexadecimal digits: the SHA-256 of the file that `read_weights` reads. For
        weights in several parts, it is the SHA-256 of the lines "NAME SHA256", one for each
        part, sorted by name. Files that the hub's cache named by their hash are not read.

    Raises
    ------
    CheckpointError
        If there are no weights, or a part is missing.
    """
    path = weights_file(folder)
    parts = _parts(path)
    digests = [_sha256(part) for part in parts]
    if parts == [path]:
        return f"sha256:{digests[0]}"
    lines = [f"{part.name} {digest}\n" for part, digest in zip(parts, digests, strict=True)]
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def _sha256(path: Path) -> str:
    recorded = linked_digest(path)
    return recorded.value if recorded and recorded.kind == "sha256" else sha256(path)


def has_weights(folder: str | Path) -> bool:
    """Return whether `weights_file` would find a file."""
    return _find(folder) is not None


def _find(folder: str | Path) -> Path | None:
    paths = [Path(folder) / name for name in KINDS]
    return next((path for path in paths if path.is_file()), None)


def weights_file(folder: str | Path) -> Path:
    """Return the file of a folder that holds the weights, or the index of several that do.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    path = _find(folder)
    if path is None:
        raise CheckpointError(
            f"{folder} has no {WEIGHTS_FILE}, nor a {PICKLE_FILE}. Choose a folder that holds all "
            f"files of a checkpoint, or get its files again."
        )
    return path


def _parts(path: Path) -> list[Path]:
    """Return the file itself, or the parts that an index names, sorted by name."""
    if not path.name.endswith(INDEX_SUFFIX):
        return [path]
    names = read_json(path).get("weight_map")
    if not isinstance(names, dict) or not all(map(_is_plain_name, names.values())):
        raise CheckpointError(
            f"{path} does not say which file beside it holds which tensor. Get the checkpoint's "
            f"files again."
        )
    parts = [path.parent / name for name in sorted(set(names.values()))]
    for part in parts:
        if not part.is_file():
            raise CheckpointError(
                f"{path.parent} has no {part.name}, which {path.name} names as a part of the "
                f"weights. Get the checkpoint's files again."
            )
    return parts


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", "..") and PurePath(name).name == name


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return read_pickle(path, f"Get the checkpoint's {WEIGHTS_FILE} instead.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        state = _mapped(path)
    except (SafetensorError, OSError, LookupError, AttributeError, ValueError) as error:
        raise _broken(path, "safetensors", error) from error
    if path.stat().st_size <= READ_WHOLE:
        # Whatever happens to the file, these stay.
        return {name: tensor.clone() for name, tensor in state.items()}
    return state


def _mapped(path: Path) -> dict[str, Tensor]:
    """Return tensors that are mapped to a file, those of each block apart.

    A mapping is let go with the last of its tensors: who replaces those of a block frees memory.
    """
    with safe_open(path, "pt") as file:
        names = list(file.keys())
    state: dict[str, Tensor] = {}
    for _, block in groupby(sorted(names, key=_block), _block):
        with safe_open(path, "pt") as file:
            state |= {name: file.get_tensor(name) for name in block}
    return {name: state[name] for name in names}


def _block(name: str) -> str:
    """Return what the names of tensors of a block of a tower have in common; else nothing."""
    found = BLOCK.match(name)
    return "" if found is None else found[0]


def read_pickle(path: Path, cure: str) -> dict[str, Tensor]:
    """Read the tensors of a file that ``torch.save`` wrote, and nothing else in it.

    Parameters
    ----------
    path : Path
        The file.
    cure : str
        What the error tells the user to do.

    Raises
    ------
    CheckpointError
        If the file is not complete, or holds anything but tensors by name.
    """
    try:
        # Files of PyTorch before 1.6 are no archives and cannot be mapped into memory.
        mapped = path.stat().st_size > READ_WHOLE and zipfile.is_zipfile(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it cannot read is raised as an error anyway
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        if cause := _replacement_cause(path):
            raise CheckpointError(f"{path} holds no weights. {cause}") from error
        raise CheckpointError(
            f"{path} holds more than tensors, or is broken; it is not read, since it could run "
            f"any code. {cure}"
        ) from error
    except Exception as error:  # what a damaged file makes of the unpickler can be any
        raise _broken(path, "PyTorch", error) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(x, Tensor) for name, x in state.items()
    ):
        raise CheckpointError(f"{path} holds no weights by name. {cure}")
    for name, tensor in state.items():
        if kind := _unusual_kind(tensor):
            raise CheckpointError(
                f"{name} in {path} is a {kind} tensor; wanted plain ones, stored in full. {cure}"
            )
    return dict(state)


def _unusual_kind(tensor: Tensor) -> str | None:
    if tensor.is_nested:
        return "nested"
    if tensor.is_quantized:
        return "quantized"
    if tensor.layout != torch.strided:
        return "sparse"
    return None if tensor.device.type == "cpu" else tensor.device.type


def _broken(path: Path, kind: str, error: Exception) -> CheckpointError:
    size = f"{path.stat().st_size:,} bytes" if path.is_file() else "no file"
    cause = _replacement_cause(path) or (
        "It may have been cut off while it was copied; get it again."
    )
    return CheckpointError(f"{path} ({size}) is not a complete {kind} file: {error}. {cause}")


def _replacement_cause(path: Path) -> str:
    """Return cause and cure if a file is something else that was saved under its name."""
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
