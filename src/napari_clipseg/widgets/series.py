"""A folder as a list in the dock: from image to image, labels saved while they are edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_clipseg.files.formats.records import recipe_of
from napari_clipseg.recipe import METADATA, Recipe
from napari_clipseg.widgets.series_ahead import Ahead
from napari_clipseg.widgets.series_folder import Opened, SeriesFolder
from napari_clipseg.widgets.series_layers import fits, layers_of, show_on
from napari_clipseg.widgets.worker import Failure

if TYPE_CHECKING:
    import napari

SAVE_MS = 2000  # from an edit until it is saved
LIST_HEIGHT = 120  # pixels
THIS_PROMPT, CHOOSE = "this prompt", "a recipe…"


@dataclass(frozen=True)
class SeriesHost:
    """What a series needs of the dock.

    Attributes
    ----------
    recipe : callable
        What the dock asks for, for whole images.
    say : callable
        Shows a message.
    fail : callable
        Shows an error.
    """

    recipe: Callable[[], Recipe]
    say: Callable[[str], None]
    fail: Callable[[Exception], None]


class SeriesBox(QWidget):
    """Choose a folder, go through its images, and mark those that are done.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the images are shown.
    host : SeriesHost
        The dock.
    """

    def __init__(self, viewer: napari.Viewer, host: SeriesHost) -> None:
        super().__init__()
        self._viewer, self._host = viewer, host
        self._series: SeriesFolder | None = None
        self._ahead: Ahead | None = None
        self._number: int | None = None  # that is shown
        self._opened: Opened | None = None
        self._recipe: Recipe | None = None  # of a file, instead of what the dock asks for
        self._image: Image | None = None
        self._labels: Labels | None = None

        self.open_button = QPushButton("Label a folder…")
        self.open_button.setToolTip("Go through the images of a folder; labels are saved beside.")
        self.names = QListWidget()
        self.names.setToolTip("Choose an image. A check says that it is done.")
        self.names.setMaximumHeight(LIST_HEIGHT)
        self.previous = QPushButton("Previous")
        self.next = QPushButton("Next")
        self.prelabel = QCheckBox("Label new images with")
        self.prelabel.setToolTip(
            "An image without labels gets those that Run would give; the next one is labelled "
            "while you look at this one."
        )
        self.recipe = QComboBox()
        self.recipe.addItems([THIS_PROMPT, CHOOSE])
        self.recipe.setToolTip(
            "What the dock shows, or the recipe of a file: saved, or of a result."
        )
        buttons = QHBoxLayout()
        buttons.addWidget(self.previous)
        buttons.addWidget(self.next)
        self._inside = QWidget()
        inside = QVBoxLayout(self._inside)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.names)
        inside.addLayout(buttons)
        labelling = QHBoxLayout()
        labelling.addWidget(self.prelabel)
        labelling.addWidget(self.recipe, stretch=1)
        inside.addLayout(labelling)
        self._inside.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.open_button)
        layout.addWidget(self._inside)

        self._save_soon = QTimer(self)
        self._save_soon.setSingleShot(True)
        self._save_soon.setInterval(SAVE_MS)
        self._save_soon.timeout.connect(self.save)
        self.open_button.clicked.connect(self._choose)
        self.previous.clicked.connect(lambda: self.step(-1))
        self.next.clicked.connect(lambda: self.step(1))
        self.names.currentRowChanged.connect(self.show_image)
        self.names.itemChanged.connect(self._on_item)
        self.prelabel.toggled.connect(self._on_prelabel)
        self.recipe.activated.connect(self._on_recipe)

    def open_folder(self, folder: Path) -> None:
        """List the images of a folder, and show the first that is not done."""
        try:
            series = SeriesFolder(folder)
        except (OSError, ValueError) as error:
            self._host.fail(error)
            return
        self.close_folder()
        self._series = series
        self._ahead = Ahead(series, opened=self._on_opened, failed=self._host.fail)
        self.names.blockSignals(True)
        self.names.clear()
        for number, name in enumerate(series.names):
            item = QListWidgetItem(name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            state = Qt.CheckState.Checked if series.is_done(number) else Qt.CheckState.Unchecked
            item.setCheckState(state)
            self.names.addItem(item)
        self.names.blockSignals(False)
        self._inside.show()
        left = [n for n in range(len(series)) if not series.is_done(n)]
        self.names.setCurrentRow(left[0] if left else 0)

    def step(self, by: int) -> None:
        """Go to an image before or after the one that is shown."""
        row = self.names.currentRow() + by
        if 0 <= row < self.names.count():
            self.names.setCurrentRow(row)

    def show_image(self, number: int) -> None:
        """Show an image and its labels in place of those before."""
        if self._series is None or self._ahead is None or number < 0:
            return
        self.save()
        try:
            recipe = self._asked() if self.prelabel.isChecked() else None
        except (ValueError, TypeError, OSError) as error:
            recipe = None
            self._host.fail(error)
        name = self._series.names[number]
        self._host.say(f"Reading {name}…" if recipe is None else f"Labelling {name}…")
        self._ahead.ask(number, recipe)

    def save(self) -> None:
        """Write the labels that are shown, where they were edited; in a thread."""
        self._save_soon.stop()
        number, opened, labels = self._number, self._opened, self._labels
        if self._ahead is None or number is None or opened is None or labels is None:
            return
        self._ahead.write(number, opened, np.asarray(labels.data))

    def use_recipe(self, path: Path | None) -> None:
        """Label new images with the recipe of a file; with what the dock shows for None.

        Parameters
        ----------
        path : Path, optional
            A saved recipe, or a file of a result. Its region and planes are left out: whole
            images are labelled.
        """
        recipe = None
        try:
            if path is not None:
                recipe = recipe_of(path).replace(region=None, planes=None)
        except (OSError, ValueError, ModuleNotFoundError) as error:
            self._host.fail(error)
        self._recipe = recipe
        named = [] if recipe is None or path is None else [path.name]
        self.recipe.clear()
        self.recipe.addItems([THIS_PROMPT, *named, CHOOSE])
        self.recipe.setCurrentIndex(len(named))
        self._on_prelabel(self.prelabel.isChecked())

    def close_folder(self) -> None:
        """Write what was edited, and let go of the folder."""
        if self._ahead is not None:
            self.save()
            self._ahead.close()
            self._remove_layers()
        self._ahead = self._series = None

    def finish(self) -> None:
        """Write what was edited: the dock is closed."""
        if self._ahead is not None:
            self.save()
            self._ahead.close()
            self._ahead = None

    def _asked(self) -> Recipe:
        """Return what new images are labelled with."""
        return self._host.recipe() if self._recipe is None else self._recipe

    def _on_recipe(self, index: int) -> None:
        if index == self.recipe.count() - 1:
            name, _ = QFileDialog.getOpenFileName(self, "A saved recipe, or a file of a result")
            if name:
                self.use_recipe(Path(name))
            else:
                self.recipe.setCurrentIndex(self.recipe.count() - 2)
        elif index == 0:
            self.use_recipe(None)

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "A folder of images")
        if folder:
            self.open_folder(Path(folder))

    def _on_opened(self, number: int, outcome: Opened | Failure) -> None:
        if self._series is None or self._ahead is None:
            return
        if self._save_soon.isActive():
            self.save()  # what was edited since another image was asked for
        if isinstance(outcome, Failure):
            self._remove_layers()
            self._host.fail(outcome.error)
        else:
            self._show(outcome)
            self._number, self._opened = number, outcome
            if not outcome.labelled:
                self.save()  # what it was labelled with
            about = "" if outcome.labels.any() else " It has no labels yet."
            self._host.say(f"{number + 1} of {len(self._series)}: {outcome.source.name}.{about}")
        self._prepare(number)

    def _show(self, opened: Opened) -> None:
        """Give the layers other pixels; napari takes a second to make layers anew."""
        image, labels = self._image, self._labels
        both = image in self._viewer.layers and labels in self._viewer.layers
        if image is not None and labels is not None and both and fits(image, opened):
            self._remove_results(image)
            self._watch(labels, False)
            show_on(image, labels, opened)
            self._watch(labels, True)
            return
        self._remove_layers()
        self._image, self._labels = layers_of(opened)
        self._viewer.add_layer(self._image)
        self._viewer.add_layer(self._labels)
        self._watch(self._labels, True)

    def _watch(self, labels: Labels, watch: bool) -> None:
        for event in (labels.events.paint, labels.events.set_data, labels.events.labels_update):
            (event.connect if watch else event.disconnect)(self._on_edit)

    def _prepare(self, number: int) -> None:
        """Read the images around this one ahead."""
        assert self._series is not None
        assert self._ahead is not None
        recipe = None
        if self.prelabel.isChecked():
            try:
                recipe = self._asked()
            except (ValueError, TypeError, OSError):
                return  # it was told when this one was shown
        around = {number + 1: recipe, number - 1: recipe}
        self._ahead.prepare({n: one for n, one in around.items() if 0 <= n < len(self._series)})

    def _on_edit(self) -> None:
        if not self._save_soon.isActive():  # else one who never rests would never be saved
            self._save_soon.start()

    def _on_item(self, item: QListWidgetItem) -> None:
        if self._series is None:
            return
        try:
            self._series.mark(self.names.row(item), item.checkState() == Qt.CheckState.Checked)
        except OSError as error:
            self._host.fail(error)

    def _on_prelabel(self, chosen: bool) -> None:
        empty = self._labels is not None and not np.asarray(self._labels.data).any()
        if chosen and empty:
            self.show_image(self.names.currentRow())
        elif self._number is not None and self._ahead is not None:
            self._prepare(self._number)

    def _remove_layers(self) -> None:
        """Remove the image, its labels, and the results of runs on it."""
        image, labels = self._image, self._labels
        self._image = self._labels = self._number = self._opened = None
        if image is None or labels is None:
            return
        self._watch(labels, False)
        # A layer that is removed while it is selected is drawn once more, half removed.
        self._viewer.layers.selection.clear()
        self._remove_results(image)
        for layer in (image, labels):
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _remove_results(self, image: Image) -> None:
        for layer in list(self._viewer.layers):
            record: Any = layer.metadata.get(METADATA, {})
            if record.get("source_id") == str(image.unique_id):
                self._viewer.layers.selection.discard(layer)
                self._viewer.layers.remove(layer)
