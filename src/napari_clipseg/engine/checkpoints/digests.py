"""Hashes of files: SHA-256, and the SHA-1 that git gives to a file."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20  # bytes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Digest:
    """A hash that a file should have.

    Attributes
    ----------
    value : str
        64 hexadecimal digits: SHA-256 of the bytes. 40 digits: git's id of a file, which is the
        SHA-1 of "blob", the size, a zero byte, and the bytes.
    """

    value: str

    @property
    def kind(self) -> str:
        """Name of the hash: "sha256" or "git-sha1"."""
        return "sha256" if _SHA256.fullmatch(self.value) else "git-sha1"

    def of(self, path: Path) -> str:
        """Compute the same kind of hash of a file."""
        if self.kind == "sha256":
            return sha256(path)
        size = path.stat().st_size
        return _hash(path, hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False))

    def fits(self, path: Path) -> bool:
        """Return whether a file has this hash."""
        return self.of(path) == self.value


def sha256(path: Path) -> str:
    """Compute the SHA-256 of a file: 64 hexadecimal digits."""
    return _hash(path, hashlib.sha256())


def parse_digest(text: str) -> Digest | None:
    """Return the hash that a text is, or None if it is none."""
    return Digest(text) if _SHA256.fullmatch(text) or _SHA1.fullmatch(text) else None


def linked_digest(path: Path) -> Digest | None:
    """Return the hash that the hub's cache has recorded for a file: the name of its blob.

    Only the first link counts: a blob may itself be a link into a store with other names.
    """
    return parse_digest(Path(os.readlink(path)).name) if path.is_symlink() else None


def _hash(path: Path, hasher: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
