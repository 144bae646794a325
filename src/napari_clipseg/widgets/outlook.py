"""What is shown while a prompt is taught: the first answer, doubt, and where to paint next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points

from napari_clipseg.images.io.layers import layer_order, placement, to_layer_order
from napari_clipseg.images.io.source import Source
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import label_colors
from napari_clipseg.widgets.lessons import Answer, Grid, Question
from napari_clipseg.widgets.result import add_below, move

if TYPE_CHECKING:
    import napari

FIRST_ANSWER, DOUBT, WHERE_NEXT = "first answer", "doubt", "where next"  # roles of layers
MARK_PART = 20  # of the image's longer side


class Outlook:
    """The layers beside the result, of the image that is taught on.

    Parameters
    ----------
    viewer : napari.Viewer
        Where they are shown.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._first: Labels | None = None
        self._hidden: Labels | None = None
        self._doubt: Image | None = None
        self._mark: Points | None = None
        self._known: tuple[Image, str, Source, Answer, Labels] | None = None

    def show_first(
        self, image: Image, question: Question, labels: Grid, strokes: Labels, result: Labels | None
    ) -> None:
        """Show the first answer in place of the result, below the strokes."""
        data = _laid_out(labels, question.source)
        options = {
            "name": f"{question.name} · {FIRST_ANSWER}",
            "opacity": 0.5,
            "colormap": label_colors(len(question.classes)),
            **placement(image, labels.extent, question.source.axes),
        }
        self._first = self._show(self._first, Labels, data, options, FIRST_ANSWER, strokes)
        self._first.visible = True
        if result is not None and result in self._viewer.layers and result.visible:
            result.visible = False
            self._hidden = result

    def hide_first(self) -> None:
        """Hide the first answer, and show the result that it stood for."""
        if self._first is not None:
            self._first.visible = False
        if self._hidden is not None:
            self._hidden.visible = True
            self._hidden = None

    def take(self, image: Image, question: Question, answer: Answer, strokes: Labels) -> None:
        """Keep what an answer says of doubt."""
        self._known = (image, question.name, question.source, answer, strokes)

    def show_doubt(self, wanted: bool) -> bool:
        """Show the last answer's doubt as a layer, or remove it; return whether it is shown."""
        if not wanted or self._known is None:
            if self._doubt is not None and self._doubt in self._viewer.layers:
                self._viewer.layers.remove(self._doubt)
            self._doubt = None
            return False
        image, name, source, answer, strokes = self._known
        if image not in self._viewer.layers or strokes not in self._viewer.layers:
            return False
        options = {
            "name": f"{name} · {DOUBT}",
            "colormap": "inferno",
            "blending": "additive",
            "interpolation2d": "linear",
            "contrast_limits": (0, 1),
            **placement(image, answer.doubt.extent, source.axes),
        }
        data = _laid_out(answer.doubt, source)
        self._doubt = self._show(self._doubt, Image, data, options, DOUBT, strokes)
        return True

    def go(self, strokes: Labels) -> bool:
        """Show and mark the place where the next stroke would teach most, if there is one."""
        if self._known is None or self._known[3].place is None or self._known[4] != strokes:
            return False
        _, name, source, answer, _ = self._known
        plane, row, column = answer.place  # type: ignore[misc]
        at = np.array([*plane, row, column], float)[layer_order(source.axes)]
        world = np.asarray(strokes.data_to_world(at))
        first = self._viewer.dims.ndim - len(world)
        for axis in self._viewer.dims.not_displayed:
            if axis >= first:
                self._viewer.dims.set_point(axis, world[axis - first])
        camera(self._viewer).center = [
            world[axis - first] if axis >= first else 0.0 for axis in self._viewer.dims.displayed
        ]
        self.unmark()
        mark = Points(
            at[None],
            name=f"{name} · {WHERE_NEXT}",
            size=max(source.shape) / MARK_PART,
            face_color="transparent",
            border_color="white",
            border_width=0.1,
            symbol="disc",
            **{key: getattr(strokes, key) for key in ("scale", "translate", "rotate", "shear")},
            affine=strokes.affine,
            units=strokes.units,
            axis_labels=strokes.axis_labels,
        )
        mark.metadata[METADATA] = {"role": WHERE_NEXT}
        add_below(self._viewer, mark, strokes)
        self._mark = mark
        return True

    def unmark(self) -> None:
        """Remove the mark of the place."""
        if self._mark is not None and self._mark in self._viewer.layers:
            self._viewer.layers.remove(self._mark)
        self._mark = None

    def _show(
        self,
        layer: Any,
        kind: type[Layer],
        data: Any,
        options: dict[str, Any],
        role: str,
        strokes: Labels,
    ) -> Any:
        """Update a layer, or add one below the strokes."""
        if layer is None or layer not in self._viewer.layers or layer.ndim != data.ndim:
            layer = kind(data, **options)
            layer.metadata[METADATA] = {"role": role}
            add_below(self._viewer, layer, strokes)
            return layer
        layer.data = data
        move(layer, options)
        if kind is Labels and set(layer.colormap.color_dict) != set(options["colormap"]):
            layer.colormap = options["colormap"]
        layer.name = options["name"]
        return layer


def camera(viewer: napari.Viewer) -> Any:
    """Return the camera of a viewer, which moved to its scene in napari 0.9."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def _laid_out(grid: Grid, source: Source) -> Any:
    """Return a grid's values in the layer's order of axes."""
    planes = (1,) * len(source.plane_axes)
    return to_layer_order(grid.values.reshape(*planes, *grid.values.shape), source.axes)
