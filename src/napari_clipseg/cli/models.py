"""The commands about checkpoints: ``models``, ``download``, ``verify``, ``path``, ``convert``."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from napari_clipseg.engine.checkpoints.catalog import (
    CARDS,
    PUBLISHED,
    catalog_entry,
    megabytes,
)

if TYPE_CHECKING:  # --help must be quick
    from napari_clipseg.engine.hub.downloads import DownloadProgress

INTERRUPTED = 130  # exit status of a command that Ctrl-C ended
TENTHS = 10
CLIP = "openai/clip-vit-base-patch16"  # the original decoders were trained with it
EXTRACT_LAYERS = (3, 6, 9)  # as `convert_decoder` has it, whose import would take seconds


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to those of ``napari-clipseg``."""
    models = commands.add_parser(
        "models",
        help="list the checkpoints: published ones, and those on this machine",
        description="List the published checkpoints, and other CLIPSeg ones in the hub's cache.",
    )
    models.set_defaults(run=_models)
    download = commands.add_parser(
        "download",
        help="download a published checkpoint, after asking",
        description=(
            "Show size and license of a checkpoint of the hub, ask, and download it into the hub's "
            "cache. A download that was stopped continues where it stopped."
        ),
    )
    verify = commands.add_parser(
        "verify",
        help="compare a downloaded checkpoint with the hub's hashes",
        description="Compare each file of a downloaded checkpoint with the hub's hash.",
    )
    path = commands.add_parser(
        "path", help="print a checkpoint's folder", description="Print a checkpoint's folder."
    )
    for command, run in ((download, _download), (verify, _verify), (path, _path)):
        command.add_argument("name", help="such as CIDAS/clipseg-rd64-refined")
        command.add_argument("--revision", help="branch, tag or commit; default: main")
        command.set_defaults(run=run)
    download.add_argument(
        "--accept-license", action="store_true", help="accept the license without being asked"
    )
    convert = commands.add_parser(
        "convert",
        help="make a checkpoint folder from a .pth decoder and CLIP",
        description=(
            "Combine a decoder file of the original repository (rd64-uni.pth, "
            "rd64-uni-refined.pth, rd16-uni.pth) with CLIP ViT-B/16, and write a checkpoint folder "
            "in the public format."
        ),
    )
    convert.add_argument("decoder", type=Path, help="the .pth file")
    convert.add_argument("output", type=Path, help="the folder to make")
    convert.add_argument(
        "--clip",
        default=CLIP,
        help="folder of CLIP, or its name on the hub once downloaded; default: %(default)s",
    )
    convert.add_argument(
        "--extract-layers",
        type=int,
        nargs="+",
        default=EXTRACT_LAYERS,
        metavar="BLOCK",
        help=(
            "blocks of CLIP that the decoder reads, counted from 0; default: 3 6 9. Decoders that "
            "were trained by the experiment files of the original repository read 3 7 9"
        ),
    )
    convert.set_defaults(run=_convert)


def _models(_: argparse.Namespace) -> int:
    from napari_clipseg.engine.checkpoints.locate import (
        BUNDLED,
        KNOWN,
        cache_folder,
        cached_models,
    )

    names = [BUNDLED, *KNOWN, *(name for name in cached_models() if name not in KNOWN)]
    rows = [("name", "here", "size", "license", "folder"), *map(_row, names)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
    print(
        f"\n{_legend()}\nCache: {cache_folder()}. "
        f"`napari-clipseg download NAME` downloads one, after asking."
    )
    return 0


def _row(name: str) -> tuple[str, str, str, str, str]:
    from napari_clipseg.engine.checkpoints.locate import BUNDLED, locate, repository_folder
    from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError

    entry = catalog_entry(name)
    license_ = "bsd-3-clause" if name == BUNDLED else "see note" if entry.licenses else "see card"
    try:
        folder = locate(name)
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except NotDownloadedError:
        begun = any((repository_folder(name) / "blobs").glob("*"))
        return name, "in part" if begun else "no", entry.size_text, license_, ""
    except (CheckpointError, OSError):
        return name, "cannot be read", entry.size_text, license_, str(repository_folder(name))
    return name, "yes", megabytes(size), license_, str(folder)


def _legend() -> str:
    entry = next(iter(PUBLISHED.values()))
    return f"Note on CIDAS/*. {entry.license_text} Cards: {CARDS}/NAME"


def _download(arguments: argparse.Namespace) -> int:
    from napari_clipseg.engine.errors import LicenseNotAcceptedError
    from napari_clipseg.engine.hub.downloads import describe, download

    bar = _Bar(sys.stderr)
    get = partial(download, arguments.name, revision=arguments.revision, progress=bar.show)
    try:
        try:
            folder = get()
        except LicenseNotAcceptedError:
            print(describe(arguments.name, revision=arguments.revision), file=sys.stderr)
            if not (arguments.accept_license or _ask()):
                print("Nothing was downloaded.", file=sys.stderr)
                return 1
            folder = get(accept_license=True)
    except KeyboardInterrupt:
        bar.end()
        print(
            "Stopped. Run the same command again: it continues where it stopped.",
            file=sys.stderr,
        )
        return INTERRUPTED
    finally:
        bar.end()
    print(folder)
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from napari_clipseg.engine.conversion import convert_decoder

    folder = convert_decoder(
        arguments.decoder, arguments.clip, arguments.output, arguments.extract_layers
    )
    print(folder)
    return 0


def _ask() -> bool:
    if not sys.stdin.isatty():
        raise ValueError(
            "Nothing was downloaded: there is no terminal to ask on. If you accept the license "
            "above, run it again with --accept-license."
        )
    print("Download it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class _Bar:
    """A line of progress: redrawn on a terminal, else printed for each tenth."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._tenth = -1
        self._open = False

    def show(self, progress: DownloadProgress) -> None:
        part = progress.done / max(progress.total, 1)
        line = f"{part:4.0%}  {megabytes(progress.done)} of {megabytes(progress.total)}"
        if self._out.isatty():
            self._open = True
            print(f"\r{line}  {progress.file:<30}", end="", file=self._out, flush=True)
        elif int(TENTHS * part) > self._tenth:
            self._tenth = int(TENTHS * part)
            print(line, file=self._out, flush=True)

    def end(self) -> None:
        """End the line, if one was begun."""
        if self._open:
            print(file=self._out)
        self._open = False


def _verify(arguments: argparse.Namespace) -> int:
    from napari_clipseg.engine.hub.verification import verify

    found = verify(arguments.name, revision=arguments.revision)
    print(f"{len(found.files)} files in {found.folder} have the hashes that the hub announced:")
    print("\n".join(found.files))
    return 0


def _path(arguments: argparse.Namespace) -> int:
    from napari_clipseg.engine.checkpoints.locate import locate

    print(locate(arguments.name, revision=arguments.revision))
    return 0
