"""What the dock looks like: its controls in four parts, each with its name and its place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container, Label, ProgressBar, PushButton
from magicgui.widgets.bases import Widget
from napari.layers import Image, Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_clipseg.images.io.source import Source
from napari_clipseg.recipe import Recipe
from napari_clipseg.widgets.accessible import describe
from napari_clipseg.widgets.apply import ApplyBox
from napari_clipseg.widgets.estimate import EstimateLabel
from napari_clipseg.widgets.image_box import ImageBox
from napari_clipseg.widgets.keep_box import KeepBox
from napari_clipseg.widgets.keeping import KeepHost
from napari_clipseg.widgets.model_view import ModelView
from napari_clipseg.widgets.models import REAL, ModelBox, plain_name
from napari_clipseg.widgets.options import OptionsBox
from napari_clipseg.widgets.panel import Fold, lay_out, part, row, scrolling, title_of
from napari_clipseg.widgets.prompts import PromptBox
from napari_clipseg.widgets.recipe_menu import RecipeHost, RecipeMenu
from napari_clipseg.widgets.result_box import ResultBox
from napari_clipseg.widgets.series import SeriesBox, SeriesHost
from napari_clipseg.widgets.teaching import Host, Teaching

if TYPE_CHECKING:
    import napari

STATUS_LINES = 5  # that are shown without scrolling
WELCOME = (
    "Open an image (File ▸ Open, or File ▸ Open Sample ▸ CLIPSeg), write what to look for, press "
    "Enter."
)


@dataclass(frozen=True)
class Actions:
    """What the controls call.

    Attributes
    ----------
    run : callable
        Enter in the line.
    say : callable
        Shows a message.
    teaching : Host
        What teaching needs.
    series : SeriesHost
        What a series of images needs.
    recipes : RecipeHost
        What the menu of recipes needs.
    result : callable
        Called with the summary of a result.
    fail : callable
        Shows an error.
    look_closer : callable
        Called with a Shapes layer whose newest box is to be segmented with more detail.
    seen : callable
        Returns image, source and recipe of the next run, whatever the prompts.
    """

    run: Callable[[], None]
    say: Callable[[str], None]
    teaching: Host
    series: SeriesHost
    recipes: RecipeHost
    result: Callable[[str], None]
    fail: Callable[[Exception], None]
    look_closer: Callable[[Shapes], None]
    seen: Callable[[], tuple[Image, Source, Recipe]]


class Face(Container[Widget]):
    """The controls of the dock, without what they do.

    Parameters
    ----------
    viewer : napari.Viewer
        Where layers are chosen.
    actions : Actions
        What the controls call.
    """

    def __init__(self, viewer: napari.Viewer, actions: Actions) -> None:
        self.image_box = ImageBox(viewer)
        self.image, self.pin = self.image_box.choice, self.image_box.pin
        self.teaching = Teaching(viewer, actions.teaching)
        self.prompt = PromptBox(
            viewer,
            image=lambda: self.image.value,
            run=actions.run,
            say=actions.say,
            teaching=self.teaching,
        )
        self.model = ModelBox()
        self.run_options = OptionsBox(viewer)
        self.run_button = PushButton(text="Run", tooltip="Segment the image (Enter in the line).")
        self.cancel_button = PushButton(
            text="Cancel", enabled=False, tooltip="Stop what is running (Escape)."
        )
        self.progress = ProgressBar(min=0, max=1, value=0, visible=False)
        self.results = ResultBox(
            viewer,
            say=actions.result,
            fail=actions.fail,
            kept=lambda *asked: self.keep.kept_pixels(*asked),
            ran=lambda *done: self.keep.keeping.record_run(*done),
        )
        self.keep = KeepBox(
            viewer,
            KeepHost(lambda: self.results.result, actions.say, lambda: self.results.relabel()),
            actions.look_closer,
        )
        self.get_model = PushButton(
            text=plain_name(REAL),
            visible=False,
            tooltip="Choose this model and run again; it is downloaded after you agreed.",
        )
        self.apply = ApplyBox()
        self.recipes = RecipeMenu(viewer, actions.recipes)
        self.status = Label(value=WELCOME)
        self.series = SeriesBox(viewer, actions.series)

        options = self.run_options
        self.estimate = EstimateLabel()
        buttons = row("", self.run_button, self.cancel_button)
        image = part(self.image_box.row, options.planes, options.range, options.channels)
        taught = part(*self.teaching.widgets)
        closely = part(options.detail, labelled=False)
        model = part(self.model.row)
        self.model_view = ModelView(viewer, actions.seen, actions.fail)
        self.more_options = Fold(
            "More: region, edges",
            [options.region, options.refine_edges, self.model_view.button],
        )
        self.more_images = Fold(
            "More: other images, recipes", [self.apply.row, self.recipes.button], [self.series]
        )
        self.more_keep = Fold("Correct and keep", [self.keep], labelled=False)
        self.folds = {
            "options": self.more_options,
            "keep": self.more_keep,
            "images": self.more_images,
        }
        self.remembered: dict[str, Any] = {
            "detail": options.detail,
            "refine_edges": options.refine_edges,
            "objects": self.results.objects,
        }
        super().__init__(
            widgets=[
                image,
                self.prompt.line,
                self.prompt.buttons,
                taught,
                closely,
                model,
                self.more_options.rows,
                self.estimate,
                buttons,
                self.progress,
                self.results,
                self.more_keep.rows,
                self.get_model,
                self.more_images.rows,
            ],
            labels=False,
        )
        parts = [
            title_of("Image"),
            image,
            title_of("What to look for"),
            self.prompt.list,
            self.prompt.line,
            self.prompt.buttons,
            taught,
            title_of("How closely"),
            closely,
            model,
            self.more_options.assembled(),
            title_of("Result"),
            self.results,
            self.more_keep.assembled(),
            self.more_images.assembled(),
        ]
        footer = [self.estimate, buttons, self.progress, self._status_area(), self.get_model]
        lay_out(self.native, natives(parts), natives(footer))
        self.get_model.visible = self.progress.visible = self.estimate.visible = False
        describe(self.native)

    def offer_model(self, model: str) -> None:
        """Choose a checkpoint by name or folder; a new one joins the choices."""
        self.model.offer(model)

    def _status_area(self) -> QWidget:
        """Return the status in a place of its own: long ones scroll."""
        text = self.status.native
        text.setWordWrap(True)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        # A long path in a message must not widen the dock.
        text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        text.setAlignment(Qt.AlignmentFlag.AlignTop)
        return scrolling(text, most=STATUS_LINES * text.fontMetrics().lineSpacing() + 8)


def natives(widgets: Iterable[Any]) -> list[QWidget]:
    """Return the Qt widgets of controls."""
    return [getattr(one, "native", one) for one in widgets]
