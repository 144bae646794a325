"""What can go wrong with a download, as errors that say the cure."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import Timeout
from huggingface_hub import hf_raise_for_status
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from napari_clipseg.engine.checkpoints.catalog import PUBLISHED, catalog_entry, printable
from napari_clipseg.engine.errors import CheckpointError

# The base of what the HTTP client raises: httpx's, or httpx2's since huggingface_hub 2.
_ClientError = HfHubHTTPError.__mro__[1]
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
_AGAIN = "run the same command again: it continues where it stopped"
SHOWN = 200  # characters of an error that may hold what a server sent
_OTHER = "set HF_HUB_CACHE to a folder"


class ConnectionLostError(ConnectionError):
    """An answer that ended too early, which the client did not notice."""


def is_connection_error(error: BaseException) -> bool:
    """Return whether no complete answer came, so that another try may help."""
    if isinstance(error, HfHubHTTPError):
        return False
    return isinstance(error, _ClientError | ConnectionLostError)


def raise_for_status(response: Any) -> None:
    """Raise the library's error for the answer to a streamed request, unless it is a success.

    The library reads all of an answer, and fails if its text is not as expected; so it gets the
    answer without the text.
    """
    if response.is_success:
        return
    response.close()
    without_text = type(response)(
        response.status_code, headers=_known_headers(response), request=response.request
    )
    hf_raise_for_status(without_text)
    raise ConnectionLostError(f"the answer had the status {response.status_code}")


def _known_headers(response: Any) -> dict[str, str]:
    names = ("X-Error-Code", "X-Error-Message", "Retry-After")
    return {name: response.headers[name] for name in names if name in response.headers}


@contextmanager
def hub_errors(name: str, revision: str | None, endpoint: str, cache: Path) -> Iterator[None]:
    """Turn the known errors of huggingface_hub and the system into CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        for cause in _chain(error):
            message = (
                _of_answer(cause, name, revision, endpoint)
                or _of_network(cause, name, endpoint)
                or _of_disk(cause, cache)
            )
            if message:
                raise CheckpointError(message) from error
        raise


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, then its causes: the library wraps some errors in others."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _of_answer(error: BaseException, name: str, revision: str | None, endpoint: str) -> str | None:
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{name} on the hub has no revision {revision!r}. Leave it out, or look for one on "
            f"{_card(name)}."
        )
    if isinstance(error, GatedRepoError):
        return (
            f"The owner of {name} gives access on request. Request it on {_card(name)}, log in "
            f"with `hf auth login`, and try again."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"The hub at {endpoint} shows no model {name!r}: there is none, or it is private. "
            f"Known models are {', '.join(PUBLISHED)}. For a private one log in with "
            f"`hf auth login`."
        )
    if not isinstance(error, HfHubHTTPError):
        return None
    status = error.response.status_code
    said = f"The hub at {endpoint} answered {status} when asked for {name}"
    if status in (401, 403):
        return (
            f"{said}: access denied. Log in with `hf auth login`, or request access on "
            f"{_card(name)}."
        )
    if status == 429:
        return f"{said}: too many requests. Wait a while, then {_AGAIN}."
    if status >= 500:
        return f"{said}: an error of the server. Wait a while, then {_AGAIN}."
    return f"{said}, which is not expected. If HF_ENDPOINT is set, check the address."


def _of_network(error: BaseException, name: str, endpoint: str) -> str | None:
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"{name} cannot be downloaded while HF_HUB_OFFLINE is set. Unset it, or get the files "
            f"on another machine and choose their folder."
        )
    if isinstance(error, json.JSONDecodeError | FileMetadataError):
        return (
            f"The answer of {endpoint} is not one of the hub: perhaps the login page of the "
            f"network. Open the address in a browser; if HF_ENDPOINT is set, check it."
        )
    if is_connection_error(error):
        why = printable(f"{type(error).__name__}: {error}", SHOWN).rstrip(": ")
        return (
            f"The connection to {endpoint} failed or was lost ({why}). Check the network "
            f"(behind a proxy, HTTPS_PROXY; for a mirror, HF_ENDPOINT), then {_AGAIN}."
        )
    return None


def _of_disk(error: BaseException, cache: Path) -> str | None:
    if isinstance(error, Timeout):
        return f"Another program downloads the same into {cache}. Wait for it, then try again."
    if (
        not isinstance(error, OSError) or error.errno is None
    ):  # some errors of the library derive from it
        return None
    if error.errno in _FULL:
        return f"The disk of {cache} is full. Make room, or {_OTHER} on another disk; {_AGAIN}."
    if error.errno in _NOT_WRITABLE:
        return f"{cache} cannot be written ({error}). Make it writable, or {_OTHER} that is."
    if error.errno in _IN_THE_WAY:
        return f"A file is in the way of the folder {cache} ({error}). Remove it, or {_OTHER}."
    return f"{cache} could not be used ({error}). Check the disk, or {_OTHER} on another one."


def _card(name: str) -> str:
    return catalog_entry(name).card
