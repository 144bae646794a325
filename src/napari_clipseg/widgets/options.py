"""How to segment: how closely to look, which planes, and what becomes a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, ComboBox
from magicgui.widgets.bases import Widget
from napari.layers import Image, Shapes

from napari_clipseg.choices import Choices
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.widgets.layers import LayerImage, region_outlines

if TYPE_CHECKING:
    import napari

DETAILS = {
    "the whole image in one look": "one look",
    "medium tiles": "medium",
    "fine tiles (small things, slower)": "fine",
}
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
        self.detail = ComboBox(
            label="Detail",
            choices=list(DETAILS.items()),
            value="one look",
            tooltip=(
                "The model sees a few hundred pixels at a time. Tiles let it look closer: small "
                "things in large images are found, and it takes longer."
            ),
        )
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
                *((x.name, x) for x in viewer.layers if isinstance(x, Shapes)),
            ],
            tooltip=(
                "A Shapes layer with an outline: only what lies in it is looked at. Of several "
                "shapes the selected one counts, or else the last one drawn."
            ),
        )
        self.objects = CheckBox(
            text="One label per object",
            tooltip=(
                "Number the objects, touching ones split, and measure each. Otherwise each prompt "
                "is one label."
            ),
        )
        self.refine = CheckBox(
            text="Follow the image's edges",
            value=True,
            tooltip="Pull the model's coarse maps to the edges of the image.",
        )
        self.widgets: list[Widget] = [self.detail, self.planes, self.region, self.refine]

    @property
    def instances(self) -> InstanceOptions | None:
        """How objects are told apart; None where they are not."""
        return InstanceOptions(split="distance") if self.objects.value else None

    def show_for(self, image: Image | None) -> None:
        """Show the choice of planes where there are several."""
        self.planes.visible = image is not None and image.ndim > 2

    def choices(
        self,
        layer: Image,
        image: LayerImage,
        threshold: float | None,
        unwanted: Sequence[str] = (),
    ) -> Choices:
        """Return what is chosen for a run on a layer, which was read as `image`.

        Raises
        ------
        ValueError
            If the Shapes layer has no shape that encloses an area.
        """
        shapes = self.region.value
        return Choices(
            region=None if shapes is None else region_outlines(shapes, layer)[-1],
            threshold=threshold,
            unwanted=unwanted,
            instances=self.instances,
            planes=image.shown_planes if self.planes.value == SHOWN else None,
            detail=Detail(self.detail.value),
            refine=self.refine.value,
        )
