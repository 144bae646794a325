"""The choice of a checkpoint: the bundled one, a published one, or a folder."""

from __future__ import annotations

from pathlib import Path

from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QFileDialog

from napari_clipseg.engine.checkpoints.locate import BUNDLED, KNOWN

OTHER_FOLDER = "Choose a folder…"


class ModelBox(ComboBox):
    """A list of checkpoints that grows by what is offered to it; its value is a name or folder."""

    def __init__(self) -> None:
        self._others: list[str] = []
        super().__init__(
            label="Model",
            choices=lambda _: self._names(),
            value=BUNDLED,
            tooltip=(
                "'demo' comes with the plugin: it knows simple shapes and is there to try things "
                "out. The others are downloaded (600 MB) when you first run them, after asking. "
                "Or choose a folder."
            ),
        )
        self.changed.connect(self._on_changed)

    def offer(self, model: str) -> None:
        """Choose a checkpoint by name or folder; a new one joins the list."""
        if model not in self.choices:
            self._others.append(model)
        with self.changed.blocked():
            self.reset_choices()
            self.value = model

    def _names(self) -> list[tuple[str, str]]:
        """Return name and value of each choice; a folder goes by its last part."""
        others = [(Path(other).name or other, other) for other in self._others]
        return [*((name, name) for name in (BUNDLED, *KNOWN)), *others, (OTHER_FOLDER,) * 2]

    def _on_changed(self, model: str) -> None:
        if model == OTHER_FOLDER:
            folder = QFileDialog.getExistingDirectory(self.native, "Checkpoint folder")
            self.offer(str(Path(folder)) if folder else BUNDLED)
