"""Where the user says what to look for: a list of texts, examples and learned prompts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Container, PushButton
from magicgui.widgets.bases import Widget
from napari.layers import Image, Labels, Layer, Points, Shapes
from qtpy.QtWidgets import QMenu

from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import PROBABILITY
from napari_clipseg.widgets import drawn
from napari_clipseg.widgets.colors import prompt_colors
from napari_clipseg.widgets.drawn import Marked, is_drawn, own_examples
from napari_clipseg.widgets.model_view import SEEN
from napari_clipseg.widgets.prompt_line import PromptLine
from napari_clipseg.widgets.prompt_list import PromptList
from napari_clipseg.widgets.prompt_rows import Drawn, PromptRow, fields_of, from_line
from napari_clipseg.widgets.result import Result, is_result
from napari_clipseg.widgets.strokes import is_strokes
from napari_clipseg.widgets.thumbnails import Thumbnails

if TYPE_CHECKING:
    import napari

    from napari_clipseg.widgets.teaching import Teaching

DRAW = "Draw a box around one example, then press Run."


class PromptBox:
    """The list of prompts, the line to type in, and the buttons below.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers can be examples.
    image : callable
        Returns the image that is chosen.
    run : callable
        Called when Enter is pressed in the line.
    say : callable
        Shows a message.
    teaching : Teaching
        Where prompts are taught by strokes.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        *,
        image: Callable[[], Image | None],
        run: Callable[[], None],
        say: Callable[[str], None],
        teaching: Teaching,
    ) -> None:
        self._viewer, self._image, self._say = viewer, image, say
        self._teaching = teaching
        self.list = PromptList(partial(prompt_colors, viewer))
        self.line = PromptLine(taken=self._on_taken, run=run)
        self.draw = PushButton(
            text="Draw example",
            tooltip=(
                "Draw a box around one example on the image. The newest box counts. Press it "
                "again for an example of something else."
            ),
        )
        self.teach = CheckBox(
            text="Teach", tooltip="Paint strokes on what you look for, and beside it."
        )
        self.more = PushButton(
            text="From…", tooltip="Take an example from a layer, or a learned prompt from a file."
        )
        self.buttons: Container[Widget] = Container(
            widgets=[self.draw, self.more, self.teach], layout="horizontal", labels=False
        )
        self.buttons.margins = (0, 0, 0, 0)
        self.menu = QMenu(self.more.native)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.more.native.setMenu(self.menu)
        self._thumbnails = Thumbnails(viewer, self.list)
        self.draw.changed.connect(self.draw_example)
        self.list.chosen.connect(self._on_chosen)
        self.show_teaching()

    @property
    def rows(self) -> tuple[PromptRow, ...]:
        """What is listed."""
        return self.list.rows

    def fields(self) -> dict[str, Any]:
        """Return what is asked for, as fields of a recipe: prompts, names and negative prompts.

        Raises
        ------
        ValueError
            If nothing is; the message says what to do.
        """
        if self.teach.value and not self.rows:
            raise ValueError("Nothing was taught yet. Press Paint, and paint a few strokes.")
        return fields_of(self.rows, self._viewer.dims.point)

    def set_lines(self, text: str) -> None:
        """Replace all rows by texts, one a line."""
        self.list.set_rows(row for line in text.splitlines() if (row := from_line(line)))

    def draw_example(self) -> None:
        """Make the drawing of a box ready on the chosen image, for a new example."""
        image = self._image()
        if image is None:
            self._say("Open an image first, then draw a box around one example.")
            return
        used = [row.what.marked for row in self.rows if isinstance(row.what, Drawn)]
        free = [x for x in own_examples(self._viewer, image) if x not in used]
        free += [x for x in own_examples(self._viewer, image) if not len(x.data)]
        layer = free[0] if free else drawn.add_examples(self._viewer, image)
        if layer not in used:
            self.add_example(layer, image)
        drawn.make_ready(self._viewer, layer)
        self._say(DRAW)

    def add_example(self, marked: Marked, image: Image) -> PromptRow:
        """List what a layer marks on an image."""
        what = Drawn(marked, image)
        for row in self.rows:
            if row.what == what:
                return row
        name, taken = drawn.name_of(marked, image), {row.name for row in self.rows}
        numbers = (f"{name} ({number})" for number in range(2, len(taken) + 3))
        row = PromptRow(
            name if name not in taken else next(x for x in numbers if x not in taken), what
        )
        self.list.add(row)
        return row

    def add_learned(self, learned: LearnedPrompt, instead_of: LearnedPrompt | None = None) -> None:
        """List a learned prompt, in the place of an earlier one if there is one."""
        for row in self.rows:
            if row.what is instead_of and instead_of is not None:
                row.what, row.name = learned, ", ".join(learned.names)
                self.list.set_rows(self.rows)
                return
        self.list.add(PromptRow(", ".join(learned.names), learned))

    def show_result(self, result: Result | None) -> None:
        """Give the rows the colors of results, and check those whose maps are shown."""
        maps = maps_of(result)
        self.list.refresh({name for name, layer in maps.items() if layer.visible})

    def show_teaching(self) -> None:
        """Show the rows of teaching where it is chosen."""
        self._teaching.box.visible = bool(self.teach.value)

    def on_layer_removed(self, layer: Layer) -> None:
        """Remove examples whose layer or image is gone."""
        gone = [
            row
            for row in self.rows
            if isinstance(row.what, Drawn) and layer in (row.what.marked, row.what.image)
        ]
        for row in gone:
            self.list.remove(row)

    def _on_taken(self, lines: list[str]) -> None:
        self.list.add(*(row for line in lines if (row := from_line(line))))

    def _on_chosen(self, row: PromptRow) -> None:
        """Let the user draw another box in the place of an example."""
        if isinstance(row.what, Drawn) and isinstance(row.what.marked, Shapes):
            drawn.make_ready(self._viewer, row.what.marked)
            self._say(DRAW)

    def _fill_menu(self) -> None:
        self.menu.clear()
        image = self._image()
        for layer in marking_layers(self._viewer):
            if image is not None and not is_drawn(layer):
                name = drawn.name_of(layer, image).removeprefix("like ")
                self._add_action(f"Example: {name}", partial(self.add_example, layer, image))
        for layer in image_layers(self._viewer):
            whole = partial(self.add_example, layer, layer)
            self._add_action(f"Example: the whole of {layer.name}", whole)
        self.menu.addSeparator()
        self._add_action("A learned prompt from a file…", self._teaching.choose_file)

    def _add_action(self, text: str, do: Callable[[], Any]) -> None:
        action: Any = self.menu.addAction(text)
        action.triggered.connect(lambda _: do())


def maps_of(result: Result | None) -> dict[str, Layer]:
    """Return the layers of a result's maps, by the names of their prompts."""
    maps = {}
    for layer in [] if result is None else result.layers:
        record = layer.metadata.get(METADATA, {})
        if record.get("role") == PROBABILITY:
            maps[record["prompt"]] = layer
    return maps


def image_layers(viewer: napari.Viewer) -> list[Image]:
    """Return the image layers of a viewer that the dock did not add."""
    images = [x for x in viewer.layers if isinstance(x, Image)]
    return [x for x in images if not is_result(x) and SEEN not in x.metadata]


def marking_layers(viewer: napari.Viewer) -> list[Shapes | Points | Labels]:
    """Return the layers of a viewer that can mark an example."""
    kinds = Shapes | Points | Labels
    return [x for x in viewer.layers if isinstance(x, kinds) and not is_strokes(x)]
