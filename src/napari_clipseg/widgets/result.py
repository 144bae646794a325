"""Results as layers: one probability map a prompt, and one Labels layer for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap, label_colormap
from napari.utils.notifications import show_info

from napari_clipseg.images.io.layers import from_layer_order, layer_order
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.recipe import METADATA
from napari_clipseg.recipe_json import hash_of
from napari_clipseg.results import DIGEST, EDITED, LABELS, LayerData, LayerPlace, Segmentation
from napari_clipseg.widgets.colors import COLOR_OF, prompt_colors
from napari_clipseg.widgets.labelling import Made, PlaneMade, Wanted, digest_of, make, measure
from napari_clipseg.widgets.newest import Newest
from napari_clipseg.widgets.worker import Failure

if TYPE_CHECKING:
    import napari

LAYER_ID = "layer_id"  # a layer that the user duplicated is theirs
QUESTION = "question"  # what was asked, whatever became a label
SAME = ("role", "source_id", QUESTION)  # of layers that a new run updates
ORIGIN = "napari_clipseg_result"  # the entry of a layer's metadata with what it was made of
BY_HAND = "edited by hand"  # in place of the digest of labels
REST = 0.3  # seconds without a new threshold, until objects are measured
TURN = 0.02
# Fields of a recipe that change labels alone: another one makes no other result.
OF_LABELS = ("threshold", "low_threshold", "instances")


@dataclass(frozen=True, eq=False)
class Origin:
    """What a layer was made of; it lies in its metadata as long as there is the layer.

    Attributes
    ----------
    segmentation : Segmentation
        Maps and recipe.
    place : LayerPlace
        Where it lies.
    """

    segmentation: Segmentation = field(repr=False)
    place: LayerPlace = field(repr=False)


def is_result(layer: Layer) -> bool:
    """Return whether a layer was made by this plugin."""
    return METADATA in layer.metadata


def question_of(recipe: dict[str, Any], names: Sequence[str], prompt: int | None = None) -> str:
    """Return the hash of what was asked, whatever became a label.

    Parameters
    ----------
    recipe : dict
        JSON values of a recipe.
    names : sequence of str
        Of its prompts; one that was taught further is still the same prompt.
    prompt : int, optional
        Number of the one prompt whose map it is, from 0; by default all.
    """
    asked = {name: value for name, value in recipe.items() if name not in OF_LABELS}
    prompts = [
        {"learned": name} if isinstance(one, dict) and "learned" in one else one
        for one, name in zip(asked["prompts"], names, strict=True)
    ]
    asked["prompts"] = prompts
    if prompt is not None:
        asked |= {"prompts": [prompts[prompt]], "negative_prompts": []}
    return hash_of(asked)


class Result:
    """One run's layers, and the threshold that its labels follow.

    Labels of large images are made in a thread: those of the plane that is shown first, and of
    several thresholds the newest.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are shown.
    origin : Origin
        What they are made of.
    below : Layer, optional
        A layer that is being painted on: new layers come below it, and it stays selected. By
        default they come on top.
    changed : callable
        Called when there are new labels.
    failed : callable
        Called with an error.
    kept : callable
        Called with the segmentation and the id of its image: gives what the user keeps there, as
        `kept.KeptPixels`, or None. Nothing is labelled there.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        origin: Origin,
        *,
        below: Layer | None = None,
        changed: Callable[[], None] = lambda: None,
        failed: Callable[[Exception], None] = lambda _: None,
        kept: Callable[[Segmentation, str], Any] = lambda *_: None,
    ) -> None:
        self._viewer, self._below = viewer, below
        self._changed, self._failed, self._kept = changed, failed, kept
        # Not the layer that was segmented, which may be removed or get other data.
        self._place, self._segmentation = origin.place, origin.segmentation
        self._asked = origin.segmentation
        self._maps: list[Layer] = []
        self.labels_layer: Labels | None = None
        self.summary = ""
        self._painted = False
        self._writing = False
        self._labelling = Newest(make, told=self._on_plane, returned=self._on_made)
        self._measuring = Newest(_measure, told=lambda _: None, returned=self._on_measured)
        self._find_layers()

    @classmethod
    def of(cls, viewer: napari.Viewer, layer: Layer, **how: Any) -> Result | None:
        """Return the result that a layer is of, or None; `how` as for a new one."""
        origin = layer.metadata.get(ORIGIN)
        ours = layer.metadata.get(METADATA, {}).get(LAYER_ID) == str(layer.unique_id)
        return cls(viewer, origin, **how) if origin is not None and ours else None

    # --- what it is -----------------------------------------------------------------------

    @property
    def segmentation(self) -> Segmentation:
        """What the labels that are shown were made of."""
        return self._segmentation

    @property
    def place(self) -> LayerPlace:
        """Where it lies."""
        return self._place

    @property
    def threshold(self) -> float | tuple[float, ...]:
        """What the labels are made with: for all prompts, or one each."""
        values = np.ravel(self._asked.threshold)
        alike = (values == values[0]).all()
        return float(values[0]) if alike else tuple(map(float, values))

    @property
    def instances(self) -> InstanceOptions | None:
        """How objects are told apart; None where they are not."""
        return self._asked.recipe.instances

    @property
    def title(self) -> str:
        """What it is called."""
        if self.labels_layer is not None and self.labels_layer in self._viewer.layers:
            return str(self.labels_layer.name).removesuffix(f" · {LABELS}")
        return " · ".join(filter(None, (self._place.name, ", ".join(self._asked.prompt_names))))

    @property
    def layers(self) -> list[Layer]:
        """Its layers that are in the viewer: the maps, then the labels."""
        own = [*self._maps, *([self.labels_layer] if self.labels_layer is not None else [])]
        return [layer for layer in own if layer in self._viewer.layers]

    @property
    def is_shown(self) -> bool:
        """Whether any of its layers is in the viewer."""
        return bool(self.layers)

    @property
    def busy(self) -> bool:
        """Whether labels are being made."""
        return self._labelling.busy or self._measuring.busy

    # --- making labels --------------------------------------------------------------------

    def show(self, made: Made | None = None) -> None:
        """Show the maps, and make the labels if they are not made yet."""
        wanted = self._wanted(self._segmentation, self.labels_layer)
        if wanted.kept is not None:
            made = None  # it was made without knowing of that
        wanted = replace(wanted, made=made)
        small = wanted.small
        if small:  # an error leaves no layer behind
            made = make(wanted)
            if made.objects is None:
                made = replace(made, objects=measure(made.segmentation, made.labels))
        small |= self.labels_layer is None
        maps = self._layer_data(self._segmentation)[:-1]
        self._maps = [self._show(one) for one in maps]
        if not small or made is None:
            self._labelling.ask(wanted)
            return
        self._take(made)

    def relabel(
        self, threshold: float | tuple[float, ...], instances: InstanceOptions | None
    ) -> None:
        """Make the labels anew of the same probability maps; the model does not run."""
        if not self.is_shown:
            return
        layer = self.labels_layer
        if layer is not None and (
            layer not in self._viewer.layers or METADATA not in layer.metadata
        ):
            self._let_go()
        self._measuring.stop()
        self._asked = self._segmentation.relabel(threshold=threshold, instances=instances)
        wanted = self._wanted(self._asked, self.labels_layer)
        if wanted.small and not self._labelling.busy:
            self._take(make(wanted))
        else:
            self._labelling.ask(wanted)

    def touch(self, *, by_hand: bool) -> None:
        """Take note that the labels were changed in place: by the user's hand, or by the dock."""
        layer = self.labels_layer
        if layer is None or METADATA not in layer.metadata:
            return
        if by_hand:
            self._on_painted()
        elif not self._painted and layer.metadata[METADATA].get(DIGEST) != BY_HAND:
            layer.metadata[METADATA][DIGEST] = None  # ours, though not as they were written

    def stop(self) -> None:
        """Drop what is being made."""
        self._labelling.stop()
        self._measuring.stop()

    def remove_all_but(self, other: Result) -> None:
        """Remove the layers that another result did not update; labels edited by hand stay."""
        kept = other.layers
        for layer in self.layers:
            edited = isinstance(layer, Labels) and self._edited(layer)
            if layer not in kept and not edited:
                self._viewer.layers.remove(layer)

    def measure(self) -> None:
        """Give the Labels layer the table of its objects, once the threshold rests."""
        layer = self.labels_layer
        if layer is None or layer not in self._viewer.layers or METADATA not in layer.metadata:
            return
        digest = layer.metadata[METADATA].get(DIGEST)
        self._measuring.ask((self._segmentation, layer.data, digest))

    def _wanted(self, segmentation: Segmentation, layer: Labels | None) -> Wanted:
        kept = self._kept(segmentation, self._place.layer_id)
        gone = layer is None or layer not in self._viewer.layers or METADATA not in layer.metadata
        if gone or layer is None:
            return Wanted(segmentation, plane=self._shown_plane(), kept=kept)
        digest = BY_HAND if self._painted else layer.metadata[METADATA].get(DIGEST)
        return Wanted(segmentation, layer.data, digest, self._shown_plane(), kept)

    def _shown_plane(self) -> tuple[int, ...] | None:
        """Return the place in the map of the plane that the viewer shows."""
        layer = self.labels_layer
        if layer is None or layer not in self._viewer.layers or layer.ndim == 2:
            return None
        at = layer.world_to_data(self._viewer.dims.point)
        order = layer_order(self._segmentation.axes)
        of_map = np.empty(layer.ndim)
        of_map[order] = at
        planes = self._segmentation.extent.planes_shape
        return tuple(int(np.clip(round(i), 0, n - 1)) for i, n in zip(of_map, planes, strict=False))

    # --- slots ----------------------------------------------------------------------------

    def _on_plane(self, made: PlaneMade) -> None:
        layer = self.labels_layer
        if layer is None or layer not in self._viewer.layers or self._painted:
            return
        record = layer.metadata.get(METADATA)
        if record is None or not layer.data.flags.writeable:
            return
        record[DIGEST] = None  # partly old, partly new, and all ours
        from_layer_order(layer.data, self._segmentation.axes)[made.plane] = made.labels
        layer.refresh()

    def _on_made(self, wanted: Wanted, outcome: Made | Failure) -> None:
        if isinstance(outcome, Failure):
            self._failed(outcome.error)
        elif self.is_shown:
            self._take(outcome)

    def _take(self, made: Made) -> None:
        self._segmentation = made.segmentation
        self.summary = made.summary
        layer = self.labels_layer
        options = self._layer_data(made.segmentation)[-1][1]
        edited = (
            layer is not None and layer in self._viewer.layers and (made.edited or self._painted)
        )
        if edited and layer is not None:
            show_info(
                f"{layer.name!r} was edited by hand and stays as it is; "
                f"the new labels are in a layer of their own."
            )
            layer.metadata[METADATA] = {**layer.metadata[METADATA], EDITED: True}
            self._let_go()
        options["metadata"][METADATA][DIGEST] = made.digest
        shown = self._show((made.labels, options, "labels"))
        if shown is not self.labels_layer:
            self._hold(shown)
        self._painted = False
        for one in self._maps:
            if one in self._viewer.layers and ORIGIN in one.metadata:
                one.metadata[ORIGIN] = shown.metadata[ORIGIN]
        if made.objects is None:
            self.measure()
        else:
            shown.features = made.objects
        self._changed()

    def _on_measured(self, question: Any, outcome: Any) -> None:
        layer = self.labels_layer
        if isinstance(outcome, Failure):
            self._failed(outcome.error)
            return
        if layer is None or outcome is None or self._painted:
            return
        if layer in self._viewer.layers and layer.data is question[1]:
            layer.features = outcome

    def _on_painted(self) -> None:
        self._painted = True
        layer = self.labels_layer
        if layer is not None and METADATA in layer.metadata:
            layer.metadata[METADATA][DIGEST] = BY_HAND

    # --- layers ---------------------------------------------------------------------------

    def _layer_data(self, segmentation: Segmentation) -> list[LayerData]:
        """Return the maps and the labels as layers; the data of the labels are a blank."""
        blank = np.broadcast_to(np.int32(0), segmentation.extent.shape)
        bare = segmentation.with_labels(blank)
        layers = bare.to_layers(self._place, features=False, copy=False)
        recipe = layers[0][1]["metadata"][METADATA]["recipe"]
        names = segmentation.prompt_names
        if self._below is None:
            colors = prompt_colors(self._viewer, names)
        else:  # strokes have the colors of their classes
            colors = {name: str(layers[k][1]["colormap"]) for k, name in enumerate(names)}
        origin = Origin(segmentation, self._place)
        for k, (_, options, kind) in enumerate(layers):
            record = options["metadata"][METADATA]
            options["metadata"][ORIGIN] = origin
            if kind == "labels":
                record[QUESTION], record[COLOR_OF] = question_of(recipe, names), colors
                if segmentation.recipe.instances is None:
                    own = {k: colors[name] for k, name in enumerate(names, start=1)}
                    options["colormap"] = {0: "transparent", None: "white", **own}
            else:
                color = colors[names[k]]
                record[QUESTION], record[COLOR_OF] = (
                    question_of(recipe, names, k),
                    {names[k]: color},
                )
                options |= {"colormap": color, "visible": False}
        return layers

    def _find_layers(self) -> None:
        maps = self._layer_data(self._segmentation)
        *found, labels = [self._find(options["metadata"][METADATA]) for _, options, _ in maps]
        self._maps = [layer for layer in found if layer is not None]
        if labels is not None:
            self._hold(labels)

    def _hold(self, layer: Labels) -> None:
        self._let_go()
        self.labels_layer = layer
        for event in (layer.events.paint, layer.events.labels_update):
            event.connect(self._on_painted)

    def _let_go(self) -> None:
        if self.labels_layer is not None:
            for event in (self.labels_layer.events.paint, self.labels_layer.events.labels_update):
                event.disconnect(self._on_painted)
        self.labels_layer, self._painted = None, False

    def _edited(self, layer: Labels) -> bool:
        """Return whether labels are no longer as they were written."""
        written = layer.metadata.get(METADATA, {}).get(DIGEST)
        return self._painted or (written is not None and written != digest_of(layer.data))

    def _show(self, made: LayerData) -> Any:
        """Update the layer that was made for the same question, or add one."""
        data, options, kind = made
        record = options["metadata"][METADATA]
        layer = self._find(record)
        if layer is None:
            options = {**options, "name": self._free_name(options["name"], record)}
            layer = Layer.create(data, options, kind)
            if self._below is not None and self._below in self._viewer.layers:
                add_below(self._viewer, layer, self._below)
            else:
                layer = self._viewer.add_layer(layer)
        else:
            layer.data = data
            move(layer, options)
            if kind == "labels" and _color(layer, options.get("colormap")):
                # napari draws a layer with another colormap at another depth, until it is told.
                self._viewer.layers.events.reordered()
            layer.metadata[METADATA] = record
            layer.metadata[ORIGIN] = options["metadata"][ORIGIN]
        layer.metadata[METADATA][LAYER_ID] = str(layer.unique_id)
        return layer

    def _free_name(self, name: str, record: dict[str, Any]) -> str:
        """Return a name that tells a result from an earlier one of the same prompts."""
        for layer in self._viewer.layers:
            other = layer.metadata.get(METADATA, {})
            if layer.name == name and other.get(QUESTION) not in (None, record[QUESTION]):
                words = _difference(record, other)
                return f"{name} ({words})" if words else name
        return name

    def _find(self, record: dict[str, Any]) -> Any:
        """Return the viewer's layer that was made for the same question, and is still ours."""
        for layer in self._viewer.layers:
            found = layer.metadata.get(METADATA, {})
            ours = found.get(LAYER_ID) == str(layer.unique_id) and not found.get(EDITED)
            if ours and all(found.get(key) == record.get(key) for key in SAME):
                return layer
        return None


def add_below(viewer: napari.Viewer, layer: Layer, other: Layer) -> None:
    """Add a layer below another; what is selected stays so."""
    selected = viewer.layers.selection.active
    viewer.layers.insert(viewer.layers.index(other), layer)
    viewer.layers.selection.active = selected


def move(layer: Layer, options: dict[str, Any]) -> None:
    """Move a layer; napari draws it anew for each attribute that is set, so none is in vain."""
    for name in ("scale", "translate", "rotate", "shear"):
        if not np.array_equal(_packed(getattr(layer, name)), _packed(options[name])):
            setattr(layer, name, options[name])
    if not np.array_equal(layer.affine.affine_matrix, options["affine"]):
        layer.affine = options["affine"]
    if tuple(layer.units) != tuple(options["units"]):
        layer.units = options["units"]


def place_of(source: Image, segmentation: Segmentation) -> Origin:
    """Return what the layers of a run on an image are made of."""
    return Origin(segmentation, segmentation.place_on(source))


def _packed(value: Any) -> Any:
    """Return a shear as napari packs it, which is given as a matrix; the rest as it is."""
    value = np.asarray(value)
    upper = (
        value.ndim == 2 and np.array_equal(value, np.triu(value)) and (np.diag(value) == 1).all()
    )
    return value[np.triu_indices(len(value), 1)] if upper else value


def _color(layer: Labels, by_label: dict[int | None, str] | None) -> bool:
    """Color a layer by prompt, or by object where no colors are given; return if it changed."""
    if (by_label is None) != isinstance(layer.colormap, DirectLabelColormap):
        return False
    layer.colormap = label_colormap() if by_label is None else by_label
    return True


def _difference(record: dict[str, Any], other: dict[str, Any]) -> str:
    """Return in words what one recipe has and the other has not."""
    mine, its = record["recipe"], other["recipe"]
    if record.get("source_id") != other.get("source_id"):
        return ""
    words = {
        "region": "another region" if its["region"] is not None else "a region",
        "detail": str(mine["detail"].get("tile_size") if mine["detail"] else "whole"),
        "model": str(mine["model"]).replace("\\", "/").rsplit("/", 1)[-1],
        "planes": f"plane {record.get('plane')}",
        "negative_prompts": "other negative prompts",
        "prompts": "another example",
    }
    if mine["region"] is None:
        words["region"] = "the whole image"
    for name, said in words.items():
        if mine[name] != its[name]:
            return said
    return ""


def _measure(question: Any, step: Callable[[Any], None]) -> Any:
    """Return the table of objects, or None where the labels were edited."""
    segmentation, data, digest = question
    end = time.monotonic() + REST
    while time.monotonic() < end:
        step(None)
        time.sleep(TURN)
    if digest != digest_of(data):
        return None
    return measure(segmentation, data)
