"""What can go wrong between the hub and its cache, as errors that say the cure."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.checkpoints.catalog import PUBLISHED, offer

# The base of what the HTTP client raises: httpx's, or httpx2's since huggingface_hub 2.
_ClientError = HfHubHTTPError.__mro__[1]
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY = {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}
_AGAIN = "run the same again: what was fetched is kept, and it goes on there"
_OTHER = "set HF_HUB_CACHE to a folder"


class ConnectionLostError(ConnectionError):
    """An answer that ended before its end, without the client's noticing."""


def is_connection_error(error: BaseException) -> bool:
    """Return whether no whole answer came, so that another try may help."""
    if isinstance(error, HfHubHTTPError):
        return False
    return isinstance(error, _ClientError | ConnectionLostError)


@contextmanager
def hub_errors(name: str, revision: str | None, endpoint: str, cache: Path) -> Iterator[None]:
    """Turn what huggingface_hub and the system raise into CheckpointError, where it is known."""
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
    """Yield the error, then what it came from: the library wraps some."""
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
            f"The owner of {name} gives it to those who ask. Ask on {_card(name)}, then log in "
            f"with `hf auth login`, and try again."
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"The hub at {endpoint} shows no model {name!r}: there is none, or it is private. "
            f"Known ones are {', '.join(PUBLISHED)}. For a private one log in with "
            f"`hf auth login`."
        )
    if not isinstance(error, HfHubHTTPError):
        return None
    status = error.response.status_code
    said = f"The hub at {endpoint} answered {status} when asked for {name}"
    if status in (401, 403):
        return (
            f"{said}: it does not let you in. Log in with `hf auth login`, or ask on {_card(name)}."
        )
    if status == 429:
        return f"{said}: too many asked. Wait a while, then {_AGAIN}."
    if status >= 500:
        return f"{said}: a fault on its side. Wait a while, then {_AGAIN}."
    return f"{said}, which is not expected. If HF_ENDPOINT is set, check the address."


def _of_network(error: BaseException, name: str, endpoint: str) -> str | None:
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"{name} cannot be fetched while HF_HUB_OFFLINE is set. Unset it, or get the files on "
            f"another machine and choose their folder."
        )
    if isinstance(error, json.JSONDecodeError | FileMetadataError):
        return (
            f"{endpoint} answered with something that is no answer of the hub: perhaps the login "
            f"page of the network. Open it in a browser; if HF_ENDPOINT is set, check the address."
        )
    if is_connection_error(error):
        why = f"{type(error).__name__}: {error}".rstrip(": ")
        return (
            f"The connection to {endpoint} failed or was lost ({why}). Check the network "
            f"(behind a proxy, HTTPS_PROXY; for a mirror, HF_ENDPOINT), then {_AGAIN}."
        )
    return None


def _of_disk(error: BaseException, cache: Path) -> str | None:
    if isinstance(error, Timeout):
        return f"Another program fetches the same into {cache}. Wait for it, then try again."
    if not isinstance(error, OSError) or error.errno is None:  # the library derives from it, too
        return None
    if error.errno in _FULL:
        return f"The disk of {cache} is full. Make room, or {_OTHER} on another disk; {_AGAIN}."
    if error.errno in _NOT_WRITABLE:
        return f"{cache} cannot be written ({error}). Have it made writable, or {_OTHER} that is."
    if error.errno in _IN_THE_WAY:
        return f"A file is in the way of the folder {cache} ({error}). Remove it, or {_OTHER}."
    return f"{cache} could not be used ({error}). Check the disk, or {_OTHER} on another one."


def _card(name: str) -> str:
    return offer(name).card
