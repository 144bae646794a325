"""Results as layers: one probability map a prompt, and one Labels layer for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap, label_colormap
from napari.utils.notifications import show_info
from qtpy.QtCore import QTimer

from napari_clipseg.cache import content_digest
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.labels.linking import object_classes
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import DIGEST, EDITED, LayerData, Segmentation

if TYPE_CHECKING:
    import napari

LAYER_ID = "layer_id"  # a layer that the user duplicated is theirs
SAME = ("role", "source_id", "plane", "prompt", "prompts")  # of layers that a new run updates
REST_MS = 300  # without a new threshold, until objects are measured


def is_result(layer: Layer) -> bool:
    """Return whether a layer was made by this plugin."""
    return METADATA in layer.metadata


class Result:
    """One run's layers, and the threshold that its labels follow.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are shown. Layers of an earlier run that asked the same of the same
        image are updated; labels that were edited by hand since are left alone.
    source : Image
        The layer that was segmented.
    segmentation : Segmentation
        What came out.
    below : Layer, optional
        A layer that is being painted on: new layers come below it, maps hidden, and it stays
        selected. By default they come on top.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        source: Image,
        segmentation: Segmentation,
        *,
        below: Layer | None = None,
    ) -> None:
        self._viewer = viewer
        self._below = below
        # Not the layer, which may be removed or get other data.
        self._place = segmentation.place_on(source)
        self._segmentation = segmentation
        *maps, labels = segmentation.to_layers(self._place, features=False)
        self._maps = [self._show(one) for one in maps]
        self.labels_layer: Labels = self._show_labels(labels)
        self._measure = QTimer()
        self._measure.setSingleShot(True)
        self._measure.setInterval(REST_MS)
        self._measure.timeout.connect(self.measure)
        self.measure()

    @property
    def threshold(self) -> float:
        """What the labels are made with."""
        return float(np.ravel(self._segmentation.threshold)[0])

    @property
    def segmentation(self) -> Segmentation:
        """What is shown."""
        return self._segmentation

    @property
    def is_shown(self) -> bool:
        """Whether the labels are still in the viewer."""
        return self.labels_layer in self._viewer.layers

    def relabel(self, threshold: float, instances: InstanceOptions | None) -> None:
        """Make the labels anew of the same probability maps; the model does not run."""
        if not self.is_shown:
            return
        self._segmentation = self._segmentation.relabel(threshold=threshold, instances=instances)
        made = self._segmentation.to_layers(self._place, features=False)[-1]
        self.labels_layer = self._show_labels(made)
        self._measure.start()  # once the threshold rests

    def remove_all_but(self, other: Result) -> None:
        """Remove the layers that another result did not update; labels edited by hand stay."""
        kept = [*other._maps, other.labels_layer]
        for layer in (*self._maps, self.labels_layer):
            edited = isinstance(layer, Labels) and _edited(layer)
            if layer not in kept and layer in self._viewer.layers and not edited:
                self._viewer.layers.remove(layer)

    def measure(self) -> None:
        """Give the Labels layer the table of its objects."""
        if self.is_shown and not _edited(self.labels_layer):
            self.labels_layer.features = self._segmentation.objects

    def summary(self) -> str:
        """Return a line for each prompt: what part of the image its label covers."""
        classes, labels = self._segmentation.classes, self._segmentation.labels
        by_object = self._segmentation.recipe.instances is not None
        class_of = object_classes(labels, classes) if by_object else None
        lines = []
        for k, name in enumerate(self._segmentation.prompt_names, start=1):
            line = f"{name}: {np.count_nonzero(classes == k) / classes.size:.1%} of the image"
            if class_of is not None:
                line += f", {np.count_nonzero(class_of == k)} objects"
            lines.append(line)
        return "\n".join(lines)

    def _show_labels(self, made: LayerData) -> Any:
        record = made[1]["metadata"][METADATA]
        layer = self._find(record)
        if layer is not None and _edited(layer):
            show_info(
                f"{layer.name!r} was edited by hand and stays as it is; "
                f"the new labels are in a layer of their own."
            )
            layer.metadata[METADATA] = {**layer.metadata[METADATA], EDITED: True}
        record[DIGEST] = content_digest(made[0]).hex()
        return self._show(made)

    def _show(self, made: LayerData) -> Layer:
        """Update the layer that was made for the same question, or add one."""
        data, options, kind = made
        record = options["metadata"][METADATA]
        layer = self._find(record)
        if layer is None and self._below is not None and self._below in self._viewer.layers:
            layer = Layer.create(data, {**options, "visible": kind == "labels"}, kind)
            add_below(self._viewer, layer, self._below)
        elif layer is None:
            layer = self._viewer.add_layer(Layer.create(data, options, kind))
        else:
            layer.data = data
            move(layer, options)
            if kind == "labels":
                _color(layer, options.get("colormap"))
            layer.metadata[METADATA] = record
        layer.metadata[METADATA][LAYER_ID] = str(layer.unique_id)
        return layer

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


def _packed(value: Any) -> Any:
    """Return a shear as napari packs it, which is given as a matrix; the rest as it is."""
    value = np.asarray(value)
    upper = (
        value.ndim == 2 and np.array_equal(value, np.triu(value)) and (np.diag(value) == 1).all()
    )
    return value[np.triu_indices(len(value), 1)] if upper else value


def _edited(layer: Labels) -> bool:
    """Return whether labels are no longer as they were written."""
    written = layer.metadata.get(METADATA, {}).get(DIGEST)
    return bool(written != content_digest(np.asarray(layer.data)).hex())


def _color(layer: Labels, by_label: dict[int | None, str] | None) -> None:
    """Color a layer by prompt, or by object where no colors are given; leave it if it is so."""
    if (by_label is None) == isinstance(layer.colormap, DirectLabelColormap):
        layer.colormap = label_colormap() if by_label is None else by_label
