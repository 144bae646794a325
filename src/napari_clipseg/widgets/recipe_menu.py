"""Recipes in the dock: copied, saved, and applied from a file or a layer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import PushButton
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu

from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.recipe import Recipe
from napari_clipseg.widgets.options import ALL, DETAILS, SHOWN
from napari_clipseg.widgets.prompt_rows import PromptRow

if TYPE_CHECKING:
    import napari

    from napari_clipseg.widgets.face import Face

FILES = "Recipes (*.json)"


@dataclass(frozen=True)
class RecipeHost:
    """What the menu needs of the dock.

    Attributes
    ----------
    recipe : callable
        What the dock asks for, for whole images.
    apply : callable
        Sets the dock to a recipe; returns what it has no control for.
    say, fail : callable
        Show a message, and an error.
    """

    recipe: Callable[[], Recipe]
    apply: Callable[[Recipe], Sequence[str]]
    say: Callable[[str], None]
    fail: Callable[[Exception], None]


class RecipeMenu:
    """A button with what can be done with recipes.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose selected layer can have a recipe.
    host : RecipeHost
        The dock.
    """

    def __init__(self, viewer: napari.Viewer, host: RecipeHost) -> None:
        self._viewer, self._host = viewer, host
        self.button = PushButton(
            text="Recipe…",
            tooltip="Copy or save all that is asked for, or take it from a file or a layer.",
        )
        self.menu = QMenu(self.button.native)
        self.button.native.setMenu(self.menu)
        for text, do in (
            ("Copy", self.copy),
            ("Save…", self.save),
            ("Apply from a file…", self.apply_file),
            ("Apply that of the selected layer", self.apply_layer),
        ):
            action: Any = self.menu.addAction(text)
            action.triggered.connect(lambda _, do=do: self._try(do))

    def copy(self) -> None:
        """Put the recipe into the clipboard, as JSON."""
        clipboard: Any = QApplication.clipboard()
        clipboard.setText(json.dumps(self._host.recipe().to_dict(), indent=1))
        self._host.say("The recipe is in the clipboard, as JSON: Recipe.from_dict reads it.")

    def save(self) -> None:
        """Ask for a file, and write the recipe into it."""
        recipe = self._host.recipe()
        path, _ = QFileDialog.getSaveFileName(
            self.button.native, "Save the recipe", "recipe.json", FILES
        )
        if path:
            path = path if Path(path).suffix else f"{path}.json"
            recipe.save(path)
            self._host.say(f"Saved {path}")

    def apply_file(self) -> None:
        """Ask for a file, and take the recipe in it."""
        path, _ = QFileDialog.getOpenFileName(self.button.native, "Apply a recipe", "", FILES)
        if path:
            self._apply(Recipe.load(path), Path(path).name)

    def apply_layer(self) -> None:
        """Take the recipe of the selected layer."""
        layer = self._viewer.layers.selection.active
        if layer is None:
            raise ValueError("No layer is selected. Select one that a run added.")
        self._apply(Recipe.of(layer), layer.name)

    def _apply(self, recipe: Recipe, source: str) -> None:
        left_out = self._host.apply(recipe)
        message = f"The recipe of {source} was applied; press Run."
        if left_out:
            message += f" Left out, as the dock has no place for it: {', '.join(left_out)}."
        self._host.say(message)

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except (ValueError, TypeError, OSError) as error:
            self._host.fail(error)


def apply_recipe(face: Face, recipe: Recipe) -> list[str]:
    """Set what the dock asks for; return the fields that it has no control for."""
    named = zip(recipe.prompts, recipe.prompt_names, strict=True)
    unwanted = zip(recipe.negative_prompts, recipe.negative_names, strict=True)
    rows = [_row(prompt, name) for prompt, name in named]
    rows += [_row(prompt, name, unwanted=True) for prompt, name in unwanted]
    face.prompt.list.set_rows(rows)
    if recipe.model != face.model.value:
        face.offer_model(recipe.model)
    options, left_out = face.run_options, []
    if recipe.detail.tile_size in DETAILS:
        options.detail.value = recipe.detail.tile_size
    else:
        left_out.append("detail")
    options.planes.value = ALL if recipe.planes is None else SHOWN
    options.refine_edges.value = recipe.refine_edges
    face.results.objects.value = recipe.instances is not None
    if isinstance(recipe.threshold, float | int):
        face.results.threshold.value = float(recipe.threshold)
    elif recipe.threshold is not None:
        left_out.append("threshold")
    others = {"region": recipe.region, "level": recipe.level, "low_threshold": recipe.low_threshold}
    return left_out + [name for name, value in others.items() if value is not None]


def _row(prompt: Any, name: str, *, unwanted: bool = False) -> PromptRow:
    own = prompt if isinstance(prompt, str) else name
    if isinstance(prompt, LearnedPrompt):
        own = ", ".join(prompt.names)
    return PromptRow(own, prompt, unwanted)
