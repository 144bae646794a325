"""Whether a downloaded checkpoint's files are what the hub announced."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari_clipseg.engine.checkpoints.cached import cache_folder
from napari_clipseg.engine.checkpoints.files import wanted
from napari_clipseg.engine.hub.digests import Digest, digest
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.checkpoints.locate import is_hub_name, locate


@dataclass(frozen=True)
class Verified:
    """A checkpoint whose files are right.

    Attributes
    ----------
    folder : Path
        Where it lies.
    files : tuple of str
        What was compared.
    """

    folder: Path
    files: tuple[str, ...]


def verify(
    model: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
    offline: bool = False,
) -> Verified:
    """Compare the hash of each file of a downloaded checkpoint with the hub's.

    The cache keeps the hashes as the names of its blobs, so no network is needed. Where it
    could make no symbolic links (Windows, by default), the hub is asked.

    Parameters
    ----------
    model : str
        A name on the hub.
    revision, cache_dir, endpoint
        As in `downloads.download`.
    offline : bool
        Never ask the hub.

    Raises
    ------
    NotDownloadedError
        If it is not here, or only in part.
    CheckpointError
        If a file has another hash, or no hash of it is known. All bad files are named.
    """
    if not is_hub_name(model):
        raise CheckpointError(
            f"{model!r} is no name on the hub, so there are no hashes to compare its files with."
        )
    folder = locate(model, revision=revision, cache_dir=cache_dir)
    names = wanted([path.name for path in folder.iterdir() if path.is_file()])
    hashes = {name: kept for name in names if (kept := _kept(folder / name))}
    unknown = [name for name in names if name not in hashes]
    if unknown and not offline:
        hashes |= _asked(model, folder.name, cache_dir, endpoint)
    if rest := [name for name in names if name not in hashes]:
        raise CheckpointError(f"No hash is known of {', '.join(rest)} in {folder}.")
    faults = []
    for name in names:
        found = hashes[name].of(folder / name)
        if found != hashes[name].value:
            faults.append(f"{name} ({hashes[name].kind} {found}, wanted {hashes[name].value})")
    if faults:
        at = f" --revision {revision}" if revision else ""
        raise CheckpointError(
            f"{len(faults)} of {len(names)} files in {folder} are not what the hub announced: "
            f"{'; '.join(faults)}. Run `napari-clipseg download {model}{at}` to get them again."
        )
    return Verified(folder, tuple(names))


def _kept(path: Path) -> Digest | None:
    """Return the hash that the cache keeps of a file: the name of the blob it links to.

    Only the first link counts: a blob may in turn link into a store of another naming.
    """
    return digest(Path(os.readlink(path)).name) if path.is_symlink() else None


def _asked(
    model: str, commit: str, cache_dir: str | Path | None, endpoint: str | None
) -> dict[str, Digest]:
    from huggingface_hub import constants

    from napari_clipseg.engine.hub.errors import hub_errors
    from napari_clipseg.engine.hub.listing import ask_hub

    with hub_errors(model, commit, endpoint or constants.ENDPOINT, cache_folder(cache_dir)):
        return {file.name: file.digest for file in ask_hub(model, commit, endpoint).files}
