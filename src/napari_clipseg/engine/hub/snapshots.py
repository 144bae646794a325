"""A model's folder in the hub's cache, as far as a download writes to it or deletes there."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

from napari_clipseg.engine.checkpoints.locate import MAIN, repository_folder
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.hub.listing import Listing, RemoteFile

LOCK_WAIT = 5.0  # seconds that another program may take to release a file


class Snapshot:
    """The folder of the files of one commit, and the cache's files that belong to it.

    Parameters
    ----------
    listing : Listing
        What the hub announced.
    cache_dir : str or Path, optional
        The hub's cache, instead of the one in the settings.

    Raises
    ------
    CheckpointError
        If a folder of it is a link that leads out of the cache.
    """

    def __init__(self, listing: Listing, cache_dir: str | Path | None = None) -> None:
        self._listing = listing
        self.repository = repository_folder(listing.name, cache_dir)
        self.blobs = self.repository / "blobs"
        self.locks = self.repository.parent / ".locks" / self.repository.name
        self.folder = self.repository / "snapshots" / listing.commit
        cache = self.repository.parent
        for folder in (self.folder, self.blobs, self.locks, self.repository / "refs"):
            if folder.resolve() != cache.resolve() / folder.relative_to(cache):
                raise CheckpointError(
                    f"{folder} leads out of the cache ({folder.resolve()}), where a download "
                    f"neither writes nor deletes. Remove that link, or set HF_HUB_CACHE to another "
                    f"folder."
                )

    def blob(self, file: RemoteFile) -> Path:
        """Return where the cache stores the content of a file."""
        return self.blobs / file.digest.value

    def make_folders(self) -> None:
        """Make the folders that a download needs before its first byte."""
        for folder in (self.blobs, self.locks):
            folder.mkdir(parents=True, exist_ok=True)

    def lock(self, file: RemoteFile, stack: ExitStack) -> Generator[None, None, None]:
        """Lock a file until the stack is left; yield often while another program has the lock.

        It is the lock that huggingface_hub uses for the same file.

        Raises
        ------
        Timeout
            Of filelock, if another program has it for more than `LOCK_WAIT` seconds.
        """
        from filelock import Timeout
        from huggingface_hub.utils import WeakFileLock

        from napari_clipseg.engine.hub.background import EVERY

        until = time.monotonic() + LOCK_WAIT
        while True:
            try:
                stack.enter_context(
                    WeakFileLock(self.locks / f"{file.digest.value}.lock", timeout=EVERY)
                )
            except Timeout:
                if time.monotonic() > until:
                    raise
                yield
            else:
                return

    def has_copy(self, file: RemoteFile) -> bool:
        """Return whether the folder holds a file itself, not a link: so where links fail."""
        path = self.folder / file.name
        return path.is_file() and not path.is_symlink() and file.digest.fits(path)

    def remove_wrong(self) -> None:
        """Remove what is not as announced, so that nothing trusts it if the download fails."""
        for file in self._listing.files:
            path, blob = self.folder / file.name, self.blob(file)
            linked = path.is_symlink() and path.resolve() == blob.resolve()
            if (path.is_symlink() or path.is_file()) and not (linked or self.has_copy(file)):
                path.unlink()

    def lay_out(self, revision: str | None) -> None:
        """Link each file to its blob, then record the commit: all blobs must be verified.

        Where symbolic links cannot be made (Windows, by default), the blob itself is moved.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for file in self._listing.files:
            path, blob = self.folder / file.name, self.blob(file)
            if not blob.is_file():
                continue  # it was moved here before
            # Another program may do the same at this moment.
            partial = self.folder / f".{file.name}.{os.getpid()}.partial"
            try:
                os.symlink(os.path.relpath(blob, self.folder), partial)
            except OSError:
                partial = blob
            os.replace(partial, path)
        revision = revision or MAIN
        if revision == self._listing.commit:
            return
        reference = self.repository / "refs" / revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        partial = reference.with_name(f"{reference.name}.{os.getpid()}.partial")
        partial.write_text(self._listing.commit, encoding="utf-8")
        os.replace(partial, reference)
