"""How to segment: the detail, which planes, and what becomes a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox
from napari.layers import Image, Shapes

from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.widgets.drawn import is_drawn
from napari_clipseg.widgets.layers import region_outlines, shown_planes
from napari_clipseg.widgets.radio import SteadyRadioButtons

if TYPE_CHECKING:
    import napari

DETAILS = ("whole", "medium", "fine")
WHOLE = "the whole image"
SHOWN, ALL = "the one shown", "all of them"


class OptionsBox:
    """The widgets that choose how to segment; they lie in the dock's own rows.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose Shapes layers can bound what is segmented.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
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
        self.planes = ComboBox(
            label="Planes",
            choices=[SHOWN, ALL],
            value=SHOWN,
            tooltip="Of a stack: the plane that is shown, or one after the other.",
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
        self.objects = CheckBox(
            text="One label per object",
            tooltip=(
                "Number the objects, touching ones split, and measure each. Otherwise each prompt "
                "is one label."
            ),
        )
        self.refine_edges = CheckBox(
            text="Follow the image's edges",
            value=True,
            tooltip="Pull the model's coarse maps to the edges of the image.",
        )

    @property
    def instances(self) -> InstanceOptions | None:
        """How objects are told apart; None where they are not."""
        return InstanceOptions(split="distance") if self.objects.value else None

    def show_for(self, image: Image | None) -> None:
        """Show the choice of planes where there are several."""
        self.planes.visible = image is not None and _has_planes(image)

    def fields(self, layer: Image) -> dict[str, Any]:
        """Return what is chosen for a run on a layer, as fields of a recipe.

        Raises
        ------
        ValueError
            If the Shapes layer has no shape that encloses an area.
        """
        shapes = self.region.value
        shown = self.planes.value == SHOWN
        return {
            "detail": self.detail.value,
            "planes": shown_planes(layer, self._viewer.dims.point) if shown else None,
            "region": None if shapes is None else region_outlines(shapes, layer)[-1],
            "instances": self.instances,
            "refine_edges": self.refine_edges.value,
        }


def _has_planes(image: Image) -> bool:
    try:
        return bool(as_source(image).planes_shape)
    except (TypeError, ValueError):  # it is told when the run is asked for
        return False
