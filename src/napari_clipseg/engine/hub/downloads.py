"""Downloads of whole checkpoints into the hub's cache: incomplete snapshots are rejected."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from napari_clipseg.engine.checkpoints.catalog import CatalogEntry, catalog_entry, megabytes
from napari_clipseg.engine.checkpoints.locate import (
    KNOWN,
    cache_folder,
    is_hub_name,
    require_revision,
)
from napari_clipseg.engine.errors import (
    CheckpointError,
    DownloadCancelledError,
    LicenseNotAcceptedError,
)
from napari_clipseg.engine.hub.listing import Listing, ask_hub
from napari_clipseg.engine.hub.snapshots import Snapshot
from napari_clipseg.engine.hub.verification import verify


@dataclass(frozen=True)
class DownloadProgress:
    """Progress of a download.

    Attributes
    ----------
    done, total : int
        Bytes of all files.
    file : str
        The file that is being downloaded.

    Examples
    --------
    >>> from napari_clipseg.engine import DownloadProgress
    >>> step = DownloadProgress(done=300, total=600, file="model.safetensors")
    >>> f"{step.done / step.total:.0%}"
    '50%'
    """

    done: int
    total: int
    file: str


def download(
    model: str,
    *,
    accept_license: bool = False,
    progress: Callable[[DownloadProgress], object] | None = None,
    cancel: Callable[[], bool] | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
) -> Path:
    """Download a checkpoint into the hub's cache, unless it is there already and complete.

    Proxy, mirror, cache and token come from huggingface_hub's own settings (``HTTPS_PROXY``,
    ``HF_ENDPOINT``, ``HF_HUB_CACHE``, ``HF_TOKEN``).

    Parameters
    ----------
    model : str
        A name on the hub, such as "CIDAS/clipseg-rd64-refined".
    accept_license : bool
        Whether the user accepts the license; `describe` says which one it is.
    progress : callable, optional
        Called with a `DownloadProgress` after each chunk.
    cancel : callable, optional
        Called several times a second, such as ``threading.Event().is_set``; true stops the
        download, also while the line stands still.
    revision : str, optional
        Branch, tag or commit; "main" by default.
    cache_dir : str or Path, optional
        The hub's cache, instead of the one in the settings.
    endpoint : str, optional
        Address of the hub, instead of the one in the settings.

    Returns
    -------
    Path
        The checkpoint's folder.

    Raises
    ------
    LicenseNotAcceptedError
        If it is not on this machine and ``accept_license`` is false; its ``entry`` holds size
        and licenses.
    DownloadCancelledError
        If ``cancel`` returned true. The next download continues where this one stopped.
    CheckpointError
        If the download fails; the message says why, and the cure. Incomplete files are never
        loaded.

    Examples
    --------
    Nothing is downloaded before the license is accepted:

    >>> from napari_clipseg.engine import LicenseNotAcceptedError, download
    >>> try:
    ...     folder = download("CIDAS/clipseg-rd64", cache_dir="an/empty/folder")
    ... except LicenseNotAcceptedError as error:
    ...     print(error.entry.size_text)
    605 MB
    """
    steps = download_steps(
        model,
        accept_license=accept_license,
        revision=revision,
        cache_dir=cache_dir,
        endpoint=endpoint,
    )
    after = ""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            folder: Path = stop.value
            return folder
        if step is not None:
            after = f" after {megabytes(step.done)} of {megabytes(step.total)}"
            if progress is not None:
                progress(step)
        if cancel is not None and cancel():
            steps.close()
            raise DownloadCancelledError(
                f"The download of {model} was stopped{after}. Start it again, and it continues "
                f"there."
            )


def download_steps(
    model: str,
    *,
    accept_license: bool = False,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
) -> Generator[DownloadProgress | None, None, Path]:
    """Do what `download` does, step by step; closing the generator stops it.

    Close it in the thread that ran it: the lock on the file belongs to that thread.

    Yields
    ------
    DownloadProgress or None
        After each chunk, and several times a second while nothing comes; None where it waits for
        something else than a file.

    Returns
    -------
    Path
        The folder, as the generator's return value.
    """
    _require_hub_name(model)
    require_revision(revision)
    folder = _complete(model, revision, cache_dir)
    if folder is not None:
        return folder
    if not accept_license:
        entry = catalog_entry(model)
        raise LicenseNotAcceptedError(
            f"Nothing was downloaded, because the license was not accepted: {entry}\nTo get it, "
            f"run `napari-clipseg download {model}`, or pass accept_license=True.",
            entry,
        )
    from huggingface_hub import constants

    from napari_clipseg.engine.hub.background import in_background
    from napari_clipseg.engine.hub.errors import hub_errors

    with hub_errors(model, revision, endpoint or constants.ENDPOINT, cache_folder(cache_dir)):
        listing = yield from in_background(lambda: ask_hub(model, revision, endpoint))
        snapshot = Snapshot(listing, cache_dir)
        yield from _download_files(listing, snapshot, endpoint)
        snapshot.lay_out(revision)
    return snapshot.folder


def describe(
    model: str, *, revision: str | None = None, endpoint: str | None = None
) -> CatalogEntry:
    """Return size and licenses of a checkpoint; the hub is asked if it is not in the catalog.

    Raises
    ------
    CheckpointError
        If it is no name on the hub, or the hub does not answer.

    Examples
    --------
    >>> from napari_clipseg.engine import describe
    >>> describe("CIDAS/clipseg-rd64").size_text
    '605 MB'
    """
    _require_hub_name(model)
    require_revision(revision)
    if model in KNOWN:
        return catalog_entry(model)
    from huggingface_hub import constants

    from napari_clipseg.engine.hub.errors import hub_errors

    with hub_errors(model, revision, endpoint or constants.ENDPOINT, cache_folder()):
        return ask_hub(model, revision, endpoint).entry


def _require_hub_name(model: str) -> None:
    if not is_hub_name(model):
        raise CheckpointError(
            f"{model!r} is no name on the hub, so it cannot be downloaded; wanted OWNER/NAME, "
            f"such as {KNOWN[0]!r}."
        )


def _complete(model: str, revision: str | None, cache_dir: str | Path | None) -> Path | None:
    """Return the folder if all files have the hashes that the cache has recorded, or None."""
    try:
        return verify(model, revision=revision, cache_dir=cache_dir, offline=True).folder
    except CheckpointError:
        return None


def _download_files(
    listing: Listing, snapshot: Snapshot, endpoint: str | None
) -> Generator[DownloadProgress | None, None, None]:
    """Download all files into the cache's blobs, from which nothing is loaded yet."""
    from huggingface_hub import hf_hub_url

    from napari_clipseg.engine.hub.transfer import download_file

    snapshot.make_folders()
    _require_room(listing, snapshot)
    snapshot.remove_wrong()
    before = 0
    for file in listing.files:
        if not snapshot.has_copy(file):
            url = hf_hub_url(listing.name, file.name, revision=listing.commit, endpoint=endpoint)
            with ExitStack() as stack:
                yield from snapshot.lock(file, stack)
                for done in download_file(file, url, snapshot.blob(file)):
                    yield DownloadProgress(before + done, listing.size, file.name)
        before += file.size


def _require_room(listing: Listing, snapshot: Snapshot) -> None:
    blobs = [snapshot.blob(file) for file in listing.files]
    partials = [blob.with_name(f"{blob.name}.incomplete") for blob in blobs]
    stored = sum(path.stat().st_size for path in (*blobs, *partials) if path.is_file())
    needed, free = listing.size - stored, shutil.disk_usage(snapshot.repository).free
    if free < needed:
        raise CheckpointError(
            f"{listing.name} needs {megabytes(needed)} more, and the disk of "
            f"{snapshot.repository.parent} has {megabytes(free)} free. Make room, or set "
            f"HF_HUB_CACHE to a folder on another disk."
        )
