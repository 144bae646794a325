"""Getting a checkpoint from the hub: asked for, piece by piece, checked, and then in its place."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_clipseg.engine.checkpoints.cached import cache_folder, repository
from napari_clipseg.engine.errors import AgreementError, CheckpointError, DownloadCancelledError
from napari_clipseg.engine.checkpoints.locate import KNOWN, is_hub_name, locate
from napari_clipseg.engine.hub.listing import Listing, RemoteFile, ask_hub
from napari_clipseg.engine.checkpoints.catalog import Offer, megabytes, offer
from napari_clipseg.engine.hub.verification import verify

LOCK_WAIT = 5.0  # seconds that another program may take to leave a file


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is.

    Attributes
    ----------
    done, total : int
        Bytes, of all files.
    file : str
        What is being fetched.
    """

    done: int
    total: int
    file: str


def download(
    model: str,
    *,
    agreed: bool = False,
    progress: Callable[[DownloadProgress], object] | None = None,
    cancel: Callable[[], bool] | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
) -> Path:
    """Fetch a checkpoint into the hub's cache, unless it is there already, whole and right.

    Proxy, mirror, cache and token come from huggingface_hub's own settings (``HTTPS_PROXY``,
    ``HF_ENDPOINT``, ``HF_HUB_CACHE``, ``HF_TOKEN``).

    Parameters
    ----------
    model : str
        A name on the hub, such as "CIDAS/clipseg-rd64-refined".
    agreed : bool
        Whether somebody knows the size and the licence, and wants it.
    progress : callable, optional
        Called with a `DownloadProgress` after each piece.
    cancel : callable, optional
        Asked after each piece, such as ``threading.Event().is_set``; true stops the download.
    revision : str, optional
        Branch, tag or commit; "main" by default.
    cache_dir : str or Path, optional
        Instead of the cache of the settings.
    endpoint : str, optional
        Address of the hub, instead of that of the settings.

    Returns
    -------
    Path
        The checkpoint's folder.

    Raises
    ------
    AgreementError
        If it is not here and ``agreed`` is false; it holds what there is to agree to.
    DownloadCancelledError
        If ``cancel`` said so. The next download goes on where this one stopped.
    CheckpointError
        If it cannot be had; the message says why, and the cure. Nothing that a later load
        would trust is left behind.
    """
    steps = download_steps(
        model, agreed=agreed, revision=revision, cache_dir=cache_dir, endpoint=endpoint
    )
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            folder: Path = stop.value
            return folder
        if progress is not None:
            progress(step)
        if cancel is not None and cancel():
            steps.close()
            raise DownloadCancelledError(
                f"The download of {model} was stopped after {megabytes(step.done)} of "
                f"{megabytes(step.total)}. Start it again, and it goes on there."
            )


def download_steps(
    model: str,
    *,
    agreed: bool = False,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
) -> Generator[DownloadProgress, None, Path]:
    """Do what `download` does, piece by piece; closing the generator stops it.

    Close it in the thread that ran it: the lock on the file belongs to that thread.

    Yields
    ------
    DownloadProgress
        After each piece.

    Returns
    -------
    Path
        The folder, as the generator's return value.
    """
    _require_hub_name(model)
    here = _whole(model, revision, cache_dir)
    if here is not None:
        return here
    if not agreed:
        asked = offer(model)
        raise AgreementError(
            f"Nothing was fetched, for nobody agreed to it yet: {asked}\nTo get it, run "
            f"`napari-clipseg download {model}`, or pass agreed=True.",
            asked,
        )
    from huggingface_hub import constants

    from napari_clipseg.engine.hub.errors import hub_errors

    with hub_errors(model, revision, endpoint or constants.ENDPOINT, cache_folder(cache_dir)):
        listing = ask_hub(model, revision, endpoint)
        yield from _fetch_all(listing, cache_dir, endpoint)
        _place(listing, revision, cache_dir, endpoint)
    verify(model, revision=revision, cache_dir=cache_dir, endpoint=endpoint)
    return locate(model, revision=revision, cache_dir=cache_dir)


def ask_offer(model: str, *, revision: str | None = None, endpoint: str | None = None) -> Offer:
    """Return what to tell a user of a checkpoint; the hub is asked where it is not known here.

    Raises
    ------
    CheckpointError
        If it is no name on the hub, or the hub does not say.
    """
    _require_hub_name(model)
    if model in KNOWN:
        return offer(model)
    from huggingface_hub import constants

    from napari_clipseg.engine.hub.errors import hub_errors

    with hub_errors(model, revision, endpoint or constants.ENDPOINT, cache_folder()):
        return ask_hub(model, revision, endpoint).offer


def _require_hub_name(model: str) -> None:
    if not is_hub_name(model):
        raise CheckpointError(
            f"{model!r} is no name on the hub, so it cannot be downloaded; wanted OWNER/NAME, "
            f"such as {KNOWN[0]!r}."
        )


def _whole(model: str, revision: str | None, cache_dir: str | Path | None) -> Path | None:
    """Return the folder if all is here and right, as far as can be told without a network."""
    try:
        return verify(model, revision=revision, cache_dir=cache_dir, offline=True).folder
    except CheckpointError:
        return None


def _fetch_all(
    listing: Listing, cache_dir: str | Path | None, endpoint: str | None
) -> Generator[DownloadProgress, None, None]:
    """Fetch all files into the cache's blobs, where nothing is loaded from yet."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import WeakFileLock

    from napari_clipseg.engine.hub.transfer import fetch

    place = repository(listing.name, cache_dir)
    locks = place.parent / ".locks" / place.name
    for folder in (place / "blobs", locks):
        folder.mkdir(parents=True, exist_ok=True)
    _require_room(listing, place)
    before = 0
    for file in listing.files:
        if _lies_there(file, place / "snapshots" / listing.commit / file.name):
            before += file.size
            continue
        url = hf_hub_url(listing.name, file.name, revision=listing.commit, endpoint=endpoint)
        # The lock that huggingface_hub takes for the same file.
        with WeakFileLock(locks / f"{file.digest.value}.lock", timeout=LOCK_WAIT):
            for done in fetch(file, url, place / "blobs" / file.digest.value):
                yield DownloadProgress(before + done, listing.size, file.name)
        before += file.size


def _lies_there(file: RemoteFile, copy: Path) -> bool:
    """Return whether a file is right that lies in its place without a blob; drop a wrong one.

    It does where symbolic links cannot be made, and would be left as it is.
    """
    if copy.is_symlink() or not copy.is_file():
        return False
    if file.digest.of(copy) == file.digest.value:
        return True
    copy.unlink()
    return False


def _require_room(listing: Listing, place: Path) -> None:
    blobs = [place / "blobs" / file.digest.value for file in listing.files]
    halves = [blob.with_name(f"{blob.name}.incomplete") for blob in blobs]
    there = sum(path.stat().st_size for path in (*blobs, *halves) if path.is_file())
    needed, free = listing.size - there, shutil.disk_usage(place).free
    if free < needed:
        raise CheckpointError(
            f"{listing.name} needs {megabytes(needed)} more, and the disk of {place.parent} has "
            f"{megabytes(free)} free. Make room, or set HF_HUB_CACHE to a folder on another disk."
        )


def _place(
    listing: Listing, revision: str | None, cache_dir: str | Path | None, endpoint: str | None
) -> None:
    """Have huggingface_hub lay out the fetched files as its own: it finds all blobs there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

    folder = snapshot_download(
        listing.name,
        revision=revision,
        cache_dir=cache_folder(cache_dir),
        endpoint=endpoint,
        allow_patterns=[file.name for file in listing.files],
        tqdm_class=Silent,
    )
    for file in listing.files:
        if not (Path(folder) / file.name).is_symlink():
            # Without symbolic links it was copied, and the blob would only take room.
            blob = repository(listing.name, cache_dir) / "blobs" / file.digest.value
            blob.unlink(missing_ok=True)
