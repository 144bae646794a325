"""Where the user says what to look for: texts, or an example in an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, RadioButtons, TextEdit
from magicgui.widgets.bases import Widget
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QSizePolicy

from napari_clipseg.widgets.layers import label_outlines, read_layer, region_outlines
from napari_clipseg.widgets.result import is_result
from napari_clipseg.widgets.worker import Reference

if TYPE_CHECKING:
    import napari

TEXT, REFERENCE = "text", "reference image"
WHOLE = "whole image"
NOT = "-"
TEXT_LINES = 4


class PromptBox:
    """The widgets to choose the kind of prompt and to give it; they lie in the dock's own rows.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers can be references.
    entered : callable
        Called when Enter is pressed in the text.
    """

    def __init__(self, viewer: napari.Viewer, entered: Callable[[], None]) -> None:
        self._viewer = viewer
        self.kind = RadioButtons(
            label="Prompt", choices=[TEXT, REFERENCE], orientation="horizontal"
        )
        self.text = TextEdit(
            label="Look for",
            tooltip=(
                "One prompt a line. A line that begins with - says what is not wanted: what it "
                "wins becomes background. Enter runs, Shift+Enter starts a new line."
            ),
        )
        self.reference = ComboBox(
            label="Example in",
            choices=lambda _: image_layers(viewer),
            tooltip="The image layer that shows an example of what to look for.",
        )
        self.region = ComboBox(
            label="Region",
            choices=lambda _: [(WHOLE, None), *((x.name, x) for x in region_layers(viewer))],
            tooltip=(
                "A Shapes layer with a rectangle around the example. Of several shapes the "
                "selected ones count, as one example each, or else the last one drawn. Or a "
                "Labels layer: its selected label marks the examples."
            ),
        )
        self.widgets: list[Widget] = [self.kind, self.text, self.reference, self.region]
        edit = self.text.native
        edit.setAcceptRichText(False)
        edit.setTabChangesFocus(True)
        edit.setPlaceholderText("nuclei\nred rings")
        edit.setFixedHeight(edit.fontMetrics().lineSpacing() * TEXT_LINES + 12)
        edit.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._enter = _EnterFilter(edit, entered)
        self.kind.changed.connect(self.show_kind)
        self.kind.value = TEXT

    def prompts(self) -> tuple[str | Reference, ...]:
        """Return what is asked for.

        Raises
        ------
        ValueError
            If nothing is; the message says what to do.
        """
        if self.kind.value == REFERENCE:
            return (self._reference(),)
        texts = tuple(line for line in self._lines() if not line.startswith(NOT))
        if not texts:
            raise ValueError("There is no prompt yet. Write what to look for, such as 'nuclei'.")
        return texts

    def unwanted(self) -> tuple[str, ...]:
        """Return what is not wanted: the lines that begin with a minus, without it."""
        if self.kind.value == REFERENCE:
            return ()
        found = (line.removeprefix(NOT).strip() for line in self._lines() if line.startswith(NOT))
        return tuple(text for text in found if text)

    def _lines(self) -> list[str]:
        lines = (line.strip() for line in self.text.value.splitlines())
        return [line for line in dict.fromkeys(lines) if line]

    def _reference(self) -> Reference:
        image, region = self.reference.value, self.region.value
        point = self._viewer.dims.point
        if image is None:
            raise ValueError(
                "There is no image layer to take the example from. Open an image that shows one."
            )
        read = read_layer(image, point)
        if region is None:
            return Reference(read, (), f"like {image.name}")
        if isinstance(region, Labels):
            outlines = label_outlines(region, image, point)
            name = f"like label {region.selected_label} of {region.name}"
            return Reference(read, tuple(outlines), name)
        outlines = region_outlines(region, image)
        return Reference(read, tuple(outlines), f"like {region.name} in {image.name}")

    def show_kind(self) -> None:
        """Show the widgets of the chosen kind of prompt, and hide the others."""
        by_text = self.kind.value == TEXT
        self.text.visible = by_text
        self.reference.visible = not by_text
        self.region.visible = not by_text


def image_layers(viewer: napari.Viewer) -> list[Image]:
    """Return the image layers of a viewer that are not results of ours."""
    return [x for x in viewer.layers if isinstance(x, Image) and not is_result(x)]


def region_layers(viewer: napari.Viewer) -> list[Shapes | Labels]:
    """Return the layers of a viewer that can mark an example."""
    return [x for x in viewer.layers if isinstance(x, Shapes | Labels)]


class _EnterFilter(QObject):
    """Let Enter run and Shift+Enter start a new line."""

    def __init__(self, edit: QObject, entered: Callable[[], None]) -> None:
        super().__init__(edit)
        self._entered = entered
        edit.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        if event.type() != QEvent.Type.KeyPress:
            return False
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if not enter or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            return False
        self._entered()
        return True
