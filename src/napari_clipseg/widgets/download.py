"""The offer to download a checkpoint that is not here, and the download in a worker thread."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QMessageBox, QWidget
from superqt.utils import create_worker

from napari_clipseg.engine.checkpoints.catalog import (
    MEGABYTE,
    CatalogEntry,
    catalog_entry,
    megabytes,
)
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError
from napari_clipseg.results import Progress
from napari_clipseg.widgets.worker import Failure

if TYPE_CHECKING:  # opening the dock is to load no network client
    from napari_clipseg.engine.hub.downloads import DownloadProgress

STOPPED = "Stopped. What was fetched is kept; run again, and it goes on there."


def missing(model: str) -> CatalogEntry | None:
    """Return what can be downloaded, where a model is a name on the hub that is not here whole.

    Any other fault of the model is left to the run, which says what it is.
    """
    try:
        locate(model)
    except NotDownloadedError as error:
        return catalog_entry(error.name)
    except CheckpointError:
        pass
    return None


def ask(entry: CatalogEntry, parent: QWidget) -> bool:
    """Tell size, licenses and card in a dialog, and return whether the user wants the download."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Download a model")
    box.setTextFormat(Qt.TextFormat.RichText)
    # Links can be followed, and the text be copied.
    box.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    name, card = html.escape(entry.name), html.escape(entry.card)
    box.setText(
        f"<p><b>{name}</b> is not on this machine. Download it ({entry.size_text})?</p>"
        f"<p>{html.escape(entry.license_text)}</p>"
        f'<p>Read its card before you use it: <a href="{card}">{card}</a></p>'
    )
    yes = box.addButton("Download", QMessageBox.ButtonRole.AcceptRole)
    no = box.addButton("Not now", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(no)
    box.setEscapeButton(no)
    box.exec()
    return box.clickedButton() is yes


def declined(entry: CatalogEntry) -> str:
    """Return what to say to a user who does not want a download."""
    return (
        f"{entry.name} was not downloaded. Choose another model, or get it later: run again, or "
        f"`napari-clipseg download {entry.name}` on the command line."
    )


class Download(QObject):
    """A download in a worker thread. The callbacks are called on the GUI thread.

    Parameters
    ----------
    name : str
        On the hub. The user has accepted its license.
    progressed : callable
        Called with a `Progress`, in megabytes.
    returned : callable
        Called with the folder, or a `Failure`.
    stopped : callable
        Called instead of it after `quit`.
    """

    _progressed = Signal(object)

    def __init__(
        self,
        name: str,
        *,
        progressed: Callable[[Progress], None],
        returned: Callable[[Path | Failure], None],
        stopped: Callable[[], None],
    ) -> None:
        super().__init__()
        self._name = name
        self._returned = returned
        self._stopped = stopped
        self._delivered = False
        self._progressed.connect(progressed)
        # No generator, as a run is: it would be closed in another thread than the one that
        # locked the file.
        self._worker = create_worker(
            self._fetch,
            _start_thread=False,  # it looks at itself, so it must be known before
            _connect={"returned": self._on_returned, "finished": self._on_finished},
        )
        self._worker.start()

    @property
    def abort_requested(self) -> bool:
        """Whether it was asked to stop."""
        return bool(self._worker.abort_requested)

    def quit(self) -> None:
        """Ask it to stop after the piece that is being fetched."""
        self._worker.quit()

    def _fetch(self) -> Path | Failure:
        from napari_clipseg.engine.hub.downloads import download

        try:
            return download(
                self._name,
                accept_license=True,
                progress=self._tell,
                cancel=lambda: self.abort_requested,
            )
        except Exception as error:  # the worker class would drop a RuntimeError
            return Failure(error)

    def _tell(self, step: DownloadProgress) -> None:
        doing = f"Downloading {self._name}: {megabytes(step.done)} of {megabytes(step.total)}"
        # In bytes, large files would not fit into Qt's 32 bits.
        self._progressed.emit(Progress(step.done // MEGABYTE, step.total // MEGABYTE + 1, doing))

    def _on_returned(self, outcome: Path | Failure) -> None:
        if not self.abort_requested:
            self._delivered = True
            self._returned(outcome)

    def _on_finished(self) -> None:
        if not self._delivered:
            self._stopped()
