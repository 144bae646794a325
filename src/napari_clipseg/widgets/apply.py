"""What the dock asks for, applied to more than the chosen image: open ones, or a folder's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from magicgui.widgets import Container, PushButton
from magicgui.widgets.bases import Widget
from qtpy.QtWidgets import QFileDialog, QWidget
from superqt.utils import GeneratorWorker, create_worker

from napari_clipseg.files.batch import plan_batch
from napari_clipseg.files.summary import BatchProgress, Summary
from napari_clipseg.recipe import Recipe
from napari_clipseg.widgets.panel import row
from napari_clipseg.widgets.worker import Failure

OUTPUT = "segmented"  # the folder that is offered for what is written

FolderWorker = GeneratorWorker[BatchProgress, None, "Summary | Failure"]


class ApplyBox:
    """Two buttons; what they do belongs to the dock."""

    def __init__(self) -> None:
        self.others = PushButton(
            text="Other open images",
            tooltip="Segment each of the other open images, one after the other.",
        )
        self.folder = PushButton(
            text="A folder…",
            tooltip=(
                "Segment all images of a folder, and write labels (OME-TIFF) and a table (CSV) of "
                "each. What is done is kept: run it again to go on."
            ),
        )
        self.row: Container[Widget] = row("Apply to", self.others, self.folder)


def ask_for_folders(parent: QWidget) -> tuple[Path, Path] | None:
    """Ask for a folder of images, and for one to write to; None if the user does not want to."""
    images = QFileDialog.getExistingDirectory(parent, "A folder of images to segment")
    if not images:
        return None
    offered = Path(images) / OUTPUT
    output = QFileDialog.getExistingDirectory(
        parent, "A folder for labels and tables", str(offered if offered.is_dir() else images)
    )
    if not output:
        return None
    # Among the images, what is written would be in the way.
    return Path(images), offered if Path(output) == Path(images) else Path(output)


def start_folder(
    images: Path,
    output: Path,
    recipe: Recipe,
    *,
    progressed: Callable[[BatchProgress], None],
    returned: Callable[[Summary | Failure], None],
    ended: Callable[[], None],
) -> FolderWorker:
    """Segment the images of a folder in a worker thread; the callbacks are called as in `start`."""
    return create_worker(
        _steps,
        images,
        output,
        recipe,
        _start_thread=True,
        _connect={"yielded": progressed, "returned": returned, "finished": ended},
    )


def _steps(
    images: Path, output: Path, recipe: Recipe
) -> Generator[BatchProgress, None, Summary | Failure]:
    try:
        yield BatchProgress(0, 1, message=f"Looking into {images}")
        return (yield from plan_batch(images, recipe, output).steps())
    except Exception as error:
        return Failure(error)


def in_words(summary: Summary) -> str:
    """Return what became of a folder, and where it is."""
    lines = [f"{summary}, in {summary.output}"]
    if summary.failed_csv is not None and summary.failed:
        lines.append(f"What failed, why, and the cure: {summary.failed_csv}")
    if summary.ended:
        lines.append(f"It ended early: {summary.ended}. Choose the same folders to go on.")
    return "\n".join(lines)


def progress_of(progress: BatchProgress) -> tuple[float, Any]:
    """Return the share that is done, 0 to 1, and what comes next."""
    return (progress.done + progress.part) / max(progress.total, 1), progress.message
