"""Whether the files of a downloaded checkpoint have the hashes that the hub announced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_clipseg.engine.checkpoints.digests import Digest, linked_digest
from napari_clipseg.engine.checkpoints.locate import (
    cache_folder,
    is_hub_name,
    locate,
    needed_files,
)
from napari_clipseg.engine.errors import CheckpointError


@dataclass(frozen=True)
class Verified:
    """A checkpoint whose files have the right hashes.

    Attributes
    ----------
    folder : Path
        Where it is.
    files : tuple of str
        The files that were compared.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_clipseg.engine import Verified
    >>> Verified(Path("clipseg"), ("config.json",)).files
    ('config.json',)
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

    The cache stores the hashes as the names of its blobs, so no network is needed. Where it
    cannot make symbolic links (Windows, by default), the hub is asked.

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
        If it is not on this machine, or only in part.
    CheckpointError
        If a file has another hash, or no hash is known for it. All such files are named.

    Examples
    --------
    >>> from napari_clipseg.engine import verify
    >>> verify("CIDAS/clipseg-rd64-refined", cache_dir="an-empty-folder")
    Traceback (most recent call last):
    ...
    napari_clipseg.engine.errors.NotDownloadedError: ...
    """
    if not is_hub_name(model):
        raise CheckpointError(
            f"{model!r} is no name on the hub, so there are no hashes to compare its files with."
        )
    folder = locate(model, revision=revision, cache_dir=cache_dir)
    names = needed_files([path.name for path in folder.iterdir() if path.is_file()])
    digests = {name: one for name in names if (one := linked_digest(folder / name))}
    if len(digests) < len(names) and not offline:
        digests |= _announced(model, folder.name, cache_dir, endpoint)
    if unknown := [name for name in names if name not in digests]:
        raise CheckpointError(
            f"No hash is known for {', '.join(unknown)} in {folder}. Connect to the network, and "
            f"verify again."
        )
    faults = []
    for name in names:
        digest, found = digests[name], digests[name].of(folder / name)
        if found != digest.value:
            faults.append(f"{name} ({digest.kind} {found}, wanted {digest.value})")
    if faults:
        at = f" --revision {revision}" if revision else ""
        raise CheckpointError(
            f"{len(faults)} of {len(names)} files in {folder} are not what the hub announced: "
            f"{'; '.join(faults)}. Run `napari-clipseg download {model}{at}` to get them again."
        )
    return Verified(folder, tuple(names))


def _announced(
    model: str, commit: str, cache_dir: str | Path | None, endpoint: str | None
) -> dict[str, Digest]:
    """Ask the hub for the hashes at a commit."""
    from huggingface_hub import constants

    from napari_clipseg.engine.hub.errors import hub_errors
    from napari_clipseg.engine.hub.listing import ask_hub

    with hub_errors(model, commit, endpoint or constants.ENDPOINT, cache_folder(cache_dir)):
        return {file.name: file.digest for file in ask_hub(model, commit, endpoint).files}
