"""A new checkpoint folder: there once it is complete, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError

from napari_clipseg.engine.errors import CheckpointError


def require_new(output: Path) -> None:
    """Raise CheckpointError if a folder exists, and is not empty."""
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise CheckpointError(f"{output} exists already. Name a folder that is new or empty.")


@contextmanager
def new_folder(output: Path, size: int) -> Iterator[Path]:
    """Give a folder to write to, which becomes `output` if nothing fails.

    Parameters
    ----------
    output : Path
        The folder to make.
    size : int
        Bytes that will be written, for the error.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as place:
            partial = Path(place) / output.name
            yield partial
            if output.exists():
                output.rmdir()
            os.replace(partial, output)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{output} cannot be written: {error}. Choose a place that you may write to, with "
            f"{size / 1e6:.0f} MB free."
        ) from error
