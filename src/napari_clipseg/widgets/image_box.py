"""The choice of the image: it follows the selected layer, unless it is pinned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Container
from magicgui.widgets.bases import Widget

from napari_clipseg.widgets.panel import row
from napari_clipseg.widgets.prompts import image_layers

if TYPE_CHECKING:
    import napari


class ImageBox:
    """The list of images, and the pin.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose selected layer is followed.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self.choice = ComboBox(
            label="Layer",
            choices=lambda _: image_layers(viewer),
            tooltip="The image layer to segment: the one that is selected in the layer list.",
        )
        self.pin = CheckBox(
            text="Pin", tooltip="Keep this image when another layer is selected or opened."
        )
        self.row: Container[Widget] = row("Layer", self.choice, self.pin)
        viewer.layers.selection.events.active.connect(self.follow)
        self.pin.changed.connect(self.follow)
        self.follow()

    def follow(self, *_: Any) -> None:
        """Choose the selected layer, if it is an image and none is pinned."""
        active = self._viewer.layers.selection.active
        if self.pin.value or active is None:
            return
        if active not in self.choice.choices and active in image_layers(self._viewer):
            self.choice.reset_choices()  # napari tells of a new layer later
        if active in self.choice.choices:
            self.choice.value = active
