"""The exceptions that the engine adds to Python's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_clipseg.engine.checkpoints.catalog import Offer


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: a file is missing, broken, or of another model.

    The message names the folder and the file, says what was wanted, and the cure.
    """


class NotDownloadedError(CheckpointError):
    """A checkpoint of the hub that is not on this machine, or only in part.

    Attributes
    ----------
    name : str
        What it is called on the hub.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class AgreementError(CheckpointError):
    """A download that nobody agreed to; nothing was fetched.

    Attributes
    ----------
    offer : Offer
        What there is to agree to: size, licences, card.
    """

    def __init__(self, message: str, offer: Offer) -> None:
        super().__init__(message)
        self.offer = offer


class DownloadCancelledError(CheckpointError):
    """A download that was stopped; what was fetched is kept, and the next one goes on there."""


class DeviceWarning(UserWarning):
    """A device that could not do what was wanted of it; the work goes on another way."""
