"""The published checkpoints: their sizes, and what each source says about the license."""

from __future__ import annotations

from dataclasses import dataclass

CARDS = "https://huggingface.co"
MEGABYTE = 10**6


@dataclass(frozen=True)
class CatalogEntry:
    """What a user is told before a checkpoint is downloaded.

    Attributes
    ----------
    name : str
        On the hub.
    size : int or None
        Bytes of the files that are needed; None where only the hub knows.
    licenses : tuple of (str, str)
        Who says something about the license, and what.

    Examples
    --------
    >>> from napari_clipseg.engine import catalog_entry
    >>> entry = catalog_entry("CIDAS/clipseg-rd16")
    >>> entry.size_text, entry.card
    ('602 MB', 'https://huggingface.co/CIDAS/clipseg-rd16')
    """

    name: str
    size: int | None
    licenses: tuple[tuple[str, str], ...]

    @property
    def card(self) -> str:
        """Address of the model's card."""
        return f"{CARDS}/{self.name}"

    @property
    def size_text(self) -> str:
        """The size, to be read by people."""
        return "size unknown" if self.size is None else megabytes(self.size)

    @property
    def license_text(self) -> str:
        """What each source says about the license, in one sentence."""
        said = [f"{source} says {words}" for source, words in self.licenses]
        return f"License: {'; '.join(said) or 'see its card'}."

    def __str__(self) -> str:
        return (
            f"{self.name}, {self.size_text}.\n{self.license_text}\n"
            f"Read its card before you use it: {self.card}"
        )


def printable(text: str, most: int) -> str:
    """Return a text of a stranger without codes that a terminal would obey, and not too long."""
    shown = "".join(one for one in text[: most + 1] if one.isprintable())
    return shown if len(text) <= most else f"{shown[:most]}…"


def megabytes(size: int) -> str:
    """Return a number of bytes in megabytes, rounded up, such as "605 MB"."""
    return f"{-(-size // MEGABYTE)} MB"


_LICENSES = (
    ("the hub's card", "apache-2.0"),
    (
        "the authors' repository (https://github.com/timojl/clipseg)",
        "that its MIT license does not apply to the weights, and in an issue that they are for "
        "research purposes",
    ),
)
# Parameters of 4 bytes and 1.5 MB of vocabulary, rounded up; during a download the hub's own
# figure is shown.
PUBLISHED = {
    name: CatalogEntry(name, size * MEGABYTE, _LICENSES)
    for name, size in (
        ("CIDAS/clipseg-rd64-refined", 605),
        ("CIDAS/clipseg-rd64", 605),
        ("CIDAS/clipseg-rd16", 602),
    )
}


def catalog_entry(name: str) -> CatalogEntry:
    """Return what is known here about a checkpoint of the hub, without the network.

    Examples
    --------
    >>> from napari_clipseg.engine import catalog_entry
    >>> entry = catalog_entry("CIDAS/clipseg-rd64-refined")
    >>> entry.size_text, entry.card
    ('605 MB', 'https://huggingface.co/CIDAS/clipseg-rd64-refined')
    """
    return PUBLISHED.get(name, CatalogEntry(name, None, ()))
