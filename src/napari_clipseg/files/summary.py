"""How far a batch is, and what became of its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_clipseg.files.one import ALREADY, DONE, FAILED, FileReport

STOPPED, DISK_FULL = "stopped", "disk full"


@dataclass(frozen=True)
class Summary:
    """What became of the images of a batch.

    Attributes
    ----------
    output : Path
        The output folder.
    files : tuple of FileReport
        One for each image that was come to: path, status, outputs, error and cure.
    total : int
        How many images there are.
    left_out : mapping
        How many other files the folders hold, by suffix.
    ended : str
        Why not all images were come to: "stopped", "disk full", or "" if they were.
    failed_csv : Path, optional
        The list of those that failed.
    seconds : float
        How long it took.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_clipseg import Summary
    >>> print(Summary(Path("out"), (), total=2, ended="stopped"))
    0 of 2 images done, 2 to do
    """

    output: Path
    files: tuple[FileReport, ...]
    total: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    ended: str = ""
    failed_csv: Path | None = None
    seconds: float = 0.0

    @property
    def done(self) -> tuple[FileReport, ...]:
        """The images whose outputs are there, now or from an earlier run."""
        return tuple(one for one in self.files if one.status in (DONE, ALREADY))

    @property
    def failed(self) -> tuple[FileReport, ...]:
        """The images of which nothing could be made."""
        return tuple(one for one in self.files if one.status == FAILED)

    def __str__(self) -> str:
        """Tell the numbers in one line."""
        before = sum(one.status == ALREADY for one in self.files)
        parts = [
            f"{len(self.done)} of {self.total} images done" + f" ({before} before)" * (before > 0)
        ]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        left = self.total - len(self.done) - len(self.failed)
        if left:
            parts.append(f"{left} to do")
        return ", ".join(parts)


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is.

    Attributes
    ----------
    done, total : int
        Images.
    part : float
        Of the image that is worked on, 0 to 1.
    message : str
        What comes next.
    report : FileReport, optional
        Of the image that was just ended.

    Examples
    --------
    >>> from napari_clipseg import BatchProgress
    >>> BatchProgress(2, 5).done
    2
    """

    done: int
    total: int
    part: float = 0.0
    message: str = ""
    report: FileReport | None = None
