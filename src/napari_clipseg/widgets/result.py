"""Results as layers: one probability map a prompt, and one Labels layer for all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap, label_colormap
from napari.utils.notifications import show_info
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_clipseg import __version__
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.labels.linking import object_classes
from napari_clipseg.results import Segmentation
from napari_clipseg.widgets.layers import placement
from napari_clipseg.widgets.worker import Job

if TYPE_CHECKING:
    import napari

KEY = "napari_clipseg"
PROBABILITY, LABELS = "probability", "labels"
EDITED = "edited"
SETTLED_MS = 300  # without a new threshold, until objects are measured
COLORS = ("magenta", "green", "cyan", "yellow", "red", "blue")

# What was last written into each Labels layer, to notice the user's own strokes.
_written: WeakKeyDictionary[Labels, NDArray[np.int32]] = WeakKeyDictionary()


def is_result(layer: Layer) -> bool:
    """Return whether a layer was made by this plugin."""
    return KEY in layer.metadata


class Result:
    """One run's layers, and the threshold that its labels follow.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are shown. Layers of an earlier run that asked the same of the same
        image are updated; labels that were edited by hand since are left alone.
    source : Image
        The layer that was segmented.
    job : Job
        What was asked.
    segmentation : Segmentation
        What came out.
    """

    def __init__(
        self, viewer: napari.Viewer, source: Image, job: Job, segmentation: Segmentation
    ) -> None:
        self._viewer = viewer
        self._job = job
        self._segmentation = segmentation
        self._place = placement(source, segmentation)
        planes, region = segmentation.planes, job.choices.region
        self._record = {
            "version": __version__,
            "source": source.name,
            "source_id": str(source.unique_id),
            "plane": list(planes[0]) if len(planes) == 1 else "all",
            "asked": job.asked,
            "unwanted": list(segmentation.prompts[len(job.names) :]),
            "region": None if region is None else np.round(region, 2).tolist(),
            "model": segmentation.model,
            "complete": segmentation.complete,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self.probability_layers = [self._show_map(i) for i in range(len(job.names))]
        self.labels_layer = self._show_labels()
        self._measure = QTimer()
        self._measure.setSingleShot(True)
        self._measure.setInterval(SETTLED_MS)
        self._measure.timeout.connect(self.measure)
        self.measure()

    @property
    def threshold(self) -> float:
        """What the labels are made with."""
        return float(np.ravel(self._segmentation.threshold)[0])

    def set_labelling(self, threshold: float, instances: InstanceOptions | None) -> None:
        """Make the labels anew from the kept probability maps; the model is not asked."""
        if self.labels_layer not in self._viewer.layers:
            return
        self._segmentation = replace(
            self._segmentation,
            labelling=replace(
                self._segmentation.labelling, threshold=threshold, instances=instances
            ),
        )
        self.labels_layer = self._show_labels()
        self._measure.start()  # once the threshold rests

    def measure(self) -> None:
        """Give the Labels layer the table of its objects."""
        if self.labels_layer in self._viewer.layers and not _edited(self.labels_layer):
            self.labels_layer.features = self._segmentation.objects

    def summary(self) -> str:
        """Return a line for each prompt: what part of the image its label covers."""
        classes, labels = self._segmentation.classes, self._segmentation.labels
        by_object = self._segmentation.labelling.instances is not None
        class_of = object_classes(labels, classes) if by_object else None
        lines = []
        for k, name in enumerate(self._job.names, start=1):
            line = f"{name}: {np.count_nonzero(classes == k) / classes.size:.1%} of the image"
            if class_of is not None:
                line += f", {np.count_nonzero(class_of == k)} objects"
            lines.append(line)
        return "\n".join(lines)

    def _show_map(self, i: int) -> Image:
        prompt = self._job.names[i]
        record = {**self._record, "role": PROBABILITY, "prompt": prompt}
        data = self._segmentation.probability[i]
        layer = self._find(record, "prompt")
        if layer is None:
            return self._viewer.add_image(
                data,
                name=f"{self._job.image.name} · {prompt}",
                colormap=COLORS[i % len(COLORS)],
                blending="additive",
                contrast_limits=(0, 1),
                metadata={KEY: record},
                **self._place,
            )
        self._update(layer, data, record)
        return layer

    def _show_labels(self) -> Labels:
        names = list(self._job.names)
        record = {
            **self._record,
            "role": LABELS,
            "prompts": names,
            "threshold": self.threshold,
        }
        by_object = self._segmentation.labelling.instances is not None
        colormap = label_colormap() if by_object else _label_colors(len(names))
        data = self._segmentation.labels
        layer = self._find(record, "prompts")
        if layer is not None and _edited(layer):
            show_info(
                f"{layer.name!r} was edited by hand and stays as it is; "
                f"the new labels are in a layer of their own."
            )
            layer.metadata[KEY] = {**layer.metadata[KEY], EDITED: True}
            layer = None
        if layer is None:
            layer = self._viewer.add_labels(
                data,
                name=f"{self._job.image.name} · {', '.join(names)} · labels",
                colormap=colormap,
                opacity=0.5,
                metadata={KEY: record},
                **self._place,
            )
        else:
            self._update(layer, data, record)
            if type(layer.colormap) is not type(colormap):
                layer.colormap = colormap
        _written[_unwrapped(layer)] = data.copy()
        return layer

    def _find(self, record: dict[str, Any], *also: str) -> Any:
        """Return the viewer's layer that was made for the same question, and is still ours."""
        keys = ("role", "source_id", "plane", *also)
        for layer in self._viewer.layers:
            found = layer.metadata.get(KEY, {})
            ours = found and not found.get(EDITED)
            if ours and all(found.get(key) == record[key] for key in keys):
                return layer
        return None

    def _update(self, layer: Layer, data: NDArray[Any], record: dict[str, Any]) -> None:
        layer.data = data
        layer.metadata[KEY] = record
        for name, value in self._place.items():
            setattr(layer, name, value)


def _edited(layer: Labels) -> bool:
    """Return whether labels are no longer as they were written, or may not be."""
    written = _written.get(_unwrapped(layer))
    return written is None or not np.array_equal(layer.data, written)


def _unwrapped(layer: Labels) -> Labels:
    """Return the layer itself: plugins get napari's objects in wrappers made at each access."""
    return getattr(layer, "__wrapped__", layer)


def _label_colors(count: int) -> DirectLabelColormap:
    """Give each label the colour of its probability map; labels painted besides are white."""
    colors: dict[int | None, str] = {0: "transparent", None: "white"}
    colors |= {k: COLORS[(k - 1) % len(COLORS)] for k in range(1, count + 1)}
    return DirectLabelColormap(color_dict=colors)
