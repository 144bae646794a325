"""JSON files of a checkpoint: read with errors that say the cure, and replaced as a whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_clipseg.engine.errors import CheckpointError

CONFIG_FILE = "config.json"
MOST_BYTES = 1 << 26  # a vocabulary has 4 MB


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds one mapping.

    Raises
    ------
    CheckpointError
        If the file is missing, is no JSON, or holds something else.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ValueError(f"it has {size:,} bytes, wanted at most {MOST_BYTES:,}")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path.parent} has no {path.name}. Choose a folder that holds all files of a CLIPSeg "
            f"checkpoint, or get its files again."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON: {error}. Get the checkpoint's files again."
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(
            f"{path} holds a {type(values).__name__}, wanted a mapping. "
            f"Get the checkpoint's files again."
        )
    return values


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a mapping as JSON, indented; the folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json_text(values))


def json_text(values: dict[str, Any]) -> str:
    """Return a mapping as JSON, indented."""
    return json.dumps(values, indent=2) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a text file; an older file of that name is replaced when all is written."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
