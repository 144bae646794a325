"""What was found: which result, from which probability on, objects, maps and doubt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, Container, FloatSlider, Label, SpinBox
from magicgui.widgets.bases import Widget
from napari.layers import Image, Layer

from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.recipe import METADATA
from napari_clipseg.results import PROBABILITY, Segmentation
from napari_clipseg.widgets.doubt import DoubtLayer
from napari_clipseg.widgets.keeping import Layers
from napari_clipseg.widgets.labelling import Made
from napari_clipseg.widgets.result import ORIGIN, Result, place_of

if TYPE_CHECKING:
    import napari

START_THRESHOLD = 0.3
NO_RESULT = "no result yet"
LONG_NAME = 12  # characters that are shown of a name
GREATEST = 1_000_000_000


class ResultBox(Container[Widget]):
    """The selected result, and how its labels follow from its maps.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose results are shown. The one whose layer is selected counts.
    say : callable
        Called with the summary of a result.
    fail : callable
        Called with an error.
    kept : callable
        Gives what the user keeps; see `Result`.
    ran : callable
        Called when a run was shown, with what `keeping.Layers.seen` gave before, and its title.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        *,
        say: Callable[[str], None],
        fail: Callable[[Exception], None],
        kept: Callable[[Segmentation, str], Any] = lambda *_: None,
        ran: Callable[[dict[Layer, tuple[Any, ...]], str], None] = lambda *_: None,
    ) -> None:
        self._viewer, self._say, self._ran = viewer, say, ran
        self._how: dict[str, Any] = {"changed": self._on_made, "failed": fail, "kept": kept}
        self.result: Result | None = None
        self.threshold_chosen = False
        self.which = Label(label="Which", value=NO_RESULT)
        self.threshold = FloatSlider(
            label="Threshold",
            min=0,
            max=1,
            step=0.01,
            value=START_THRESHOLD,
            tooltip="Probability above which a pixel is labelled, in the selected result.",
        )
        self.each = CheckBox(
            text="One threshold a prompt", tooltip="Each prompt gets a slider of its own."
        )
        self.sliders: Container[FloatSlider] = Container(widgets=[], labels=True, visible=False)
        self.sliders.margins = (0, 0, 0, 0)
        self.objects = CheckBox(
            text="One label per object",
            tooltip=(
                "Number the objects, touching ones split, linked from plane to plane, and measure "
                "each. Otherwise each prompt is one label."
            ),
        )
        self.least_size = SpinBox(
            label="Least size",
            min=0,
            max=GREATEST,
            value=0,
            tooltip="Objects of fewer pixels in a plane are left out. 0 leaves out crumbs alone.",
        )
        self.maps = CheckBox(
            text="Show maps", tooltip="Show the probability of each prompt, below the labels."
        )
        self.doubt = CheckBox(
            text="Show doubt", tooltip="A layer that is bright where the result is unsure."
        )
        self._doubt = DoubtLayer(viewer, fail)
        super().__init__(
            widgets=[
                self.which,
                self.threshold,
                self.each,
                self.sliders,
                self.objects,
                self.least_size,
                self.maps,
                self.doubt,
            ],
            labels=True,
            label="",
        )
        self.margins = (0, 0, 0, 0)
        self.which.native.setWordWrap(True)
        self.least_size.visible = False
        self.threshold.changed.connect(self._on_threshold)
        self.each.changed.connect(self._on_each)
        self.objects.changed.connect(self._on_objects)
        self.least_size.changed.connect(self.relabel)
        self.maps.changed.connect(self._on_maps)
        self.doubt.changed.connect(self._show_doubt)
        viewer.layers.selection.events.active.connect(self.follow)
        viewer.layers.events.removed.connect(self._on_removed)
        self._find_one()

    # --- what a run is asked for ------------------------------------------------------------

    def fields(self, layer: Image | None) -> dict[str, Any]:
        """Return what is chosen for a run on an image, as fields of a recipe.

        Parameters
        ----------
        layer : Image, optional
            By default images whose pixels are of size 1.
        """
        return {
            "threshold": self.threshold.value if self.threshold_chosen else None,
            "instances": self._instances_on(layer),
        }

    def _instances_on(self, layer: Image | None) -> InstanceOptions | None:
        if not self.objects.value:
            return None
        return self._instances((1.0, 1.0) if layer is None else as_source(layer).spacing)

    def _instances(self, spacing: Any) -> InstanceOptions:
        area = float(np.prod(spacing[-2:]))
        least = self.least_size.value
        return InstanceOptions(
            split="distance", link=True, min_size=least * area if least else None
        )

    # --- results ----------------------------------------------------------------------------

    def take(
        self,
        layer: Image,
        outcome: Segmentation | Made,
        *,
        below: Layer | None = None,
        as_chosen: bool = False,
    ) -> Result:
        """Show what came out of a run on an image, and select it.

        Parameters
        ----------
        layer : Image
            The image.
        outcome : Segmentation or Made
            With labels or without.
        below : Layer, optional
            See `Result`.
        as_chosen : bool
            Whether its labels get the threshold and the objects that the box shows.
        """
        made = outcome if isinstance(outcome, Made) else None
        segmentation = outcome.segmentation if isinstance(outcome, Made) else outcome
        if as_chosen:
            segmentation = segmentation.relabel(
                threshold=self.threshold.value, instances=self._instances_on(layer)
            )
            made = None
        result = Result(self._viewer, place_of(layer, segmentation), below=below, **self._how)
        before, self.result = self.result, result
        seen = Layers.seen(self._viewer)
        try:
            result.show(made)
        except Exception:
            self.result = before
            raise
        if below is None:  # what is taught is shown anew after each stroke
            self._ran(seen, result.title)
        self._show_fields()
        return result

    def follow(self) -> None:
        """Take the result whose layer is selected, if one is."""
        layer = self._viewer.layers.selection.active
        if layer is None or (self.result is not None and layer in self.result.layers):
            return
        found = Result.of(self._viewer, layer, **self._how)
        if found is not None:
            if self.result is not None and not self.result.busy:
                self.result.stop()
            self.result = found
            self._show_fields()

    def relabel(self) -> None:
        """Make the labels of the selected result as the box shows it."""
        if self.result is None:
            return
        options = None
        if self.objects.value:
            options = self._instances(self.result.segmentation.extent.spacing)
        self.result.relabel(self._thresholds(), options)

    def stop(self) -> None:
        """Drop what is being made."""
        self._doubt.stop()
        if self.result is not None:
            self.result.stop()

    # --- slots ------------------------------------------------------------------------------

    def _thresholds(self) -> float | tuple[float, ...]:
        if not self.each.value or self.result is None or not len(self.sliders):
            return float(self.threshold.value)
        own = tuple(slider.value for slider in self.sliders)
        negative = len(self.result.segmentation.recipe.negative_prompts)
        return (*own, *(min(own),) * negative)

    def _on_threshold(self) -> None:
        self.threshold_chosen = True
        with self.sliders.changed.blocked():
            for slider in self.sliders:
                slider.value = self.threshold.value
        self.relabel()

    def _on_each(self) -> None:
        self._show_sliders()
        self.relabel()

    def _on_objects(self) -> None:
        self.least_size.visible = self.objects.value
        self.relabel()

    def _on_maps(self) -> None:
        for layer in [] if self.result is None else self.result.layers:
            if layer.metadata.get(METADATA, {}).get("role") == PROBABILITY:
                layer.visible = self.maps.value

    def _show_doubt(self) -> None:
        if self.doubt.value and self.result is not None:
            self._doubt.show(self.result)
        else:
            self._doubt.hide()

    def _on_made(self) -> None:
        if self.result is not None:
            if self.doubt.value:
                self._doubt.show(self.result)
            self._say(self.result.summary)

    def _on_removed(self) -> None:
        if self.result is not None and not self.result.is_shown:
            self.result.stop()
            self._doubt.hide()
            self.result = None  # its maps need not stay in memory
            self._find_one()

    def _find_one(self) -> None:
        """Take the topmost result in the viewer; a dock that is opened again goes on with it."""
        self.follow()
        for layer in reversed(self._viewer.layers) if self.result is None else ():
            if ORIGIN in layer.metadata:
                self.result = Result.of(self._viewer, layer, **self._how)
            if self.result is not None:
                break
        self._show_fields()

    def _show_fields(self) -> None:
        result = self.result
        self.which.value = NO_RESULT if result is None else result.title
        if result is None:
            return
        with self.threshold.changed.blocked():
            self.threshold.value = float(np.ravel(result.threshold)[0])
        with self.objects.changed.blocked():
            self.objects.value = result.instances is not None
        self.least_size.visible = self.objects.value
        with self.each.changed.blocked():
            self.each.value = np.ndim(result.threshold) > 0
        with self.maps.changed.blocked():
            self.maps.value = any(layer.visible for layer in result.layers[:-1])
        self._show_sliders()
        if self.doubt.value:
            self._doubt.show(result)

    def _show_sliders(self) -> None:
        self.sliders.clear()
        result = self.result
        names = () if result is None else result.segmentation.prompt_names
        self.each.visible = len(names) > 1
        self.sliders.visible = shown = self.each.value and len(names) > 1
        self.threshold.visible = not shown
        if not shown or result is None:
            return
        values = (
            np.broadcast_to(np.ravel(result.threshold), (1,))
            if np.ndim(result.threshold) == 0
            else np.ravel(result.threshold)
        )
        for k, name in enumerate(names):
            value = float(values[k] if len(values) > 1 else values[0])
            short = name if len(name) <= LONG_NAME else f"{name[: LONG_NAME - 1]}…"
            slider = FloatSlider(
                label=short, min=0, max=1, step=0.01, value=value, tooltip=f"Threshold of {name}"
            )
            slider.changed.connect(self.relabel)
            self.sliders.append(slider)
