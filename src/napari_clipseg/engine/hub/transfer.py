"""One file over HTTP: in chunks, resumed where an earlier try stopped, then verified.

huggingface_hub deletes an incomplete file when its process ends, which costs much time for 600 MB
over a slow line. So files are downloaded here, with its client: its settings for proxies, mirrors,
tokens and time-outs apply. An incomplete file is stored beside the cache's blobs as
``HASH.incomplete``, which is never loaded.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from huggingface_hub import constants, get_session
from huggingface_hub.utils import build_hf_headers

from napari_clipseg import __version__
from napari_clipseg.engine.checkpoints.catalog import printable
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.hub.background import EVERY, background
from napari_clipseg.engine.hub.errors import (
    ConnectionLostError,
    is_connection_error,
    raise_for_status,
)
from napari_clipseg.engine.hub.listing import RemoteFile

CHUNK = 1 << 16  # bytes, after which progress is told; or after `EVERY` seconds
TRIES = 5  # in a row that bring nearly nothing
LEAST = 1 << 14  # bytes of a try that brings more than that
PAUSE = 1.0  # seconds before the next try
# HTTP: the server sends the range that was asked for, or has none.
PARTIAL_CONTENT, NO_SUCH_RANGE = 206, 416
SHOWN = 60  # characters of what a server sent


class _OtherFileError(Exception):
    """The hub sent something else than it announced."""


def download_file(file: RemoteFile, url: str, blob: Path) -> Generator[int, None, None]:
    """Download a file to ``blob``, which exists only once it is complete and verified.

    Parameters
    ----------
    file : RemoteFile
        Size and hash of the file.
    url : str
        Address of the file.
    blob : Path
        Where it is stored. An existing file with the right hash is left as it is; one with
        another hash is removed at once.

    Yields
    ------
    int
        Bytes that are stored, after each chunk, and each time nothing came for `EVERY` seconds.
        Closing the generator stops the download.

    Raises
    ------
    CheckpointError
        If the file that came has another hash; it is deleted.
    Exception
        Of huggingface_hub and the operating system; see `hub_errors`. The incomplete file stays.
    """
    if blob.is_file():
        if file.digest.fits(blob):
            yield file.size
            return
        blob.unlink()
    partial = blob.with_name(f"{blob.name}.incomplete")
    partial.touch()
    failures = 0
    while (before := _size(partial)) != file.size:
        try:
            yield from _resume(file, url, partial)
        except Exception as error:
            failures = failures + 1 if _size(partial) - before < LEAST else 1
            if not is_connection_error(error) or failures == TRIES:
                raise
            until = time.monotonic() + PAUSE
            while (left := until - time.monotonic()) > 0:
                yield _size(partial)
                time.sleep(min(EVERY, left))
    found = file.digest.of(partial)
    if found != file.digest.value:
        raise _discard(
            partial,
            f"{file.name} came with the {file.digest.kind} {found}, wanted {file.digest.value}",
        )
    os.replace(partial, blob)


def _resume(file: RemoteFile, url: str, partial: Path) -> Generator[int, None, None]:
    """Append to the incomplete file what is missing."""
    stored = _size(partial)
    start = stored if stored < file.size else 0
    try:
        with closing(background(lambda: _pieces(file, url, start))) as pieces:
            yield from _write(pieces, file, partial)
    except _OtherFileError as error:
        raise _discard(partial, f"{file.name} {error}") from None


def _pieces(file: RemoteFile, url: str, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes of a file from the start that is asked for, or else from 0, and where."""
    # In a compressed answer, a range would count other bytes.
    headers = {
        **build_hf_headers(library_name="napari-clipseg", library_version=__version__),
        "Accept-Encoding": "identity",
    }
    if start:
        headers["Range"] = f"bytes={start}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        part = response.headers.get("Content-Range", "")
        if response.status_code == NO_SUCH_RANGE and start:
            raise _OtherFileError(f"ends before {start:,} bytes, other than it was")
        raise_for_status(response)
        if response.status_code != PARTIAL_CONTENT:
            start = 0
        elif not _is_rest(part, start, file.size):
            raise _OtherFileError(
                f"came with the part {printable(repr(part), SHOWN)}, wanted the bytes from "
                f"{start}, of {file.size},"
            )
        done = start
        for chunk in response.iter_bytes():
            yield done, chunk
            done += len(chunk)
            if done > file.size:
                raise _OtherFileError(f"came with more than {file.size:,} bytes")
    if done < file.size:
        raise ConnectionLostError(f"{file.name} ended after {done:,} of {file.size:,} bytes")


def _write(
    pieces: Iterator[tuple[int, bytes] | None], file: RemoteFile, partial: Path
) -> Generator[int, None, None]:
    """Write what comes to the incomplete file at once, so that a lost connection loses nothing."""
    done = told = _size(partial)
    told_at = time.monotonic()
    out = None
    with ExitStack() as stack:
        for piece in pieces:
            if piece is not None:
                done, chunk = piece
                if out is None:
                    out = stack.enter_context(partial.open("ab" if done else "wb", buffering=0))
                    told = done
                out.write(chunk)
                done += len(chunk)
            if done - told >= CHUNK or time.monotonic() - told_at >= EVERY:
                yield done
                told, told_at = done, time.monotonic()
    yield done


def _is_rest(part: str, start: int, size: int) -> bool:
    """Return whether a Content-Range begins where it was asked to, in a file of that size."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", part)
    return found is not None and int(found[1]) == start and found[2] in ("*", str(size))


def _discard(partial: Path, fault: str) -> CheckpointError:
    partial.unlink()
    return CheckpointError(
        f"{fault} as the hub announced it; it was deleted. Try again; if this happens once more, a "
        f"proxy or mirror on the way changes the file: use another network or HF_ENDPOINT."
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
