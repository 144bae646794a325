"""What the model sees of the image, as a layer: the tile in the middle of the view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import PushButton
from napari.layers import Image
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import COLUMN, ROW
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.layers import placement, to_layer_order
from napari_clipseg.images.io.source import COLORS, Source
from napari_clipseg.recipe import Recipe
from napari_clipseg.widgets.newest import Newest, Step
from napari_clipseg.widgets.outlook import camera
from napari_clipseg.widgets.worker import Failure

if TYPE_CHECKING:
    import napari

SEEN = "napari_clipseg_seen"  # entry of the metadata of such a layer
PROMPT = "x"  # no prompt changes what is seen


@dataclass(frozen=True, eq=False)
class _Question:
    layer: Image
    source: Source
    recipe: Recipe
    middle: tuple[float, float]


class ModelView:
    """A button that shows what the model sees.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown.
    asked : callable
        Returns image, source and recipe of the next run; the prompts do not count.
    fail : callable
        Shows an error.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        asked: Callable[[], tuple[Image, Source, Recipe]],
        fail: Callable[[Exception], None],
    ) -> None:
        self._viewer, self._asked, self._fail = viewer, asked, fail
        self.button = PushButton(
            text="What the model sees",
            tooltip="Add the tile in the middle of the view as a layer, as it goes into the model.",
        )
        self._work = Newest(_look, told=lambda _: None, returned=self._on_seen)
        self.button.changed.connect(self.look)

    def look(self) -> None:
        """Ask for it."""
        try:
            layer, source, recipe = self._asked()
        except (ValueError, TypeError) as error:
            self._fail(error)
            return
        dims = self._viewer.dims
        world = list(dims.point)
        shown = camera(self._viewer).center[-len(dims.displayed) :]
        for axis, value in zip(dims.displayed, shown, strict=True):
            world[axis] = value
        center = layer.world_to_data(world)
        at = source.axes.index(ROW), source.axes.index(COLUMN)
        self._work.ask(_Question(layer, source, recipe, (center[at[0]], center[at[1]])))

    def stop(self) -> None:
        """Drop what is asked for."""
        self._work.stop()

    def _on_seen(
        self, question: _Question, outcome: tuple[NDArray[np.uint8], Extent] | Failure
    ) -> None:
        if isinstance(outcome, Failure):
            self._fail(outcome.error)
        elif question.layer in self._viewer.layers:
            pixels, extent = outcome
            axes = question.source.axes
            planes = pixels.reshape(*extent.planes_shape, *pixels.shape)
            colors = [to_layer_order(planes[..., color], axes) for color in range(COLORS)]
            for old in [one for one in self._viewer.layers if SEEN in one.metadata]:
                self._viewer.layers.remove(old)
            self._viewer.add_image(
                np.stack(colors, axis=-1),
                rgb=True,
                name=f"{question.layer.name} · as the model sees it",
                metadata={SEEN: True},
                **placement(question.layer, extent, axes),
            )


def _look(question: _Question, step: Step) -> tuple[NDArray[np.uint8], Extent]:
    """Return what the model sees of the tile around a place, and where it lies."""
    from napari_clipseg.engine.loading import load
    from napari_clipseg.plans import plan_of, preview

    step("Looking")
    source, recipe = question.source, question.recipe
    plan = plan_of(source, recipe, load(recipe.model))
    finer: Any = np.asarray(source.factor(plan.level))
    tiles = plan.tiles_of_plane
    corners = np.array([(tile.top, tile.left) for tile in tiles], float)
    sizes = np.array([(tile.height, tile.width) for tile in tiles], float)
    away = np.abs((corners + sizes / 2) * finer - question.middle).max(axis=1)
    nearest = int(away.argmin())
    pixels = preview(source, recipe, tile=nearest)
    step("Placing")
    factor = sizes[nearest] / pixels.shape[:2]
    origin = (corners[nearest] + factor / 2) * finer - 0.5
    factor = factor * finer
    planes = plan.extent.planes[:1]
    extent = Extent(
        axes=plan.extent.axes,
        planes_shape=(1,) * len(plan.extent.axes),
        planes=planes,
        height=pixels.shape[0],
        width=pixels.shape[1],
        factor=(float(factor[0]), float(factor[1])),
        origin=(float(origin[0]), float(origin[1])),
    )
    return pixels, extent
