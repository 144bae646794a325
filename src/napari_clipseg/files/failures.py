"""What can go wrong with one image among many, and the cure, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.images.io.disk import NO_ROOM

MOST_CHARACTERS = 500  # of an error in a table
LOOK = "Segment it alone, in napari or with this command, to see what is wrong with it."
CURES: tuple[tuple[type[BaseException], str], ...] = (
    (FileNotFoundError, "Put it back where it was, and run the same command again."),
    (
        PermissionError,
        "Close the program that has it open, or get the right to read it; then run the same "
        "command again.",
    ),
    (
        FileExistsError,
        "Choose another output folder, or add --overwrite (overwrite=True) to replace it.",
    ),
    (
        MemoryError,
        "Use fewer workers, a region, or a coarser level; or install zarr, so that the map can "
        "be in a file: python -m pip install 'napari-clipseg[zarr]'",
    ),
    (ModuleNotFoundError, "Install what is missing, and run the same command again."),
    (OSError, "See whether the disk of this file can be read, and run the same command again."),
)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error, or what caused it, says that a disk has no room."""
    return any(isinstance(one, OSError) and one.errno in NO_ROOM for one in _causes(error))


def explain(error: BaseException) -> tuple[str, str]:
    """Return what an error says, and what helps against it.

    The errors of this package say what helps in their last sentence; of others the kind is known.
    """
    said = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
    for kind, cure in CURES:
        if isinstance(error, kind):
            return _short(said), cure
    if not isinstance(error, ValueError | TypeError | CheckpointError):
        return _short(f"{type(error).__name__}: {said}"), LOOK
    first, colon, command = said.rpartition(": python -m pip install ")
    if colon:
        return _short(first), f"python -m pip install {command}"
    *sentences, last = re.split(r"(?<=[.!?])\s+(?=[A-Z])", said)
    if not sentences:
        return _short(said), LOOK
    return _short(" ".join(sentences)), last.removesuffix(".") + "."


def _short(text: str) -> str:
    text = text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def in_the_way(path: Path) -> FileExistsError:
    """Return the error for an output that is there, and was not made by this recipe."""
    return FileExistsError(
        f"{path} exists, and was not made of this image, as it is now, with this recipe; nothing "
        f"is overwritten."
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
