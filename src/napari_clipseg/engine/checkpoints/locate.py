"""Where checkpoints are: in the package, in a folder, or in the hub's cache on this machine.

The cache has the layout that huggingface_hub documents: ``models--OWNER--NAME`` holds
``refs/REVISION`` (a commit), ``snapshots/COMMIT`` (a folder of links) and ``blobs/HASH``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from napari_clipseg.engine.checkpoints.catalog import PUBLISHED, catalog_entry
from napari_clipseg.engine.checkpoints.json_files import CONFIG_FILE
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError

BUNDLED = "demo"
READ_WHOLE = 1 << 26  # bytes of a file of weights: a larger one is mapped into memory, not read
KNOWN = tuple(PUBLISHED)
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
MAIN = "main"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"[^\\:\x00-\x1f\x7f]+")
# Each part of a checkpoint is in one of several sets of files; the first is the best.
_WEIGHTS = (("model.safetensors",), ("pytorch_model.bin",))
_PARTS = (
    ((CONFIG_FILE,),),
    (("vocab.json", "merges.txt"), ("tokenizer.json",)),
    (("preprocessor_config.json",), ("processor_config.json",)),
    _WEIGHTS,
)
_OPTIONAL = ("tokenizer_config.json", "special_tokens_map.json")


def locate(
    model: str | Path, *, revision: str | None = None, cache_dir: str | Path | None = None
) -> Path:
    """Find a checkpoint's folder. Nothing is ever downloaded here.

    Parameters
    ----------
    model : str or Path
        "demo" for the checkpoint in the package, a folder, or a hub name such as
        "CIDAS/clipseg-rd64-refined" that has been downloaded before.
    revision : str, optional
        Branch, tag or commit of a hub name; "main" by default.
    cache_dir : str or Path, optional
        The hub's cache; by default where huggingface_hub's own settings say.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    NotDownloadedError
        If a hub name is not in the cache, or only in part.
    CheckpointError
        If there is no such folder, or the revision cannot be one.

    Examples
    --------
    >>> from napari_clipseg.engine import locate
    >>> locate("demo").name
    'demo'
    """
    if str(model) == BUNDLED:
        return CHECKPOINTS / BUNDLED
    try:
        folder = Path(model).expanduser()
        found = str(model) != "" and folder.is_dir()
    except (OSError, RuntimeError):  # the name is too long, or "~user" of no user
        found = False
    if found:
        return folder
    if not is_hub_name(model):
        raise CheckpointError(
            f"There is no checkpoint {str(model)!r}. Wanted {BUNDLED!r}, an existing folder, or "
            f"a name on the hub such as {KNOWN[0]!r}."
        )
    name = str(model)
    at = f" --revision {revision}" if revision else ""
    command = f"Run `napari-clipseg download {name}{at}`"
    snapshot = find_snapshot(name, revision, cache_dir)
    if snapshot is None:
        entry = catalog_entry(name)
        raise NotDownloadedError(
            f"The checkpoint {name}{at and f' at the revision {revision}'} is not on this machine. "
            f"{command} to get it ({entry.size_text}). {entry.license_text}",
            name,
        )
    # A link to a missing file is no file.
    if missing := missing_parts({path.name for path in snapshot.iterdir() if path.is_file()}):
        raise NotDownloadedError(
            f"The checkpoint {name} is on this machine only in part: {snapshot} lacks "
            f"{', '.join(missing)}. {command} to get the rest.",
            name,
        )
    return snapshot


def is_hub_name(model: str | Path) -> bool:
    """Return whether this can be the name of a checkpoint on the hub: OWNER/NAME."""
    if not isinstance(model, str) or model.count("/") != 1:
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True


def cache_folder(cache_dir: str | Path | None = None) -> Path:
    """Return the cache that is given, or the one that huggingface_hub's own settings name."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE if cache_dir is None else cache_dir).expanduser().absolute()


def repository_folder(name: str, cache_dir: str | Path | None = None) -> Path:
    """Return the folder of the cache that a model of the hub has, or would have."""
    return cache_folder(cache_dir) / f"models--{name.replace('/', '--')}"


def is_commit(text: str) -> bool:
    """Return whether this is a commit: 40 hexadecimal digits."""
    return _COMMIT.fullmatch(text) is not None


def require_revision(revision: str | None) -> None:
    """Raise CheckpointError for a revision that could lead out of the cache, as a path there."""
    if revision is None or (
        _REVISION.fullmatch(revision) and not {"", ".", ".."} & set(revision.split("/"))
    ):
        return
    raise CheckpointError(
        f"The revision is {revision!r}; wanted the name of a branch or tag, or a commit, such as "
        f"{MAIN!r}. Leave it out for {MAIN!r}."
    )


def find_snapshot(
    name: str, revision: str | None = None, cache_dir: str | Path | None = None
) -> Path | None:
    """Return the folder of a model's files at a revision (branch, tag or commit), or None.

    Files may be missing in it; see `missing_parts`.

    Raises
    ------
    CheckpointError
        If the revision cannot be one.
    """
    require_revision(revision)
    repository = repository_folder(name, cache_dir)
    revision = revision or MAIN
    try:
        commit = (repository / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = revision
    folder = repository / "snapshots" / commit
    return folder if is_commit(commit) and folder.is_dir() else None


def cached_models(cache_dir: str | Path | None = None) -> list[str]:
    """Return the names of all models in the cache whose config says CLIPSeg."""
    names = [
        path.name.removeprefix("models--").replace("--", "/", 1)
        for path in sorted(cache_folder(cache_dir).glob("models--*--*"))
    ]
    return [
        name
        for name in names
        if is_hub_name(name) and _is_clipseg(find_snapshot(name, None, cache_dir))
    ]


def _is_clipseg(folder: Path | None) -> bool:
    if folder is None:
        return False
    try:
        values = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("model_type") == "clipseg"


def missing_parts(names: Collection[str]) -> list[str]:
    """Return the parts of a checkpoint that a set of files lacks, in words; [] if complete."""
    return [
        " or ".join(" and ".join(files) for files in part)
        for part in _PARTS
        if not any(set(files) <= set(names) for files in part)
    ]


def needed_files(names: Collection[str]) -> list[str]:
    """Return those files of a larger set that a checkpoint needs; one file of weights, last."""
    weights = next((files for files in _WEIGHTS if set(files) <= set(names)), ())
    small = [file for part in _PARTS if part is not _WEIGHTS for files in part for file in files]
    return [name for name in (*small, *_OPTIONAL, *weights) if name in names]


@dataclass(frozen=True)
class FolderState:
    """Which files a checkpoint's folder holds now; equal as long as none of them is replaced.

    Attributes
    ----------
    folder : Path
        Absolute, without links.
    files : tuple of (str, int, int, int)
        Name, size in bytes, time of the last change in nanoseconds, and inode of each file.
    """

    folder: Path
    files: tuple[tuple[str, int, int, int], ...]

    def overwritten(self) -> list[str]:
        """Return the names of mapped files of weights that were changed in place since then.

        A file that was replaced by another one, or removed, stays readable where it is mapped.
        """
        found = []
        for name, size, changed, inode in self.files:
            if size <= READ_WHOLE or not name.endswith((".safetensors", ".bin")):
                continue
            try:
                stat = (self.folder / name).stat()
            except OSError:
                continue
            if stat.st_ino == inode and (stat.st_size, stat.st_mtime_ns) != (size, changed):
                found.append(name)
        return found

    @classmethod
    def of(cls, folder: Path) -> FolderState:
        """Look at the files that `load` may read; what else is in the folder does not count."""
        folder = folder.resolve()
        files = []
        for path in sorted(folder.iterdir()):
            if path.suffix in (".json", ".txt", ".safetensors", ".bin") and path.is_file():
                stat = path.stat()
                files.append((path.name, stat.st_size, stat.st_mtime_ns, stat.st_ino))
        return cls(folder, tuple(files))
