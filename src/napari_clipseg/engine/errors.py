"""The exceptions and warnings that the engine adds to Python's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_clipseg.engine.checkpoints.catalog import CatalogEntry


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: a file is missing, broken, or of another model.

    The message names the folder and the file, says what was wanted, and the cure.
    """


class NotDownloadedError(CheckpointError):
    """A checkpoint of the hub that is not on this machine, or only in part.

    Attributes
    ----------
    name : str
        Its name on the hub.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class LicenseNotAcceptedError(CheckpointError):
    """A download whose license nobody has accepted yet; nothing was downloaded.

    Attributes
    ----------
    entry : CatalogEntry
        Size, licenses and card of the checkpoint.
    """

    def __init__(self, message: str, entry: CatalogEntry) -> None:
        super().__init__(message)
        self.entry = entry


class DownloadCancelledError(CheckpointError):
    """A download that was stopped. The next one continues where it stopped."""


class DeviceWarning(UserWarning):
    """A device could not do what was asked of it; the work continues in another way."""
