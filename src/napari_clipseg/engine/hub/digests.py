"""What a file must hash to: SHA-256 for large files, git's own SHA-1 for small ones."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20  # bytes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHA1 = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Digest:
    """A hash that a file is to have.

    Attributes
    ----------
    value : str
        64 hexadecimal digits: SHA-256 of the bytes. 40: git's id of a blob, which is SHA-1 of
        "blob", the size, a zero byte, and the bytes. The hub's cache names its blobs so.
    """

    value: str

    @property
    def kind(self) -> str:
        """What the hash is called."""
        return "sha256" if _SHA256.fullmatch(self.value) else "git-sha1"

    def of(self, path: Path) -> str:
        """Compute the same kind of hash of a file."""
        if self.kind == "sha256":
            hasher = hashlib.sha256()
        else:
            hasher = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                hasher.update(chunk)
        return hasher.hexdigest()


def digest(text: str) -> Digest | None:
    """Return the hash that a blob's name stands for; None if it stands for none."""
    return Digest(text) if _SHA256.fullmatch(text) or _SHA1.fullmatch(text) else None
