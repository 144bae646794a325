"""The commands about checkpoints: ``models``, ``download``, ``verify``, ``path``, ``convert``."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from napari_clipseg.engine.checkpoints.catalog import CARDS, PUBLISHED, megabytes, offer

if TYPE_CHECKING:  # asking for help is to be quick
    from napari_clipseg.engine.hub.downloads import DownloadProgress

INTERRUPTED = 130  # what a shell says of a command that Ctrl-C ended
TENTHS = 10
CLIP = "openai/clip-vit-base-patch16"  # what the original decoders were trained on


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to those of ``napari-clipseg``."""
    models = commands.add_parser(
        "models",
        help="list the checkpoints: known, and on this machine",
        description="List the known checkpoints, and other CLIPSeg ones in the hub's cache.",
    )
    models.set_defaults(run=_models)
    download = commands.add_parser(
        "download",
        help="fetch a published checkpoint, after asking",
        description=(
            "Say how large a checkpoint of the hub is and under which licence, ask, and fetch it "
            "into the hub's cache. A download that was stopped goes on where it was."
        ),
    )
    verify = commands.add_parser(
        "verify",
        help="compare a downloaded checkpoint with the hub's hashes",
        description="Compare each file of a downloaded checkpoint with the hash that the hub gave.",
    )
    path = commands.add_parser(
        "path", help="print a checkpoint's folder", description="Print a checkpoint's folder."
    )
    for command, run in ((download, _download), (verify, _verify), (path, _path)):
        command.add_argument("name", help="such as CIDAS/clipseg-rd64-refined")
        command.add_argument("--revision", help="branch, tag or commit; default: main")
        command.set_defaults(run=run)
    download.add_argument("--yes", action="store_true", help="agree without being asked")
    convert = commands.add_parser(
        "convert",
        help="make a checkpoint folder of a .pth decoder and CLIP",
        description=(
            "Put a decoder file of the original repository (rd64-uni.pth, rd64-uni-refined.pth, "
            "rd16-uni.pth) onto CLIP ViT-B/16, and write a checkpoint folder as the others are."
        ),
    )
    convert.add_argument("decoder", type=Path, help="the .pth file")
    convert.add_argument("into", type=Path, help="the folder to make")
    convert.add_argument(
        "--clip",
        default=CLIP,
        help="folder of CLIP, or its name on the hub once downloaded; default: %(default)s",
    )
    convert.set_defaults(run=_convert)


def _models(_: argparse.Namespace) -> int:
    from napari_clipseg.engine.checkpoints.cached import cache_folder, clipsegs
    from napari_clipseg.engine.checkpoints.locate import BUNDLED, KNOWN

    names = [BUNDLED, *KNOWN, *(name for name in clipsegs() if name not in KNOWN)]
    rows = [("name", "here", "size", "licence", "folder"), *map(_row, names)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        print("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
    print(
        f"\n{_legend()}\nCache: {cache_folder()}. "
        f"`napari-clipseg download NAME` fetches one, after asking."
    )
    return 0


def _row(name: str) -> tuple[str, str, str, str, str]:
    from napari_clipseg.engine.checkpoints.cached import repository
    from napari_clipseg.engine.errors import NotDownloadedError
    from napari_clipseg.engine.checkpoints.locate import BUNDLED, locate

    known = offer(name)
    licence = "bsd-3-clause" if name == BUNDLED else "see note" if known.licences else "see card"
    try:
        folder = locate(name)
    except NotDownloadedError:
        begun = any((repository(name) / "blobs").glob("*"))
        return name, "in part" if begun else "no", known.size_text, licence, ""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return name, "yes", megabytes(size), licence, str(folder)


def _legend() -> str:
    known = offer(next(iter(PUBLISHED)))
    return f"Note on CIDAS/*. {known.licence_text} Cards: {CARDS}/NAME"


def _download(arguments: argparse.Namespace) -> int:
    from napari_clipseg.engine.hub.downloads import ask_offer, download
    from napari_clipseg.engine.errors import AgreementError

    bar = _Bar(sys.stderr)
    fetch = partial(download, arguments.name, revision=arguments.revision, progress=bar.show)
    try:
        try:
            folder = fetch()
        except AgreementError:
            print(ask_offer(arguments.name, revision=arguments.revision), file=sys.stderr)
            if not (arguments.yes or _ask()):
                print("Nothing was fetched.", file=sys.stderr)
                return 1
            folder = fetch(agreed=True)
    except KeyboardInterrupt:
        bar.end()
        print(
            "Stopped. Run the same command again: what was fetched is kept, and it goes on there.",
            file=sys.stderr,
        )
        return INTERRUPTED
    finally:
        bar.end()
    print(folder)
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from napari_clipseg.engine.conversion import convert_decoder

    print(convert_decoder(arguments.decoder, arguments.clip, arguments.into))
    return 0


def _ask() -> bool:
    if not sys.stdin.isatty():
        raise ValueError(
            "Nothing was fetched, for there is no terminal to ask on. If you agree to the above, "
            "run it again with --yes."
        )
    print("Fetch it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class _Bar:
    """A line that tells how far a download is: redrawn on a terminal, else one for each tenth."""

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
        """Leave the line, if one was begun."""
        if self._open:
            print(file=self._out)
        self._open = False


def _verify(arguments: argparse.Namespace) -> int:
    from napari_clipseg.engine.hub.verification import verify

    found = verify(arguments.name, revision=arguments.revision)
    print(f"{len(found.files)} files in {found.folder} are what the hub announced:")
    print("\n".join(found.files))
    return 0


def _path(arguments: argparse.Namespace) -> int:
    from napari_clipseg.engine.checkpoints.locate import locate

    print(locate(arguments.name, revision=arguments.revision))
    return 0
