"""One file over HTTP: piece by piece, going on where an earlier try stopped, then checked.

huggingface_hub throws a half-fetched file away when its process ends. Of 600 MB over a slow line
that is much, so files are fetched here, with its client: its proxies, mirrors, tokens and time-outs
hold. The half lies beside the cache's blobs as ``HASH.incomplete``, which nothing loads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

from huggingface_hub import constants, get_session, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers

from napari_clipseg import __version__
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.hub.errors import ConnectionLostError, is_connection_error
from napari_clipseg.engine.hub.listing import RemoteFile

CHUNK = 1 << 18  # bytes; a download can be stopped after each
TRIES = 5  # in a row without a new byte
PAUSE = 1.0  # seconds before the next try
PARTIAL = 206  # HTTP: the server goes on where it was asked to


def fetch(file: RemoteFile, url: str, blob: Path) -> Generator[int, None, None]:
    """Fetch a file into ``blob``, which appears when all of it is there and right.

    Parameters
    ----------
    file : RemoteFile
        Size and hash to be had.
    url : str
        Where from.
    blob : Path
        Where to. A file that is there and right is kept; a wrong one is replaced.

    Yields
    ------
    int
        Bytes that are there, after each piece. Closing the generator stops the download.

    Raises
    ------
    CheckpointError
        If the file came with another hash; it is thrown away.
    Exception
        Of huggingface_hub and the operating system; see `hub_errors`. What came is kept.
    """
    if blob.is_file() and file.digest.of(blob) == file.digest.value:
        yield file.size
        return
    half = blob.with_name(f"{blob.name}.incomplete")
    half.touch()
    failures = 0
    while (before := _size(half)) != file.size:
        try:
            yield from _continue(file, url, half)
        except Exception as error:
            failures = failures + 1 if _size(half) <= before else 1
            if not is_connection_error(error) or failures == TRIES:
                raise
            time.sleep(PAUSE)
            yield _size(half)
    found = file.digest.of(half)
    if found != file.digest.value:
        raise _throw_away(
            half,
            f"{file.name} came with the {file.digest.kind} {found}, wanted {file.digest.value}",
        )
    os.replace(half, blob)


def _continue(file: RemoteFile, url: str, half: Path) -> Generator[int, None, None]:
    """Append to the half what is missing."""
    done = _size(half)
    # Compressed on the way, a range would count other bytes.
    headers = {
        **build_hf_headers(library_name="napari-clipseg", library_version=__version__),
        "Accept-Encoding": "identity",
    }
    if 0 < done < file.size:
        headers["Range"] = f"bytes={done}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        resumed = response.status_code == PARTIAL
        done = done if resumed else 0
        with half.open("ab" if resumed else "wb") as out:
            for chunk in response.iter_bytes(CHUNK):
                done += len(chunk)
                if done > file.size:
                    raise _throw_away(half, f"{file.name} came with more than {file.size:,} bytes")
                out.write(chunk)
                yield done
    if done < file.size:
        raise ConnectionLostError(f"{file.name} ended after {done:,} of {file.size:,} bytes")


def _throw_away(half: Path, fault: str) -> CheckpointError:
    half.unlink()
    return CheckpointError(
        f"{fault} as the hub announced it; it was thrown away. Try again; if it comes so once "
        f"more, a proxy or mirror on the way changes it: use another network or HF_ENDPOINT."
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
