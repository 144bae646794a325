"""How to segment: the detail, which planes and channels, and where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, LineEdit
from magicgui.widgets.bases import ValueWidget
from napari.layers import Image, Shapes

from napari_clipseg.images.io.axes import CHANNEL, COLUMN, ROW
from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.widgets.drawn import is_drawn
from napari_clipseg.widgets.layers import region_outlines, shown_planes
from napari_clipseg.widgets.panel import renew
from napari_clipseg.widgets.radio import SteadyRadioButtons

if TYPE_CHECKING:
    import napari

DETAILS = ("whole", "medium", "fine")
WHOLE = "the whole image"
SHOWN, ALL = "the one shown", "all of them"
ALL_OF, RANGE_OF = "all ", "a range of "  # and the name of an axis
COLORS, SHOWN_CHANNEL, ONLY = "first three as colors", "the one shown", "only channel "


class OptionsBox:
    """The widgets that choose how to segment; they lie in the dock's own rows.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose Shapes layers can bound what is segmented.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._axes: tuple[str, ...] = ()  # of planes, of the chosen image
        self._channel_count = 1
        self.detail = SteadyRadioButtons(
            label="Detail",
            choices=list(DETAILS),
            orientation="horizontal",
            tooltip=(
                "The model sees a few hundred pixels at a time: the whole image at once, or tiles "
                "of it. In fine tiles it sees small things of large images, and takes longer."
            ),
        )
        self.detail.value = DETAILS[0]
        self.detail.native.setAccessibleName("Detail")
        self.planes = ComboBox(
            label="Planes",
            choices=lambda _: self._plane_choices(),
            tooltip=(
                "Of a stack: the plane that is shown, all planes along one axis, all of them, or a "
                "range."
            ),
        )
        self.range = LineEdit(
            label="Range",
            tooltip="First and last plane as napari counts them, such as 3-9.",
        )
        self.range.native.setPlaceholderText("3-9")
        self.channels = ComboBox(
            label="Channels",
            choices=lambda _: self._channel_choices(),
            tooltip=(
                "What the model sees of an image with channels: the first three as red, green and "
                "blue; the one that is shown; or one of them."
            ),
        )
        self.region = ComboBox(
            label="Within",
            choices=lambda _: [
                (WHOLE, None),
                *((x.name, x) for x in viewer.layers if isinstance(x, Shapes) and not is_drawn(x)),
            ],
            tooltip=(
                "A Shapes layer with an outline: only what lies in it is segmented. Of several "
                "shapes the selected one counts, or else the last one drawn. Examples are not "
                "among them."
            ),
        )
        self.refine_edges = CheckBox(
            text="Follow the image's edges",
            value=True,
            tooltip="Pull the model's coarse maps to the edges of the image.",
        )
        self.all: tuple[ValueWidget[Any], ...] = (
            self.detail,
            self.planes,
            self.range,
            self.channels,
            self.region,
            self.refine_edges,
        )
        self.planes.changed.connect(self._show_range)

    def show_for(self, image: Image | None) -> None:
        """Show the choices of planes and of channels where there are several."""
        source = _source_of(image)
        self._axes = () if source is None else source.plane_axes
        self._channel_count = 1 if source is None else source.channels
        renew(self.planes)
        renew(self.channels)
        self.planes.visible = bool(self._axes)
        self.channels.visible = self._channel_count > 1
        self._show_range()

    def fields(self, layer: Image) -> dict[str, Any]:
        """Return what is chosen for a run on a layer, as fields of a recipe.

        Raises
        ------
        ValueError
            If the Shapes layer has no shape that encloses an area, the range is none, or the
            viewer shows the layer from another side.
        """
        shapes = self.region.value
        return {
            "detail": self.detail.value,
            "planes": self._chosen_planes(layer),
            "region": None if shapes is None else region_outlines(shapes, layer)[-1],
            "appearance": self._appearance(layer),
            "refine_edges": self.refine_edges.value,
        }

    def _plane_choices(self) -> list[str]:
        along = [f"{ALL_OF}{name}" for name in self._axes] if len(self._axes) > 1 else []
        return [SHOWN, *along, ALL, *(f"{RANGE_OF}{name}" for name in self._axes)]

    def _channel_choices(self) -> list[str]:
        return [COLORS, SHOWN_CHANNEL, *(f"{ONLY}{k}" for k in range(self._channel_count))]

    def _show_range(self) -> None:
        chosen = str(self.planes.value).startswith(RANGE_OF)
        self.range.visible = bool(self._axes) and chosen

    def _chosen_planes(self, layer: Image) -> dict[str, int | slice] | None:
        chosen = str(self.planes.value)
        if chosen == ALL or not as_source(layer).plane_axes:
            return None
        check_view(self._viewer, layer)
        planes: dict[str, int | slice] = dict(shown_planes(layer, self._viewer.dims.point))
        for start, value in ((ALL_OF, slice(None)), (RANGE_OF, None)):
            name = chosen.removeprefix(start)
            if chosen.startswith(start) and name in planes:
                planes[name] = self._range_of(layer, name) if value is None else value
        return planes

    def _range_of(self, layer: Image, name: str) -> slice:
        source = as_source(layer)
        length = source.length(name)
        found = re.fullmatch(r"\s*(\d+)\s*(?:[-–:]\s*(\d+)\s*)?", self.range.value)
        first = int(found[1]) if found else 0
        last = int(found[2] or first) if found else -1
        if not 0 <= first <= last < length:
            raise ValueError(
                f"The range of {name} is {self.range.value!r}; wanted first and last plane, from 0 "
                f"to {length - 1}, such as 0-{length - 1}."
            )
        return slice(first, last + 1)

    def _appearance(self, layer: Image) -> Appearance | None:
        source, chosen = as_source(layer), str(self.channels.value)
        if source.channels == 1 or chosen == COLORS:
            return None
        if chosen == SHOWN_CHANNEL:
            at = layer.world_to_data(self._viewer.dims.point)[source.axes.index(CHANNEL)]
            return Appearance(channels=[int(np.clip(np.rint(at), 0, source.channels - 1))])
        return Appearance(channels=[int(chosen.removeprefix(ONLY))])


def _source_of(image: Image | None) -> Source | None:
    try:
        return None if image is None else as_source(image)
    except (TypeError, ValueError):  # it is told when the run is asked for
        return None


def check_view(viewer: napari.Viewer, layer: Image) -> None:
    """Raise an error where the viewer shows a stack from another side than its planes lie."""
    axes, dims = as_source(layer).axes, viewer.dims
    before = dims.ndim - layer.ndim
    rows_and_columns = {before + axes.index(ROW), before + axes.index(COLUMN)}
    if dims.ndisplay == 2 and set(dims.displayed) != rows_and_columns:
        raise ValueError(
            f"The viewer shows {layer.name!r} from another side, and its planes of rows and "
            f"columns are segmented. Roll the axes back (the button with the cube's arrows), or "
            f"choose all planes."
        )
