"""The choice of a checkpoint: the bundled one, a published one, or a folder."""

from __future__ import annotations

from pathlib import Path

from magicgui.widgets import ComboBox, Container, PushButton
from magicgui.widgets.bases import Widget
from qtpy.QtWidgets import QFileDialog

from napari_clipseg.engine.checkpoints.catalog import catalog_entry
from napari_clipseg.engine.checkpoints.locate import BUNDLED, KNOWN
from napari_clipseg.widgets.download import missing
from napari_clipseg.widgets.panel import renew, row

REAL = KNOWN[0]  # that a beginner is offered
PLAIN = {
    BUNDLED: "Demo, built in: simple shapes",
    REAL: "CLIPSeg, published: any word",
    KNOWN[1]: "CLIPSeg rd64, published: coarser maps",
    KNOWN[2]: "CLIPSeg rd16, published: smaller decoder",
}


class ModelBox(ComboBox):
    """A list of checkpoints that grows by what is offered to it; its value is a name or folder."""

    def __init__(self) -> None:
        self._others: list[str] = []
        super().__init__(
            label="Model",
            choices=lambda _: self._names(),
            value=BUNDLED,
            tooltip=(
                "The demo comes with the plugin: it knows simple shapes and is there to try things "
                "out. The others are downloaded (600 MB) when you first run them, after asking. "
                "For a folder press … beside it."
            ),
        )
        self.folder = PushButton(text="…", tooltip="Choose the folder of a checkpoint.")
        self.folder.native.setFixedWidth(28)
        self.row: Container[Widget] = row("Model", self, self.folder)
        self.folder.changed.connect(self.choose_folder)

    def offer(self, model: str) -> None:
        """Choose a checkpoint by name or folder; a new one joins the list."""
        if model not in self.choices:
            self._others.append(model)
        with self.changed.blocked():
            self.reset_choices()
            self.value = model

    def choose_folder(self) -> None:
        """Ask for a folder; without an answer the choice stays."""
        folder = QFileDialog.getExistingDirectory(self.native, "Checkpoint folder")
        if folder:
            before = self.value
            self.offer(str(Path(folder)))
            if self.value != before:
                self.changed.emit(self.value)

    def refresh(self) -> None:
        """Show anew which checkpoints are on this machine."""
        renew(self)

    @property
    def folders(self) -> list[str]:
        """What was offered besides the known ones."""
        return list(self._others)

    def _names(self) -> list[tuple[str, str]]:
        """Return name and value of each choice; a folder goes by its last part."""
        others = [(Path(other).name or other, other) for other in self._others]
        return [*((plain_name(name), name) for name in (BUNDLED, *KNOWN)), *others]


def plain_name(model: str) -> str:
    """Return what a checkpoint is called by what it is for, and what getting it takes.

    Examples
    --------
    >>> from napari_clipseg.widgets.models import plain_name
    >>> plain_name("demo")
    'Demo, built in: simple shapes'
    """
    name = PLAIN.get(model, Path(model).name or model)
    if model in KNOWN and missing(model) is not None:
        name = name.replace("published", f"published, {catalog_entry(model).size_text}")
    return name
