"""What is to be made of each image: names are kept, folders mirrored, and no two are alike."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from napari_clipseg.files.formats import FORMATS, Format, beside
from napari_clipseg.files.formats.extras import require
from napari_clipseg.files.inputs import Input

# What names of images end in; all of it is left away.
DOUBLE = (".ome.tif", ".ome.tiff", ".ome.zarr")


@dataclass(frozen=True)
class Job:
    """An image, and the files that are made of it.

    Attributes
    ----------
    image : Path
        Whole path of the image.
    output : Path
        Whole path of the output folder.
    stem : Path
        Below it: what the names of all outputs of this image begin with.
    formats : tuple of str
        Which outputs, by their names in `formats.FORMATS`.
    """

    image: Path
    output: Path
    stem: Path
    formats: tuple[str, ...]

    @cached_property
    def id(self) -> str:
        """Short text that stands for the image in names of files that are not outputs."""
        return hashlib.sha256(self.stem.as_posix().encode()).hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """Where the outputs are."""
        return (self.output / self.stem).parent

    def outputs(self, name: str) -> tuple[Path, ...]:
        """Return what a format writes: one path, and that of its recipe if it has one beside."""
        one = FORMATS[name]
        path = self.folder / f"{self.stem.name}{one.suffix}"
        return (path, beside(path)) if one.beside else (path,)


def plan_jobs(inputs: Iterable[Input], output: Path, formats: Sequence[str]) -> list[Job]:
    """Return a job for each image.

    Raises
    ------
    ValueError
        If two images, or two formats, would be written to files of one name.
    """
    require_formats(formats)
    whole, names = Path(os.path.abspath(output)), tuple(dict.fromkeys(formats))
    jobs: dict[str, Job] = {}
    for one in inputs:
        stem = one.relative.with_name(stem_of(one.relative.name))
        job = Job(Path(os.path.abspath(one.path)), whole, stem, names)
        other = jobs.setdefault(os.path.normcase(stem), job)
        if other is not job:
            raise ValueError(
                f"{other.image} and {job.image} would give outputs of one name, "
                f"{job.output / job.stem}.*. Rename one of them, or give them different output "
                f"folders. (Folders are mirrored for a folder with --recursive, and for a pattern "
                f"in quotes such as 'data/*/image.tif'.)"
            )
    return list(jobs.values())


def stem_of(name: str) -> str:
    """Return a name without what says the kind of file."""
    ends = [len(end) for end in DOUBLE if name.lower().endswith(end)]
    return name[: -max(ends)] if ends else os.path.splitext(name)[0]


def require_formats(formats: Sequence[str]) -> None:
    """Raise an error for formats that do not exist, clash, are none, or need what is missing."""
    if isinstance(formats, str) or not formats:
        raise ValueError(f"The formats are {formats!r}; wanted some of {', '.join(FORMATS)}.")
    known: Mapping[str, Format] = FORMATS
    by_suffix: dict[str, str] = {}
    for name in formats:
        if name not in known:
            raise ValueError(f"There is no format {name!r}; wanted some of {', '.join(known)}.")
        other = by_suffix.setdefault(known[name].suffix, name)
        if other != name:
            raise ValueError(
                f"The formats {other!r} and {name!r} give files of one name, "
                f"*{known[name].suffix}. Leave out one of them."
            )
        if (package := known[name].extra) is not None:
            require(package, f"The format {name!r}")
