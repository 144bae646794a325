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
from pathlib import Path

from huggingface_hub import constants, get_session
from huggingface_hub.utils import build_hf_headers

from napari_clipseg import __version__
from napari_clipseg.engine.checkpoints.catalog import printable
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.hub.errors import (
    ConnectionLostError,
    is_connection_error,
    raise_for_status,
)
from napari_clipseg.engine.hub.listing import RemoteFile

# Progress is told, and a download can be stopped, after so many bytes, or so many seconds.
CHUNK = 1 << 16
EVERY = 0.1
TRIES = 5  # in a row that bring nearly nothing
LEAST = 1 << 14  # bytes of a try that brings more than that
PAUSE = 1.0  # seconds before the next try
# HTTP: the server sends the range that was asked for, or has none.
PARTIAL_CONTENT, NO_SUCH_RANGE = 206, 416
SHOWN = 60  # characters of what a server sent


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
        Bytes that are stored, after each chunk. Closing the generator stops the download.

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
            time.sleep(PAUSE)
            yield _size(partial)
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
            raise _discard(partial, f"{file.name} ends before {start:,} bytes, other than it was")
        raise_for_status(response)
        if response.status_code != PARTIAL_CONTENT:
            start = 0
        elif not _is_rest(part, start, file.size):
            raise _discard(
                partial,
                f"{file.name} came with the part {printable(repr(part), SHOWN)}, wanted the bytes "
                f"from {start}, of {file.size},",
            )
        yield from _write(response.iter_bytes(), file, partial, start)


def _write(
    chunks: Iterator[bytes], file: RemoteFile, partial: Path, start: int
) -> Generator[int, None, None]:
    """Write what comes to the incomplete file at once, so that a lost connection loses nothing."""
    done = told = start
    told_at = time.monotonic()
    with partial.open("ab" if start else "wb") as out:
        for chunk in chunks:
            done += len(chunk)
            if done > file.size:
                raise _discard(partial, f"{file.name} came with more than {file.size:,} bytes")
            out.write(chunk)
            if done - told >= CHUNK or time.monotonic() - told_at >= EVERY:
                yield done
                told, told_at = done, time.monotonic()
    if done < file.size:
        raise ConnectionLostError(f"{file.name} ended after {done:,} of {file.size:,} bytes")
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
