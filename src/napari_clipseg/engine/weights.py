"""A checkpoint folder's weights into a model: strictly, and with errors that say the cure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from napari_clipseg.engine.errors import CheckpointError

WEIGHTS_FILE = "model.safetensors"
# Buffers that older versions of the reference library wrote; they hold 0, 1, 2, ...
IGNORED_SUFFIX = ".position_ids"
NAMED_IN_ERRORS = 3


def load_weights(model: nn.Module, folder: str | Path) -> None:
    """Fill ``model`` with the weights of a checkpoint folder, as float32.

    Parameters
    ----------
    model : nn.Module
        May lie on the meta device: its parameters are replaced, not copied into.
    folder : str or Path
        Holds ``model.safetensors``.

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
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            _require_match(path, expected, shapes)
            state = {name: file.get_tensor(name).float() for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is no whole safetensors file: {error}. "
            f"{_what_happened(path)}"
        ) from error
    model.load_state_dict(state, strict=True, assign=True)


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
