"""The published checkpoints: how large they are, and under which licence, as each source says."""

from __future__ import annotations

from dataclasses import dataclass

CARDS = "https://huggingface.co"
MEGABYTE = 10**6


@dataclass(frozen=True)
class Offer:
    """What a user is told before a checkpoint is downloaded.

    Attributes
    ----------
    name : str
        On the hub.
    size : int or None
        Bytes of the files that are needed; None where only the hub knows.
    licences : tuple of (str, str)
        Who says something about the licence, and what.
    """

    name: str
    size: int | None
    licences: tuple[tuple[str, str], ...]

    @property
    def card(self) -> str:
        """Address of the model's card."""
        return f"{CARDS}/{self.name}"

    @property
    def size_text(self) -> str:
        """The size in words."""
        return "size unknown" if self.size is None else megabytes(self.size)

    @property
    def licence_text(self) -> str:
        """What each source says, in one sentence."""
        said = [f"{source} says {words}" for source, words in self.licences]
        return f"Licence: {'; '.join(said) or 'see its card'}."

    def __str__(self) -> str:
        return (
            f"{self.name}, {self.size_text}.\n{self.licence_text}\n"
            f"Read its card before you use it: {self.card}"
        )


def megabytes(size: int) -> str:
    """Write a number of bytes as people read it, rounded up."""
    return f"{-(-size // MEGABYTE)} MB"


_LICENCES = (
    ("the hub's card", "apache-2.0"),
    (
        "the authors' repository (https://github.com/timojl/clipseg)",
        "that its MIT licence does not apply to the weights, and in an issue that they are for "
        "research purposes",
    ),
)
# Parameters of 4 bytes and 1.5 MB of vocabulary, rounded up; the hub's own figure is shown
# as soon as a download runs.
PUBLISHED = {
    name: Offer(name, size * MEGABYTE, _LICENCES)
    for name, size in (
        ("CIDAS/clipseg-rd64-refined", 605),
        ("CIDAS/clipseg-rd64", 605),
        ("CIDAS/clipseg-rd16", 602),
    )
}


def offer(name: str) -> Offer:
    """Return what is known here of a checkpoint of the hub; nothing is asked over the network."""
    return PUBLISHED.get(name, Offer(name, None, ()))
