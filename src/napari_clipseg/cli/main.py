"""The command ``napari-clipseg``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from napari_clipseg import __version__
from napari_clipseg.cli.models import add_commands
from napari_clipseg.sample_data import SAMPLES, load_sample


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="napari-clipseg",
        description="Segment images by saying what you want: a text or a reference image.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="segment a sample that comes with the package",
        description=(
            "Segment a sample with text prompts, print how well that went, and write a picture. "
            "Where a screen is there, open napari with the dock and the result, too."
        ),
    )
    demo.add_argument("--sample", choices=SAMPLES, default=SAMPLES[0], help="default: %(default)s")
    demo.add_argument("--model", default="demo", help="checkpoint; default: %(default)s")
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("demo-output"),
        help="folder for the picture; default: %(default)s",
    )
    demo.add_argument("--no-window", action="store_true", help="never open napari")
    demo.set_defaults(run=_demo)
    add_commands(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (ValueError, OSError) as error:
        print(f"napari-clipseg: {error}", file=sys.stderr)
        return 1


def _demo(arguments: argparse.Namespace) -> int:
    from napari_clipseg.cli.demo import draw, measure
    from napari_clipseg.segmentation import segment

    sample = load_sample(arguments.sample)
    result = segment(sample.image, sample.prompts, model=arguments.model)
    print(f"sample {sample.name!r}, model {result.model!r}, threshold {result.threshold:.2f}")
    print(f"{'prompt':<20} {'IoU':>6} {'found':>8} {'true':>8}")
    found = measure(sample, result)
    for one in found:
        print(f"{one.prompt:<20} {one.iou:6.3f} {one.found:8.2%} {one.true:8.2%}")
    print(f"{'mean':<20} {sum(one.iou for one in found) / len(found):6.3f}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = (arguments.output / f"{sample.name}.png").resolve()
    draw(sample, result, path)
    print(f"picture: {path}")
    if not arguments.no_window and has_screen():
        _open_window(arguments.sample, arguments.model)
    return 0


def has_screen() -> bool:
    """Return whether a window can be expected to open for the user to see."""
    if sys.platform in ("win32", "darwin"):
        return not os.environ.get("CI")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_window(sample: str, model: str) -> None:
    print("opening napari; close its window to end", flush=True)
    # A process of its own: where Qt finds no usable screen it ends the process it is in.
    module = "napari_clipseg.widgets.window"
    done = subprocess.run([sys.executable, "-m", module, sample, model], check=False)
    if done.returncode:
        print(
            "napari's window could not be opened. If Qt is missing: "
            "python -m pip install 'napari[all]'",
            file=sys.stderr,
        )
