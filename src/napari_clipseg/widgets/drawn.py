"""Examples that a user draws: the layer of boxes on an image, and what lies in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from napari.layers import Image, Labels, Points, Shapes

from napari_clipseg.engine.prompts import Average
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.visual_prompts import Example
from napari_clipseg.prompts import Prompt
from napari_clipseg.widgets.layers import (
    chosen_areas,
    label_outlines,
    pixels_of,
    plane_at,
    point_circles,
    shape_corners,
    shown_planes,
    whole_placement,
)

if TYPE_CHECKING:
    import napari

EXAMPLES = "napari_clipseg_examples"  # entry of the metadata of a layer of boxes
EDGE = "yellow"
EDGE_PART = 150  # of the shorter side of the image
Marked: TypeAlias = Image | Shapes | Labels | Points


def is_drawn(layer: Any) -> bool:
    """Return whether this is a layer of boxes that the dock made."""
    return isinstance(layer, Shapes) and EXAMPLES in layer.metadata


def add_examples(viewer: napari.Viewer, image: Image) -> Shapes:
    """Add an empty layer of boxes exactly on an image: outlines only."""
    source = as_source(image)
    layer = Shapes(
        ndim=2 + len(source.plane_axes),
        name=f"{image.name} · example",
        face_color="transparent",
        edge_color=EDGE,
        edge_width=max(1, min(source.shape) / EDGE_PART),
        **whole_placement(image, source),
    )
    layer.metadata[EXAMPLES] = {
        "image_id": str(image.unique_id),
        "layer_id": str(layer.unique_id),
    }
    viewer.add_layer(layer)
    return layer


def own_examples(viewer: napari.Viewer, image: Image) -> list[Shapes]:
    """Return the layers of boxes on an image that the dock made."""
    wanted = str(image.unique_id)
    return [x for x in viewer.layers if is_drawn(x) and x.metadata[EXAMPLES]["image_id"] == wanted]


def make_ready(viewer: napari.Viewer, layer: Shapes) -> None:
    """Show and select a layer of boxes, in the mode of drawing one."""
    layer.visible = True
    viewer.layers.selection.active = layer
    layer.mode = "add_rectangle"


def example_of(marked: Marked, image: Image, point: Sequence[float] = ()) -> Prompt:
    """Return what a layer marks on an image as a prompt; it is read when it is needed.

    Parameters
    ----------
    marked : Image, Shapes, Points or Labels
        The image itself: the plane that is shown is the example. Shapes: the selected ones, or
        else the last one drawn, each on the plane on which it was drawn. Points: the selected ones,
        or else all (the first 16), each a circle of the point's size. Labels: the parts of the
        selected label on the plane that is shown.
    image : Image
        Where the example is.
    point : sequence of float
        The viewer's position in world coordinates; needed for stacks.

    Raises
    ------
    ValueError
        If nothing is marked.
    """
    source = as_source(image)
    if isinstance(marked, Shapes):
        examples = []
        for number in chosen_areas(marked):
            world = shape_corners(marked, number)
            outline, plane = pixels_of(image, world), plane_at(image, world, point)
            examples.append(Example(source, outline, plane=plane))
        return examples[0] if len(examples) == 1 else Average(examples)
    if isinstance(marked, Points):
        circles = point_circles(marked)
        found = [
            Example(source, pixels_of(image, one), plane=plane_at(image, one, point))
            for one in circles
        ]
        return found[0] if len(found) == 1 else Average(found)
    outlines = label_outlines(marked, image, point) if isinstance(marked, Labels) else None
    return Example(source, outlines, plane=shown_planes(image, point))


def name_of(marked: Marked, image: Image) -> str:
    """Return what an example is called."""
    if isinstance(marked, Labels):
        return f"like label {marked.selected_label} of {marked.name}"
    if is_drawn(marked):
        return f"like the example in {image.name}"
    return f"like {image.name}" if marked == image else f"like {marked.name} in {image.name}"
