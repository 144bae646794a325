"""What the hub says about a model: its commit, and size and hash of each file that is needed.

The hub's answer is read here, not by huggingface_hub, which trusts it: it may come from a mirror or
from a proxy, and some of its texts become paths.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from napari_clipseg.engine.checkpoints.catalog import CatalogEntry, catalog_entry, printable
from napari_clipseg.engine.checkpoints.digests import Digest, parse_digest
from napari_clipseg.engine.checkpoints.locate import (
    is_commit,
    missing_parts,
    needed_files,
    require_revision,
)
from napari_clipseg.engine.errors import CheckpointError

# Decoder files of the authors' repository are converted together with CLIP.
KINDS = ("clipseg", "clip")
MOST_BYTES = 1 << 24  # of an answer: a repository of 100,000 files
LARGEST_FILE = 1 << 40  # bytes
SHOWN = 100  # characters of a text of the hub


@dataclass(frozen=True)
class RemoteFile:
    """A file on the hub: its name, its size in bytes, and the hash that it must have."""

    name: str
    size: int
    digest: Digest


@dataclass(frozen=True)
class Listing:
    """The files of a checkpoint on the hub, as they are at one commit.

    Attributes
    ----------
    name, commit : str
        Of the model.
    files : tuple of RemoteFile
        The files that are needed; the weights last.
    license : str or None
        As the model's card says.
    """

    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    license: str | None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def entry(self) -> CatalogEntry:
        """What to tell a user: the licenses in the catalog, or else what the card says."""
        said = (("the hub's card", self.license),) if self.license else ()
        return CatalogEntry(self.name, self.size, catalog_entry(self.name).licenses or said)


def ask_hub(name: str, revision: str | None = None, endpoint: str | None = None) -> Listing:
    """Ask the hub which files a checkpoint has; none of them is downloaded.

    Raises
    ------
    CheckpointError
        If the model is no CLIPSeg checkpoint, the answer is not one of a hub, or the revision is
        none.
    Exception
        Of huggingface_hub, where the hub does not answer; see `hub_errors`.
    """
    from huggingface_hub import constants

    require_revision(revision)
    endpoint = endpoint or constants.ENDPOINT
    try:
        values = _mapping(json.loads(_answer(name, revision, endpoint)), "the answer")
        commit = _commit(values.get("sha"), revision)
        siblings = _siblings(values)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"The answer of {endpoint} about {name} is not one of the hub ({error}): perhaps "
            f"the login page of the network. Open the address in a browser; if HF_ENDPOINT is set "
            f"to a mirror, set it to another one."
        ) from error
    kind = _entry(values, "config").get("model_type", KINDS[0])
    if kind not in KINDS:
        raise CheckpointError(
            f"{name} on the hub is a model of type {_shown(kind)}; wanted one of {KINDS}. Choose "
            f"another."
        )
    if missing := missing_parts(siblings):
        raise CheckpointError(
            f"{name} on the hub is no CLIPSeg checkpoint in the public format: it lacks "
            f"{', '.join(missing)}. Choose another, or another revision."
        )
    files = tuple(_file(name, file, siblings[file]) for file in needed_files(siblings))
    return Listing(name, commit, files, _license(_entry(values, "cardData").get("license")))


def _answer(name: str, revision: str | None, endpoint: str) -> bytes:
    """Return what the hub's API says about a model, without reading more than a hub would send."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers

    from napari_clipseg.engine.hub.errors import raise_for_status

    at = f"/revision/{quote(revision, safe='')}" if revision else ""
    with get_session().stream(
        "GET",
        f"{endpoint}/api/models/{name}{at}",
        params={"blobs": True},
        headers={**build_hf_headers(), "Accept-Encoding": "identity"},
        timeout=constants.HF_HUB_ETAG_TIMEOUT,
    ) as response:
        raise_for_status(response)
        encoding = response.headers.get("Content-Encoding", "identity").lower()
        content = b""
        for chunk in response.iter_raw():
            content += chunk
            if len(content) > MOST_BYTES:
                break
    if encoding in ("gzip", "deflate"):
        try:
            content = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content, MOST_BYTES + 1)
        except zlib.error as error:
            raise ValueError(f"it cannot be decompressed: {error}") from None
    elif encoding != "identity":
        raise ValueError(f"its encoding is {_shown(encoding)}, which was not asked for")
    if len(content) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
    return content


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {_shown(value)}; wanted a mapping")
    return value


def _entry(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an entry that the download can do without: empty if it is no mapping."""
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def _commit(value: object, revision: str | None) -> str:
    """Return the commit, which becomes the name of a folder."""
    if not isinstance(value, str) or not is_commit(value):
        raise ValueError(f"its commit is {_shown(value)}; wanted 40 hexadecimal digits")
    if revision is not None and is_commit(revision) and value != revision:
        raise ValueError(f"its commit is {value!r}; wanted {revision!r}, which was asked for")
    return value


def _siblings(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what is said about each file, by its name."""
    files = values.get("siblings")
    if not isinstance(files, list):
        raise ValueError(f"its list of files is {_shown(files)}")
    siblings = {}
    for one in files:
        name = _mapping(one, "the entry of a file").get("rfilename")
        if not isinstance(name, str):
            raise ValueError(f"the name of a file is {_shown(name)}")
        siblings[name] = one
    return siblings


def _file(model: str, name: str, said: Mapping[str, Any]) -> RemoteFile:
    """Return a file with its hash, which becomes a name in the cache."""
    announced = (_entry(said, "lfs") or {"sha256": said.get("blobId")}).get("sha256")
    digest = parse_digest(announced) if isinstance(announced, str) else None
    size = said.get("size")
    whole = isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= LARGEST_FILE
    if said.get("lfs") and not isinstance(said["lfs"], dict):
        digest = None
    if digest is None or not whole:
        fault = (
            f"no hash for {name} of {model}, so it could not be verified"
            if digest is None
            else f"{name} of {model} the size {_shown(size)}; wanted whole bytes"
        )
        raise CheckpointError(
            f"The hub gives {fault}. If HF_ENDPOINT is set to a mirror, set it to another one."
        )
    return RemoteFile(name, int(said["size"]), digest)


def _license(value: object) -> str | None:
    """Return the license that a card names, or several, as a text for a terminal."""
    words = value if isinstance(value, list) else [value]
    return printable(", ".join(one for one in words if isinstance(one, str)), SHOWN) or None


def _shown(value: object) -> str:
    return printable(repr(value), SHOWN)
