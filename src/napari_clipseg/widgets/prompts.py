"""Where the user says what to look for: texts, an example in an image, or strokes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, TextEdit
from magicgui.widgets.bases import Widget
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QSizePolicy

from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.visual_prompts import Example
from napari_clipseg.widgets.layers import label_outlines, region_outlines, shown_planes
from napari_clipseg.widgets.radio import SteadyRadioButtons
from napari_clipseg.widgets.result import is_result
from napari_clipseg.widgets.strokes import is_strokes

if TYPE_CHECKING:
    import napari

    from napari_clipseg.widgets.teaching import Teaching

TEXT, REFERENCE, TEACH = "text", "reference image", "teach"
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
    teaching : Teaching
        Where prompts are taught by strokes.
    """

    def __init__(
        self, viewer: napari.Viewer, entered: Callable[[], None], teaching: Teaching
    ) -> None:
        self._viewer = viewer
        self._teaching = teaching
        self.kind = SteadyRadioButtons(
            label="Prompt", choices=[TEXT, REFERENCE, TEACH], orientation="horizontal"
        )
        self.text = TextEdit(
            label="Look for",
            tooltip=(
                "One prompt a line. A line that begins with - is a negative prompt: where it is "
                "the likeliest, there is background. Enter runs, Shift+Enter starts a new line."
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
        self.widgets: list[Widget] = [
            self.kind,
            self.text,
            self.reference,
            self.region,
            *teaching.widgets,
        ]
        edit = self.text.native
        edit.setAcceptRichText(False)
        edit.setTabChangesFocus(True)
        edit.setPlaceholderText("nuclei\nred rings")
        edit.setFixedHeight(edit.fontMetrics().lineSpacing() * TEXT_LINES + 12)
        edit.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._enter = _EnterFilter(edit, entered)
        self.kind.changed.connect(self.show_kind)
        self.kind.value = TEXT

    def fields(self) -> dict[str, Any]:
        """Return what is asked for, as fields of a recipe: prompts, names and negative prompts.

        Raises
        ------
        ValueError
            If nothing is; the message says what to do.
        """
        if self.kind.value == REFERENCE:
            name, example = self._example()
            return {"prompts": (example,), "names": (name,)}
        if self.kind.value == TEACH:
            if self._teaching.learned is None:
                raise ValueError("Nothing was taught yet. Press Paint, and paint a few strokes.")
            return {"prompts": (self._teaching.learned,)}
        lines = self._lines()
        texts = [line for line in lines if not line.startswith(NOT)]
        if not texts:
            raise ValueError("There is no prompt yet. Write what to look for, such as 'nuclei'.")
        negative = (line.removeprefix(NOT).strip() for line in lines if line.startswith(NOT))
        return {"prompts": texts, "negative_prompts": [text for text in negative if text]}

    def _lines(self) -> list[str]:
        lines = (line.strip() for line in self.text.value.splitlines())
        return [line for line in dict.fromkeys(lines) if line]

    def _example(self) -> tuple[str, Example]:
        """Return the chosen example, and what it is called; it is read when the run starts."""
        image, region = self.reference.value, self.region.value
        point = self._viewer.dims.point
        if image is None:
            raise ValueError(
                "There is no image layer to take the example from. Open an image that shows one."
            )
        name, outlines = f"like {image.name}", None
        if isinstance(region, Labels):
            outlines = label_outlines(region, image, point)
            name = f"like label {region.selected_label} of {region.name}"
        elif region is not None:
            outlines = region_outlines(region, image)
            name = f"like {region.name} in {image.name}"
        return name, Example(as_source(image), outlines, plane=shown_planes(image, point))

    def show_kind(self) -> None:
        """Show the widgets of the chosen kind of prompt, and hide the others."""
        self.text.visible = self.kind.value == TEXT
        self.reference.visible = self.region.visible = self.kind.value == REFERENCE
        self._teaching.box.visible = self.kind.value == TEACH


def image_layers(viewer: napari.Viewer) -> list[Image]:
    """Return the image layers of a viewer that are not results of ours."""
    return [x for x in viewer.layers if isinstance(x, Image) and not is_result(x)]


def region_layers(viewer: napari.Viewer) -> list[Shapes | Labels]:
    """Return the layers of a viewer that can mark an example."""
    return [x for x in viewer.layers if isinstance(x, Shapes | Labels) and not is_strokes(x)]


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
