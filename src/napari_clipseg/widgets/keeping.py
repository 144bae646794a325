"""Objects corrected and kept, in the viewer: each step can be undone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from skimage import measure

from napari_clipseg.images.io.layers import from_layer_order, layer_order
from napari_clipseg.images.labels import edits
from napari_clipseg.images.labels.edits import Change, Edit, History, Object, Several
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import LABELS, PROBABILITY, Segmentation
from napari_clipseg.widgets.kept import KeptPixels, add_kept, find_kept, grid_of, on_image
from napari_clipseg.widgets.outlook import camera
from napari_clipseg.widgets.result import Result

if TYPE_CHECKING:
    import napari

World = Sequence[float]
ON_LINE = 101  # places of a line at which an object is looked for


@dataclass(frozen=True)
class KeepHost:
    """What the dock does for it.

    Attributes
    ----------
    result : callable
        Returns the selected result, or None.
    say : callable
        Shows a message in the status.
    relabel : callable
        Makes the labels of the selected result anew.
    """

    result: Callable[[], Result | None]
    say: Callable[[str], None]
    relabel: Callable[[], None]


class Swap:
    """Other data for a layer as a whole."""

    def __init__(self, layer: Labels, after: NDArray[Any]) -> None:
        self._layer, self._before, self._after = layer, layer.data, after

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        return int(self._before.nbytes + self._after.nbytes)

    def redo(self) -> None:
        """Set the new data."""
        self._layer.data = self._after

    def undo(self) -> None:
        """Set the data that were there."""
        self._layer.data = self._before


class Layers:
    """What a run did to the layers of a viewer: those that it added, and those that it updated.

    Parameters
    ----------
    viewer : napari.Viewer
        Which.
    before : dict
        What `seen` returned before the run.
    """

    def __init__(self, viewer: napari.Viewer, before: dict[Layer, tuple[Any, ...]]) -> None:
        self._viewer, self._before = viewer, before
        self._after: dict[Layer, tuple[Any, ...]] = {}

    @property
    def nbytes(self) -> int:
        """What it holds in memory besides what the viewer shows."""
        held = (data for layer, (data, *_) in self._before.items() if layer.data is not data)
        return sum(int(data.nbytes) for data in held)

    def forget(self, layer: Layer) -> None:
        """Let go of a layer that the user removed."""
        self._before.pop(layer, None)
        self._after.pop(layer, None)

    @staticmethod
    def seen(viewer: napari.Viewer) -> dict[Layer, tuple[Any, ...]]:
        """Return the results in a viewer, and what they show."""
        found = {}
        for layer in viewer.layers:
            if _is_of_run(layer):
                features = layer.features if isinstance(layer, Labels) else None
                found[layer] = (layer.data, dict(layer.metadata), features)
        return found

    def undo(self) -> None:
        """Bring back what was there."""
        self._after = self.seen(self._viewer)
        self._show(self._before)

    def redo(self) -> None:
        """Bring back what the run showed."""
        self._show(self._after)

    def _show(self, wanted: dict[Layer, tuple[Any, ...]]) -> None:
        for layer in [x for x in self._viewer.layers if _is_of_run(x)]:
            if layer not in wanted:
                self._viewer.layers.remove(layer)
        for layer, (data, metadata, features) in wanted.items():
            if layer not in self._viewer.layers:
                self._viewer.layers.append(layer)
            if layer.data is not data:
                layer.data = data
            layer.metadata = metadata
            if features is not None:
                layer.features = features


class Keeping:
    """Keeps, removes, joins and cuts objects; all methods are of the GUI thread.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers.
    host : KeepHost
        What the dock does for it.
    """

    def __init__(self, viewer: napari.Viewer, host: KeepHost) -> None:
        self._viewer, self._host = viewer, host
        self.history = History()
        self.into: Labels | None = None  # the user's own layer; else one is made for the image
        self.label_class = 0  # that objects are kept as; 0 for a fresh number each
        self._doubtful = -1
        self._moving = False  # layers, by undoing or doing again

    # --- what a user can do ---------------------------------------------------------------

    def keep(self, world: World) -> None:
        """Move the object at a place from the result to the layer of kept ones."""
        result, found = self._object_of_result(world)
        layer, image = self._kept_layer(result)
        grid = grid_of(layer, image)
        label = self.label_class or edits.fresh(grid)
        changes = [
            change
            for part in on_image(found, result.segmentation.extent, grid.shape)
            for change in edits.kept(grid, part, label, lambda: layer.data)
        ]
        labels = result.labels_layer
        assert labels is not None
        changes += edits.removed(self._grid(labels), found, lambda: labels.data)
        self._do(f"keep {found.label}", changes, ours=True)

    def keep_all(self) -> None:
        """Move all objects of the result."""
        result = self._result()
        labels, (layer, image) = result.labels_layer, self._kept_layer(result)
        assert labels is not None
        grid, mine = grid_of(layer, image), self._grid(labels)
        numbers = mine if result.instances is not None else _parts(mine)
        first = edits.fresh(grid) - 1
        kept = layer.data.copy()
        into = from_layer_order(kept, result.segmentation.axes)
        whole = Object(1, tuple(slice(0, n) for n in mine.shape), numbers > 0)
        for part in on_image(whole, result.segmentation.extent, grid.shape):
            at = into[part.box]
            free = part.mask & (at == 0)
            if self.label_class:
                at[free] = self.label_class
            else:
                at[free] = first + _resampled(numbers, part, result.segmentation)[free]
        if not whole.mask.any():
            raise ValueError("There is no object to keep. Lower the threshold, or run.")
        blank = np.zeros_like(labels.data)
        self._do("keep all", [Swap(layer, kept), Swap(labels, blank)], ours=True)

    def reject(self, world: World) -> None:
        """Remove the object at a place: from the result, or else from the kept ones."""
        layer, grid, found = self._object(world)
        self._do(f"reject {found.label}", edits.removed(grid, found, lambda: layer.data))

    def join(self, world: World, other: World) -> None:
        """Give the second object the label of the first."""
        layer, grid, found = self._numbered(world)
        second = self._in(layer, grid, other)
        if second is None:
            raise ValueError("There is no second object at that place. Point at one.")
        changes = edits.joined(grid, found, second, lambda: layer.data)
        self._do(f"join {found.label} and {second.label}", changes)

    def cut(self, world: World, other: World) -> None:
        """Cut the object that a line crosses."""
        begin, end = np.asarray(world, float), np.asarray(other, float)
        on_line = [list(begin + share * (end - begin)) for share in np.linspace(0, 1, ON_LINE)]
        first = next((place for place in on_line if self._is_on_object(place)), None)
        if first is None:
            raise ValueError("The line crosses no object. Draw it from one side to the other.")
        layer, grid, found = self._numbered(first)
        points = [self._pixel(layer, place) for place in (world, other)]
        self._do(f"cut {found.label}", edits.cut(grid, found, points, lambda: layer.data))

    def undo(self) -> None:
        """Undo the last step, or the last run."""
        self._tell("Undone", self._move(self.history.undo))

    def redo(self) -> None:
        """Do the last step that was undone again."""
        self._tell("Done again", self._move(self.history.redo))

    def next_doubtful(self) -> None:
        """Show the next object of which the model is least sure.

        Raises
        ------
        ValueError
            If there is none.
        """
        result = self._result()
        layer = result.labels_layer
        table = None if layer is None else layer.features
        if layer is None or table is None or not len(table) or "mean_probability" not in table:
            raise ValueError(
                "There is no object in the table yet. Run, or wait until the labels are measured."
            )
        threshold = float(np.min(np.ravel(result.threshold)))
        shown = table[np.isin(table["index"], np.unique(layer.data))]
        order = shown.iloc[np.argsort(np.abs(shown["mean_probability"] - threshold), kind="stable")]
        if not len(order):
            raise ValueError("All objects are kept or rejected.")
        self._doubtful = (self._doubtful + 1) % len(order)
        row = order.iloc[self._doubtful]
        n = layer.ndim
        middle = [(row[f"bbox-{i}"] + row[f"bbox-{n + i}"] - 1) / 2 for i in range(n)]
        world = layer.data_to_world(np.array(middle)[layer_order(result.segmentation.axes)])
        self._go(np.asarray(world))
        layer.selected_label = int(row["index"])
        self._viewer.layers.selection.active = layer
        self._host.say(
            f"Object {int(row['index'])}, {row['prompt']}: {row['mean_probability']:.2f} on "
            f"average, {self._doubtful + 1} of {len(order)} from the most doubtful on."
        )

    def record_run(self, before: dict[Layer, tuple[Any, ...]], name: str) -> None:
        """Remember what a run did, to be undone."""
        self._doubtful = -1
        self.history.add(Several(f"run {name}", [Layers(self._viewer, before)]))

    def on_layer_removed(self, layer: Layer) -> None:
        """Forget what was done to a layer that the user removed, so that it is not held."""
        if self._moving:
            return
        self.history.forget(layer)
        for edit in self.history.edits:
            for run in edit.edits:
                if isinstance(run, Layers):
                    run.forget(layer)

    def kept_pixels(self, segmentation: Segmentation, image_id: str) -> KeptPixels | None:
        """Return what is kept of an image, on the grid of a map; None for nothing."""
        layer = self.into if self._is_open(self.into) else find_kept(self._viewer, image_id)
        if layer is None or not isinstance(layer.data, np.ndarray):
            return None
        grid = from_layer_order(layer.data, segmentation.axes)
        last = segmentation.extent.planes[-1]
        if grid.ndim != len(segmentation.extent.shape) or any(
            i >= n for i, n in zip(last, grid.shape, strict=False)
        ):
            return None
        return KeptPixels(grid, segmentation.extent)

    # --- finding --------------------------------------------------------------------------

    def _result(self) -> Result:
        result = self._host.result()
        if result is None or not self._is_open(result.labels_layer):
            raise ValueError("There is no result with labels. Run, or select one of its layers.")
        if result.busy and result.summary == "":
            raise ValueError("The labels are still being made. Wait a moment.")
        return result

    def _is_open(self, layer: Layer | None) -> bool:
        return layer is not None and layer in self._viewer.layers

    def _kept_layer(self, result: Result) -> tuple[Labels, Image]:
        image = next(
            (x for x in self._viewer.layers if str(x.unique_id) == result.place.layer_id), None
        )
        if image is None:
            raise ValueError("The image of this result is gone. Open it, and run again.")
        return self._own_layer(result) or add_kept(self._viewer, image), image

    def _own_layer(self, result: Result) -> Labels | None:
        layer = self.into if self._is_open(self.into) else None
        return layer or find_kept(self._viewer, result.place.layer_id)

    def _grid(self, layer: Labels) -> NDArray[Any]:
        result = self._host.result()
        assert result is not None
        grid: NDArray[Any] = from_layer_order(layer.data, result.segmentation.axes)
        return grid

    def _pixel(self, layer: Labels, world: World) -> tuple[int, ...]:
        """Return the pixel of a layer at a place, in the order of a map's axes."""
        result = self._result()
        at = np.empty(layer.ndim)
        at[layer_order(result.segmentation.axes)] = layer.world_to_data(world)
        return tuple(int(i) for i in np.rint(at))

    def _in(self, layer: Labels, grid: NDArray[Any], world: World) -> Object | None:
        result = self._result()
        classes = layer is result.labels_layer and result.instances is None
        return edits.object_at(grid, self._pixel(layer, world), connected=classes)

    def _object(self, world: World) -> tuple[Labels, NDArray[Any], Object]:
        """Return the object at a place, of the result or else of the kept ones."""
        result = self._result()
        for layer in (result.labels_layer, self._own_layer(result)):
            if layer is None or not layer.visible or layer.ndim != self._ndim(result):
                continue
            grid = self._grid(layer)
            found = self._in(layer, grid, world)
            if found is not None:
                return layer, grid, found
        raise ValueError("There is no object at that place. Point at one.")

    def _is_on_object(self, world: World) -> bool:
        try:
            self._object(world)
        except ValueError:
            return False
        return True

    def _numbered(self, world: World) -> tuple[Labels, NDArray[Any], Object]:
        """Return the object at a place, where each has a number of its own."""
        layer, grid, found = self._object(world)
        result = self._result()
        if layer is result.labels_layer and result.instances is None:
            raise ValueError(
                "Here each prompt is one label. Check 'One label per object', then join and cut."
            )
        return layer, grid, found

    def _object_of_result(self, world: World) -> tuple[Result, Object]:
        result = self._result()
        assert result.labels_layer is not None
        found = self._in(result.labels_layer, self._grid(result.labels_layer), world)
        if found is None:
            raise ValueError("There is no object of the result at that place. Point at one.")
        return result, found

    @staticmethod
    def _ndim(result: Result) -> int:
        return len(result.segmentation.extent.shape)

    def _move(self, how: Callable[[], Several | None]) -> Several | None:
        self._moving = True
        try:
            return how()
        finally:
            self._moving = False

    # --- doing ----------------------------------------------------------------------------

    def _do(self, name: str, changes: Sequence[Edit], ours: bool = False) -> None:
        made = [x for x in changes if not (isinstance(x, Change) and x.is_nothing)]
        result = self._result()
        layers = [x for x in (result.labels_layer, self._own_layer(result)) if x is not None]
        self.history.do(Several(name, made, layers))
        result.touch(by_hand=not ours)
        self._refresh(result)
        self._host.say(f"Done: {name}.")

    def _tell(self, what: str, edit: Several | None) -> None:
        if edit is None:
            self._host.say("There is nothing more.")
            return
        result = self._host.result()
        if result is not None:
            result.touch(by_hand=False)
            self._refresh(result)
            if any(isinstance(one, Change) and one.stale for one in edit.edits):
                self._host.relabel()  # the labels were made anew since
        self._host.say(f"{what}: {edit.name}.")

    def _refresh(self, result: Result) -> None:
        for layer in (result.labels_layer, self._own_layer(result)):
            if layer is not None and self._is_open(layer):
                layer.refresh()

    def _go(self, world: NDArray[Any]) -> None:
        """Show a place in the middle of the window."""
        first = self._viewer.dims.ndim - len(world)
        for axis in self._viewer.dims.not_displayed:
            if axis >= first:
                self._viewer.dims.set_point(axis, world[axis - first])
        camera(self._viewer).center = [
            world[axis - first] if axis >= first else 0.0 for axis in self._viewer.dims.displayed
        ]


def _is_of_run(layer: Layer) -> bool:
    return layer.metadata.get(METADATA, {}).get("role") in (PROBABILITY, LABELS)


def _parts(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number for each connected part of each label, plane by plane."""
    numbers = np.zeros(labels.shape, np.int64)
    count = 0
    for plane in np.ndindex(labels.shape[:-2]):
        found = measure.label(labels[plane], background=0, connectivity=2)
        numbers[plane] = np.where(found > 0, found + count, 0)
        count += int(found.max(initial=0))
    return numbers


def _resampled(
    numbers: NDArray[Any], part: Object, segmentation: Segmentation
) -> NDArray[np.int64]:
    """Return the numbers of a map under a plane's box of its image."""
    extent = segmentation.extent
    place = extent.planes.index(tuple(one.start for one in part.box[:-2]))
    plane = numbers.reshape(-1, *numbers.shape[-2:])[place]
    at = [
        np.clip(np.rint((np.arange(s.start, s.stop) - o) / f).astype(int), 0, n - 1)
        for s, o, f, n in zip(part.box[-2:], extent.origin, extent.factor, plane.shape, strict=True)
    ]
    found: NDArray[np.int64] = plane[np.ix_(*at)].astype(np.int64)
    return found.reshape(part.mask.shape)
