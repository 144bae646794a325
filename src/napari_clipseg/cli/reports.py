"""What the command ``segment`` tells: a bar, lines of JSON, a summary; and how Ctrl-C ends it."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from tqdm import tqdm

from napari_clipseg.files.batch import Batch
from napari_clipseg.files.estimate import Estimate
from napari_clipseg.files.one import FAILED, FileReport
from napari_clipseg.files.summary import DISK_FULL, STOPPED, BatchProgress, Summary

BAR = "{percentage:3.0f}% {bar} {remaining} left{postfix}"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Reports:
    """Tells how far a batch is, and what became of it.

    Parameters
    ----------
    batch : Batch
        What is done.
    quiet : bool
        Whether only errors are told.
    as_json : bool
        Whether all is told as lines of JSON on standard output.
    """

    def __init__(self, batch: Batch, *, quiet: bool, as_json: bool) -> None:
        self._batch, self._quiet, self._json = batch, quiet, as_json
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._json:
            batch = self._batch
            _line("plan", images=len(batch.jobs), already=len(batch.already))
        self._bar = tqdm(
            total=len(self._batch.jobs),
            initial=len(self._batch.already),
            disable=self._quiet or self._json,
            bar_format=BAR,
            file=sys.stderr,
            smoothing=0.05,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()

    def show(self, step: BatchProgress) -> None:
        """Tell a step."""
        report = step.report
        if self._json:
            if report is not None:
                _line("file", **_fields(report))
            return
        told = f"{step.done} of {step.total} images: {step.message}"
        self._bar.set_postfix_str(told, refresh=False)
        self._bar.update(step.done + step.part - self._bar.n)
        if report is not None and report.status == FAILED and not report.disk_full:
            tqdm.write(f"failed: {report.error} {report.cure}", file=sys.stderr)

    def tell(self, summary: Summary) -> None:
        """Tell what became of the batch."""
        if self._json:
            _line(
                "summary",
                images=summary.total,
                done=len(summary.done),
                failed=len(summary.failed),
                ended=summary.ended or "complete",
                failed_csv=None if summary.failed_csv is None else str(summary.failed_csv),
                seconds=round(summary.seconds, 3),
            )
        elif not self._quiet:
            for suffix, count in sorted(summary.left_out.items()):
                print(f"{count} files left out: {suffix}")
            print(f"{summary} in {summary.seconds:.1f} s: {summary.output}")
            if summary.failed_csv is not None:
                print(f"What failed, and what helps: {summary.failed_csv}")
        if summary.ended == DISK_FULL:
            print(
                f"napari-clipseg: There is no room left in {summary.output}. No half file was "
                f"left. Free some room, then go on with\n  {_command()}",
                file=sys.stderr,
            )
        if summary.ended == STOPPED:
            print(
                f"Stopped. What is done stays, and no half file was left. Go on with\n"
                f"  {_command()}",
                file=sys.stderr,
            )


def tell_estimate(found: Estimate, batch: Batch, *, as_json: bool) -> None:
    """Tell what a batch will take."""
    if as_json:
        for one in found.problems:
            _line("file", **_fields(one))
        _line(
            "plan",
            images=found.images,
            already=found.already,
            problems=len(found.problems),
            left_out=sum(batch.left_out.values()),
            tiles=found.tiles,
            seconds=round(found.seconds, 3),
            bytes=found.nbytes,
            free=found.free,
        )
        return
    for job in batch.to_do[:3]:
        path = job.outputs(job.formats[0])[0]
        print(f"{job.image} -> {path}")
    if len(batch.to_do) > 3:
        print(f"and {len(batch.to_do) - 3} more")
    for one in found.problems:
        print(f"will fail: {one.error} {one.cure}")
    for suffix, count in sorted(batch.left_out.items()):
        print(f"{count} files left out: {suffix}")
    print(
        f"{found.images} images to do, {found.already} done before, {len(found.problems)} will "
        f"fail; {found.tiles} tiles, about {_duration(found.seconds)} in one process here; at "
        f"most {found.nbytes / 2**20:,.1f} MB for labels and maps, {found.free / 2**20:,.0f} MB "
        f"are free. Nothing was written."
    )


@contextmanager
def stoppable() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C end a run after its step: what is yielded raises KeyboardInterrupt then.

    A second Ctrl-C ends it at once.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        print("\nStopping after this tile. Ctrl-C again stops at once.", file=sys.stderr)

    def stop() -> None:
        if asked:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def _fields(report: FileReport) -> dict[str, Any]:
    return {
        "path": str(report.path),
        "status": report.status,
        "outputs": [str(path) for path in report.outputs],
        "seconds": round(report.seconds, 3),
        "error": report.error,
        "cure": report.cure,
    }


def _command() -> str:
    return shlex.join(["napari-clipseg", *sys.argv[1:]])


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
