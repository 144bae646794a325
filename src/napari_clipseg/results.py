"""What a run gives: a probability map, and the labels, objects and layers that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import COLUMN, ROW, Axes
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.layers import placement, plain_placement, to_layer_order
from napari_clipseg.images.io.maps import DTYPES, open_map
from napari_clipseg.images.io.ome_zarr import read_attributes
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.labels.blocks.lazy import classes_by_blocks
from napari_clipseg.images.labels.blocks.progress import Steps
from napari_clipseg.images.labels.instances import InstanceOptions, instance_labels
from napari_clipseg.images.labels.objects import object_table
from napari_clipseg.images.labels.threshold import otsu_threshold, semantic_labels
from napari_clipseg.images.uncertainty import disagreement
from napari_clipseg.labelling import class_objects, classes_of, write_labels
from napari_clipseg.recipe import METADATA, OTSU, Recipe, Threshold
from napari_clipseg.recipe_json import check_hash, hash_of

Table = dict[str, NDArray[Any]]
# As napari takes layers: data, keyword arguments, type.
LayerData = tuple[Any, dict[str, Any], str]

PROBABILITY, LABELS = "probability", "labels"  # roles of layers
# Entries that the records of layers have besides those of `Segmentation.record`.
DIGEST = "digest"  # of the labels as they were written, to notice the user's strokes
EDITED = "edited"  # whether labels were changed by hand
# napari's colormaps, one a prompt.
COLORS = ("magenta", "green", "cyan", "yellow", "red", "blue")
UNCHANGED: Any = object()


@dataclass(frozen=True, eq=False)
class LayerPlace:
    """Where results lie on a napari layer.

    Attributes
    ----------
    name, layer_id : str
        Name and unique id of the layer; empty for none.
    arguments : dict
        The keyword arguments of a layer that lies there: scale, translate and the like.
    """

    name: str
    layer_id: str
    arguments: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a run gives.

    Attributes
    ----------
    probability : ndarray, or dask array where the map is in a file
        ``(prompts, *planes, height, width)``, 0 to 1, or 0 to 255 in uint8; the maps of negative
        prompts come last. Pixels that were not finite, or lie outside the region, have 0.
    threshold : float or sequence of float
        Probability above which a pixel is labelled; for all prompts, or one each.
    recipe : Recipe
        What gives this result again: with the hash of the weights, the contrast in numbers, and
        the checkpoint's threshold if none was given.
    extent : Extent
        What part of the image the map covers, and how its pixels lie on it.
    axes : tuple of str
        Names of the image's axes, as it was read.
    path : Path, optional
        Where the map is, if in a file.
    complete : bool
        False for what a run that was stopped had done; the rest is 0.

    Examples
    --------
    >>> from napari_clipseg import segment
    >>> from napari_clipseg.sample_data import load_sample
    >>> result = segment(load_sample("shapes").image, ["red rings", "nuclei"])
    >>> result.probability.shape, result.labels.shape
    ((2, 384, 512), (384, 512))
    >>> int(result.relabel(threshold=1).labels.max())
    0
    """

    probability: Any
    threshold: float | Sequence[float]
    recipe: Recipe
    extent: Extent
    axes: Axes = (ROW, COLUMN)
    path: Path | None = None
    complete: bool = True

    @classmethod
    def load(cls, path: str | Path) -> Segmentation:
        """Open the probability map that a run wrote into an OME-Zarr.

        Nothing is computed, and pixels are read when they are used. So a run that was killed while
        it told objects apart goes on with its map, which is whole.

        Parameters
        ----------
        path : str or Path
            The ``.zarr`` folder that `segment` wrote, or probability maps as OME-Zarr.

        Returns
        -------
        Segmentation
            What the run gave. `complete` is False if it was stopped before the map was whole.
            Labels of objects are made anew, beside those that are there.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        ValueError
            If it holds no map of a run, or was changed afterwards.
        ModuleNotFoundError
            If zarr is not installed.

        Examples
        --------
        >>> from napari_clipseg import Segmentation, segment
        >>> image = np.zeros((40, 60), dtype=np.uint8)
        >>> result = segment(image, "nuclei", output="map.zarr")
        >>> Segmentation.load("map.zarr").recipe == result.recipe
        True
        """
        path = Path(path).expanduser().absolute()
        if not path.is_dir():
            raise FileNotFoundError(
                f"There is no folder {path}; wanted the OME-Zarr of a map. A map in a .npy file "
                f"holds no recipe: segment the image again."
            )
        record = read_attributes(path).get(METADATA)
        fields = record if isinstance(record, Mapping) else {}
        needed = {"recipe", "extent", "axes", "threshold", "complete"} <= set(fields)
        if not needed or "maps" in fields or fields.get("dtype") not in DTYPES:
            raise ValueError(
                f"{path.name} holds no map of a run with all its prompts; wanted the OME-Zarr that "
                f"`segment` wrote. Choose another folder, or segment the image again."
            )
        check_hash(fields, path.name)
        recipe = Recipe.from_dict(fields["recipe"], f"The recipe of {path.name}")
        extent = Extent.from_dict(fields["extent"])
        return cls(
            open_map(path, extent, len(recipe.all_prompts)),
            fields["threshold"],
            recipe,
            extent,
            tuple(fields["axes"]),
            path,
            bool(fields["complete"]),
        )

    @property
    def prompt_names(self) -> tuple[str, ...]:
        """What the prompts are called: label k is the k-th, counted from 1."""
        return self.recipe.prompt_names

    @cached_property
    def classes(self) -> Any:
        """``(*planes, height, width)`` int32: 0 for nothing, k where prompt k wins.

        The likeliest prompt above its threshold wins; what a negative one wins is 0. A dask
        array where the map is one.
        """
        how = classes_of(self.recipe, self.threshold)
        label = partial(
            semantic_labels,
            threshold=how.threshold,
            low_threshold=how.low_threshold,
            negative=how.negative,
        )
        if isinstance(self.probability, np.ndarray):
            return label(self.probability)
        if how.low_threshold is not None:  # which follows a path anywhere in a plane
            return classes_by_blocks(self.probability, how)
        whole = self.probability.rechunk({0: -1})
        return whole.map_blocks(label, drop_axis=0, dtype=np.int32, meta=np.empty(0, np.int32))

    @cached_property
    def labels(self) -> Any:
        """``(*planes, height, width)`` int32: `classes`, or one label an object.

        The objects of a map in a file are written beside it, block by block, when they are first
        asked for; see `label_steps`.
        """
        if self.recipe.instances is None:
            return self.classes
        if self.path is not None:
            return self._in_file[0]
        if not isinstance(self.probability, np.ndarray):
            raise ValueError(
                f"This map of shape {self.probability.shape} is in no file, nor in memory; objects "
                f"are told apart where the map is. Load it: replace(result, "
                f"probability=numpy.asarray(result.probability))."
            )
        return self._instances(lambda: None)

    def _instances(self, step: Callable[[], None]) -> Any:
        options, spacing = self.recipe.instances, self.extent.spacing
        return instance_labels(self.classes, self.probability, options, spacing, step=step)

    def make_labels(self, step: Callable[[], None]) -> None:
        """Make `labels` now, of a map in memory, in parts.

        Parameters
        ----------
        step : callable
            Called before each part, such as a plane; what it raises stops the work.

        Examples
        --------
        >>> from napari_clipseg import segment
        >>> result = segment(np.zeros((20, 30), dtype=np.uint8), "nuclei")
        >>> result.make_labels(lambda: print("a part"))
        a part
        """
        step()
        if self.recipe.instances is not None and "labels" not in vars(self):
            _ = self.classes
            vars(self)["labels"] = self._instances(step)
        _ = self.labels

    def with_labels(self, labels: Any) -> Segmentation:
        """Return the result with these as its `labels`, so that they are not made again.

        Parameters
        ----------
        labels : ndarray of int
            ``(*planes, height, width)``.

        Examples
        --------
        >>> from napari_clipseg import segment
        >>> result = segment(np.zeros((20, 30), dtype=np.uint8), "nuclei")
        >>> int(result.with_labels(np.ones((20, 30), dtype=np.int32)).labels.max())
        1
        """
        same = replace(self)
        vars(same)["labels"] = labels
        return same

    @cached_property
    def objects(self) -> Table:
        """One row an object: label, prompt, area and place in units, mean probability.

        A table as `Labels.features` takes it; see `images.labels.objects.object_table`.
        """
        if self.path is not None:
            if self.recipe.instances is not None:
                return self._in_file[1]
            where = self.recipe, self.extent, self.path
            return class_objects(self.probability, self.threshold, *where)
        return object_table(
            np.asarray(self.labels),
            np.asarray(self.classes),
            np.asarray(self._wanted),
            self.prompt_names,
            self.extent.spacing,
            self.extent.unit,
        )

    def label_steps(self) -> Generator[Progress, None, None]:
        """Write the objects of a map in a file beside it, block by block.

        Into the OME-Zarr of the map, as ``labels/objects`` (``objects-2``, ... where there is such
        already), or into ``NAME.objects.npy`` beside ``NAME.npy``. Afterwards `labels` and
        `objects` are there at once; without this, the first of them that is asked for takes the
        time. Peak memory does not grow with the size of a plane.

        Yields
        ------
        Progress
            Before each step. Closed there, it leaves no labels.

        Raises
        ------
        ValueError
            If the map is in no file, or the recipe asks for no objects.
        FileNotFoundError
            If the map is gone.
        OSError
            If the disk has no room.

        Examples
        --------
        >>> from napari_clipseg import InstanceOptions, segment
        >>> image = np.zeros((40, 60), dtype=np.uint8)
        >>> result = segment(image, "nuclei", output="map.npy").relabel(instances=InstanceOptions())
        >>> for step in result.label_steps():
        ...     print(f"{step.done}/{step.total} {step.message}")
        0/5 Labelling pixels
        1/5 Joining objects
        2/5 Joining objects
        3/5 Measuring objects
        4/5 Writing labels
        >>> result.labels.shape
        (40, 60)
        """
        if self.path is None or self.recipe.instances is None:
            raise ValueError(
                "Objects are written for a map in a file, of a recipe with instances. Take "
                "`labels` and `objects`; or segment with output='map.zarr' and "
                "instances=InstanceOptions()."
            )
        if "_in_file" not in vars(self):
            metadata = {METADATA: self.record("int32")}
            where = self.extent, self.path, metadata
            steps = Steps(write_labels(self.probability, self.threshold, self.recipe, *where))
            for done, total, message in steps:
                yield Progress(done, total, message, replace(self))
            vars(self)["_in_file"] = steps.value

    @cached_property
    def _in_file(self) -> tuple[Any, Table]:
        """The labels of objects that were written beside the map, and their table."""
        for _ in self.label_steps():
            pass
        written: tuple[Any, Table] = vars(self)["_in_file"]
        return written

    @property
    def disagreement(self) -> NDArray[np.float32]:
        """``(*planes, height, width)``, 0 to 1: where the prompts say different things.

        Of use where they are wordings of one thing; see `images.uncertainty.disagreement`.
        """
        return disagreement(np.asarray(self._wanted))

    @cached_property
    def highest(self) -> tuple[float, ...]:
        """The highest probability of each prompt but the negative ones, 0 to 1."""
        full = 255 if self.probability.dtype == np.uint8 else 1
        return tuple(float(one.max(initial=0)) / full for one in map(np.asarray, self._wanted))

    @property
    def _wanted(self) -> Any:
        """The maps of all prompts but the negative ones."""
        return self.probability[: len(self.recipe.prompts)]

    def relabel(
        self,
        *,
        threshold: Threshold = None,
        low_threshold: float | None = UNCHANGED,
        instances: InstanceOptions | None = UNCHANGED,
    ) -> Segmentation:
        """Return the result with other labels of the same map; the model does not run.

        Parameters
        ----------
        threshold : float, sequence of float, or "otsu", optional
            See `Recipe`; unchanged by default.
        low_threshold : float or None, optional
            See `Recipe`; None for no hysteresis, unchanged by default.
        instances : InstanceOptions or None, optional
            See `Recipe`; None for one label a prompt, unchanged by default.

        Raises
        ------
        ValueError
            If a value is not possible.
        """
        changes: dict[str, Any] = {"low_threshold": low_threshold, "instances": instances}
        changes = {name: value for name, value in changes.items() if value is not UNCHANGED}
        if threshold is not None:
            changes["threshold"] = threshold
        recipe = self.recipe.replace(**changes)
        numbers = self.threshold if threshold is None else threshold_of(recipe, self.probability)
        changed = replace(self, recipe=recipe, threshold=numbers)
        vars(changed).update({k: x for k, x in vars(self).items() if k == "highest"})
        return changed

    def to_layers(
        self, layer: Any = None, *, features: bool = True, copy: bool = True
    ) -> list[LayerData]:
        """Return the maps and the labels as napari takes layers.

        Parameters
        ----------
        layer : napari image layer, or LayerPlace, optional
            What was segmented: its results get its place, its units and its order of axes. By
            default they lie on an image layer of plain pixels.
        features : bool
            Whether the labels get their `objects` as features; not for one label a prompt in an
            OME-Zarr.
        copy : bool
            Whether the labels are a copy, to be painted on, or share their memory with `labels`.

        Returns
        -------
        list of tuple
            ``(data, keyword arguments, type)``: an image a prompt, then the labels. Add one with
            ``viewer.add_layer(Layer.create(*one))``. Their metadata hold the recipe.

        Raises
        ------
        ValueError
            If the layer has another number of axes than the image that was segmented.

        Examples
        --------
        >>> from napari_clipseg import segment
        >>> layers = segment(np.zeros((20, 30), dtype=np.uint8), "nuclei").to_layers()
        >>> [(options["name"], kind) for _, options, kind in layers]
        [('nuclei', 'image'), ('nuclei · labels', 'labels')]
        """
        place = layer if isinstance(layer, LayerPlace) else self.place_on(layer)
        names, title = self.prompt_names, f"{place.name} · " if place.name else ""
        record = self._record_on(place)
        layers: list[LayerData] = []
        for i, name in enumerate(names):
            options = {
                "name": f"{title}{name}",
                "colormap": COLORS[i % len(COLORS)],
                "blending": "additive",
                "contrast_limits": (0, 255 if self.probability.dtype == np.uint8 else 1),
                "metadata": {METADATA: {**record, "role": PROBABILITY, "prompt": name}},
                **place.arguments,
            }
            layers.append((to_layer_order(self.probability[i], self.axes), options, "image"))
        options = {
            "name": f"{title}{', '.join(names)} · labels",
            "opacity": 0.5,
            "metadata": {METADATA: {**record, "role": LABELS, "prompts": list(names)}},
            **place.arguments,
        }
        if self.recipe.instances is None:
            options["colormap"] = label_colors(len(names))
        in_memory = isinstance(self.probability, np.ndarray)
        if features and (in_memory or self.recipe.instances is not None):
            options["features"] = self.objects
        labels = self.labels.copy() if copy else self.labels
        return [*layers, (to_layer_order(labels, self.axes), options, "labels")]

    def place_on(self, layer: Any = None) -> LayerPlace:
        """Return where the results lie on a layer, so that the layer need not be held for it.

        Parameters
        ----------
        layer : napari image layer, optional
            See `to_layers`.
        """
        if layer is None:
            return LayerPlace("", "", plain_placement(self.extent, self.axes))
        # The axes may have been given beside the image, and not stand in the layer's labels.
        axes = as_source(layer, axes=self.axes).axes
        return LayerPlace(layer.name, str(layer.unique_id), placement(layer, self.extent, axes))

    def record(self, dtype: str) -> dict[str, Any]:
        """Return what is recorded with a map of this type, in layers and files, as JSON values."""
        from napari_clipseg import __version__

        return {
            "version": __version__,
            "axes": list(self.axes),
            "dtype": dtype,
            "threshold": np.asarray(self.threshold, float).tolist(),
            "complete": self.complete,
            "extent": self.extent.to_dict(),
            "recipe": self._recipe_dict,
            "recipe_hash": hash_of(self._recipe_dict),
        }

    def _record_on(self, place: LayerPlace) -> dict[str, Any]:
        planes = self.extent.planes
        return {
            **self.record(str(self.probability.dtype)),
            "source": place.name,
            "source_id": place.layer_id,
            "plane": list(planes[0]) if len(planes) == 1 else "all",
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    @cached_property
    def _recipe_dict(self) -> dict[str, Any]:
        return self.recipe.to_dict()


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, total : int
        Steps.
    message : str
        What comes next, for a progress bar's text.
    partial : Segmentation, optional
        What is done so far; the rest of its map is still 0.

    Examples
    --------
    >>> from napari_clipseg import Progress
    >>> Progress(2, 5, "Segmenting the image").done
    2
    """

    done: int
    total: int
    message: str
    partial: Segmentation | None = field(default=None, repr=False)


def threshold_of(recipe: Recipe, probability: Any) -> float | Sequence[float]:
    """Return the numbers of a recipe's threshold; Otsu's is found on the maps."""
    if recipe.threshold == OTSU:
        return tuple(otsu_threshold(one) for one in probability)
    if np.ndim(recipe.threshold) == 0:  # type: ignore[arg-type]
        return float(recipe.threshold)  # type: ignore[arg-type]
    return tuple(map(float, recipe.threshold))  # type: ignore[arg-type]


def label_colors(count: int) -> dict[int | None, str]:
    """Return the color of each label, that of its map; labels painted besides are white."""
    colors: dict[int | None, str] = {0: "transparent", None: "white"}
    return colors | {k: COLORS[(k - 1) % len(COLORS)] for k in range(1, count + 1)}
