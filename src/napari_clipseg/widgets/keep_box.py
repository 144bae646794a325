"""Buttons and keys to correct objects, and to keep them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox, Container, PushButton, SpinBox
from magicgui.widgets.bases import Widget
from napari.layers import Labels, Shapes

from napari_clipseg.results import Segmentation
from napari_clipseg.widgets.keeping import KeepHost, Keeping
from napari_clipseg.widgets.kept import KeptPixels, kept_layers
from napari_clipseg.widgets.panel import part

if TYPE_CHECKING:
    import napari

A_NEW_LAYER = "a layer of its own"
# Of the actions that need a place: name, key, how many places, and what is said for each.
PLACED = (
    ("keep", "K", ("Click the object to keep.",)),
    ("reject", "R", ("Click the object to remove.",)),
    ("join", "J", ("Click an object.", "Now the one that belongs to it.")),
    ("cut", "H", ("Click beside the object, where the cut begins.", "Now where it ends.")),
)
KEYS = {**{key: name for name, key, _ in PLACED}, "U": "undo", "Y": "redo"}
HELP = (
    "With the pointer on an object: K keeps it, R rejects it. J joins two objects: on one, then "
    "on the other. H cuts one in two: at one end of the cut, then at the other. U undoes, Y does "
    "again; runs, too."
)
LOOK_CLOSER = "look closer"  # the layer in which boxes are drawn


class KeepBox(Container[Widget]):
    """What was found, corrected and kept.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers. Its keys K, R, J, H, U and Y are bound until `close_keys`.
    host : KeepHost
        What the dock does for it.
    look_closer : callable
        Called with a Shapes layer when a box was drawn in it: what lies in it is to be segmented
        with more detail.
    """

    def __init__(
        self, viewer: napari.Viewer, host: KeepHost, look_closer: Callable[[Shapes], None]
    ) -> None:
        self._viewer, self._host, self._look_closer = viewer, host, look_closer
        self.keeping = Keeping(viewer, host)
        self._waiting: tuple[str, tuple[str, ...]] | None = None
        self._places: list[tuple[float, ...]] = []
        self._boxes: Shapes | None = None
        self.into = ComboBox(
            label="Keep in",
            choices=lambda _: [(A_NEW_LAYER, None), *((x.name, x) for x in kept_layers(viewer))],
            tooltip="Your own Labels layer, which no run changes.",
        )
        self.label_class = SpinBox(
            label="As label",
            min=0,
            max=65_535,
            value=0,
            tooltip="The label of what is kept, such as that of a class. 0: a new number each.",
        )
        self.buttons = {
            name: PushButton(text=f"{name.capitalize()} ({key})", tooltip=HELP)
            for key, name in KEYS.items()
        }
        self.keep_all = PushButton(text="Keep all", tooltip="Keep all objects of the result.")
        self.next_doubtful = PushButton(
            text="Next doubtful",
            tooltip="Show the next object of which the model is least sure.",
        )
        self.closer = PushButton(
            text="Look closer…",
            tooltip="Draw a box: what lies in it is segmented with more detail, as a new result.",
        )
        by_name = self.buttons
        rows = (
            (self.keep_all, by_name["keep"], by_name["reject"]),
            (by_name["join"], by_name["cut"], self.closer),
            (by_name["undo"], by_name["redo"], self.next_doubtful),
        )
        lines = [Container(widgets=list(row), layout="horizontal", labels=False) for row in rows]
        for line in lines:
            line.margins = (0, 0, 0, 0)
        super().__init__(
            widgets=[*lines, part(self.into, self.label_class)], labels=False, label=""
        )
        self.margins = (0, 0, 0, 0)
        for name, _, said in PLACED:
            self.buttons[name].changed.connect(lambda _=None, n=name, s=said: self._wait(n, s))
        self.buttons["undo"].changed.connect(lambda: self._try(self.keeping.undo))
        self.buttons["redo"].changed.connect(lambda: self._try(self.keeping.redo))
        self.keep_all.changed.connect(lambda: self._try(self.keeping.keep_all))
        self.next_doubtful.changed.connect(lambda: self._try(self.keeping.next_doubtful))
        self.closer.changed.connect(self._draw_box)
        self.into.changed.connect(self._on_into)
        self.label_class.changed.connect(self._on_class)
        self._bound: dict[str, Any] = {}
        for key in KEYS:
            if key not in {str(known) for known in viewer.keymap}:  # another dock, or the user
                self._bound[key] = self._on_key(key)
                viewer.bind_key(key, self._bound[key])
        viewer.mouse_drag_callbacks.append(self._on_click)
        viewer.layers.events.removed.connect(self._on_removed)

    def kept_pixels(self, segmentation: Segmentation, image_id: str) -> KeptPixels | None:
        """Return what is kept of an image; see `Keeping.kept_pixels`."""
        return self.keeping.kept_pixels(segmentation, image_id)

    def close_keys(self) -> None:
        """Give the viewer's keys and clicks back."""
        for key, bound in self._bound.items():
            known = {str(one): one for one in self._viewer.keymap}
            if key in known and self._viewer.keymap[known[key]] is bound:
                del self._viewer.keymap[known[key]]
        self._bound = {}
        if self._on_click in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_click)

    # --- keys and clicks --------------------------------------------------------------------

    def press(self, name: str, place: tuple[float, ...]) -> None:
        """Do what a key does with the pointer at a place of the world."""
        if name in ("undo", "redo"):
            self._try(getattr(self.keeping, name))
            return
        said = next(said for one, _, said in PLACED if one == name)
        if self._waiting is None or self._waiting[0] != name:
            self._waiting, self._places = (name, said), []
        self._take(place)

    def _on_key(self, key: str) -> Callable[[Any], None]:
        return lambda _viewer: self.press(KEYS[key], tuple(self._viewer.cursor.position))

    def _wait(self, name: str, said: tuple[str, ...]) -> None:
        self._waiting, self._places = (name, said), []
        self._host.say(said[0])

    def _on_click(self, _viewer: Any, event: Any) -> None:
        if self._waiting is not None:
            event.handled = True  # no stroke of a brush
            self._take(tuple(event.position))

    def _take(self, place: tuple[float, ...]) -> None:
        assert self._waiting is not None
        name, said = self._waiting
        self._places.append(place)
        if len(self._places) < len(said):
            self._host.say(said[len(self._places)])
            return
        places, self._places, self._waiting = self._places, [], None
        self._try(lambda: getattr(self.keeping, name)(*places))

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except (ValueError, MemoryError) as error:
            self._host.say(str(error))

    # --- the rest ---------------------------------------------------------------------------

    def _on_removed(self, event: Any) -> None:
        self.keeping.on_layer_removed(event.value)

    def _on_into(self, layer: Labels | None) -> None:
        self.keeping.into = layer

    def _on_class(self, label: int) -> None:
        self.keeping.label_class = label

    def _draw_box(self) -> None:
        if self._boxes is None or self._boxes not in self._viewer.layers:
            result = self._host.result()
            like: dict[str, Any] = {}
            if result is not None and result.labels_layer is not None:
                layer = result.labels_layer
                names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
                like = {name: getattr(layer, name) for name in names}
            self._boxes = Shapes(
                name=LOOK_CLOSER,
                ndim=len(like["scale"]) if like else 2,
                face_color="transparent",
                edge_color="yellow",
                **like,
            )
            self._viewer.add_layer(self._boxes)
            self._boxes.events.data.connect(self._on_box)
        self._viewer.layers.selection.active = self._boxes
        self._boxes.mode = "add_rectangle"
        self._host.say("Draw a box around what to look at more closely.")

    def _on_box(self, event: Any) -> None:
        added = str(getattr(event.action, "value", event.action)) == "added"
        boxes = self._boxes
        if added and boxes is not None and len(boxes.data):
            corners = np.asarray(boxes.data[-1])
            if np.ptp(corners, axis=0).max() > 0:
                boxes.mode = "pan_zoom"
                self._look_closer(boxes)
