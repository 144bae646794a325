"""The hub's cache on this machine: which checkpoints lie there, and where.

The layout is the one that huggingface_hub documents: ``models--OWNER--NAME`` holds
``refs/REVISION`` (a commit), ``snapshots/COMMIT`` (a folder of links) and ``blobs/HASH``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from napari_clipseg.engine.checkpoints.files import lacking

MAIN = "main"
COMMIT = re.compile(r"[0-9a-f]{40}")


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the cache: the one given, or where huggingface_hub's own settings say."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE if cache_dir is None else cache_dir).expanduser().absolute()


def repository(name: str, cache_dir: str | Path | None = None) -> Path:
    """Return where a model of the hub lies in the cache, or would lie."""
    return cache_folder(cache_dir) / f"models--{name.replace('/', '--')}"


def snapshot(
    name: str, revision: str | None = None, cache_dir: str | Path | None = None
) -> Path | None:
    """Return the folder of a model's files at a revision (branch, tag or commit), if there is one.

    It may be there in part only; see `lacks`.
    """
    place = repository(name, cache_dir)
    revision = revision or MAIN
    try:
        commit = (place / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = revision
    folder = place / "snapshots" / commit
    return folder if COMMIT.fullmatch(commit) and folder.is_dir() else None


def lacks(folder: Path) -> list[str]:
    """Return what a folder lacks to be a checkpoint, in words; a link to nothing is no file."""
    return lacking({path.name for path in folder.iterdir() if path.is_file()})


def clipsegs(cache_dir: str | Path | None = None) -> list[str]:
    """Return the names of all models in the cache whose config says CLIPSeg."""
    names = [
        path.name.removeprefix("models--").replace("--", "/")
        for path in sorted(cache_folder(cache_dir).glob("models--*--*"))
    ]
    return [name for name in names if _is_clipseg(snapshot(name, None, cache_dir))]


def _is_clipseg(folder: Path | None) -> bool:
    if folder is None:
        return False
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and values.get("model_type") == "clipseg"
