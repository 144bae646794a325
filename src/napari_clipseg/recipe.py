"""A recipe: all that is asked for in a run, besides the image; frozen, and written as JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.labels.threshold import semantic_labels
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.images.tiling.planning import Planes
from napari_clipseg.prompts import Prompt, Prompts, as_prompts, own_names, resolved
from napari_clipseg.recipe_json import (
    fields_of,
    fields_to_dict,
    hash_of,
    prompts_to_json,
    to_text,
)

Threshold: TypeAlias = float | Sequence[float] | NDArray[np.floating] | Literal["otsu"] | None
Region: TypeAlias = Sequence[Sequence[float]] | NDArray[np.floating[Any]]

OTSU = "otsu"
METADATA = "napari_clipseg"  # the entry of a layer's metadata, and of an OME-Zarr's attributes
WEIGHTS = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, eq=False, init=False)
class Recipe:
    """All that is asked for in a run, besides the image and where its map is written.

    Two recipes are equal if their JSON is. `segment`, `preview` and `plan` take a recipe, or its
    fields by name.

    Parameters
    ----------
    prompts : prompt, iterable of prompts, or mapping from a name to a prompt
        Each a text such as "red rings", an array that shows an example (any image of one plane),
        an `Example`, a vector of `Engine.embed`, or an `Average` or `Blend` of these.
    names : sequence of str or None
        What each prompt is called in results; None, and no names at all, stand for the text
        itself, or "image prompt 1" and so on. A mapping as `prompts` gives the names, too.
    negative_prompts : prompt or iterable of prompts
        What is not wanted: a pixel at which such a prompt is the likeliest becomes background.
    model : str or Path
        "demo", a checkpoint folder, or the name of a downloaded checkpoint of the hub.
    weights : str, optional
        "sha256:" and the hash of the checkpoint's weights. With it, other weights of the same
        name are refused. The recipe of a result has it.
    detail : Detail, "whole", "medium", "fine", or float
        The tiles in which the model sees a plane; a number is the side of a tile in pixels.
    planes : mapping, optional
        Such as ``{"z": slice(3, 9), "t": 0}``; all planes by default.
    region : array-like, optional
        ``(corners, 2)``, row and column in pixels of the image: two corners of a rectangle, or an
        outline. The map covers its rows and columns.
    level : int, optional
        Which level of a multiscale image; by default the coarsest that is fine enough.
    appearance : Appearance, optional
        Contrast, gamma, inversion, channels and colormap that the model sees; by default the
        image's own.
    threshold : float, sequence of float, or "otsu", optional
        Probability, 0 to 1, above which a pixel is labelled: one for all prompts, or one each,
        negative prompts last. By default the checkpoint's own. "otsu" finds one for each map, see
        `images.labels.threshold.otsu_threshold`.
    low_threshold : float, optional
        For hysteresis: pixels above this are labelled, too, where they touch one above the
        threshold. Where "otsu" finds a lower threshold, that one counts.
    instances : InstanceOptions, optional
        Makes each object a label of its own; without it, each prompt is one label.
    refine_edges : bool
        Whether maps follow the edges of the image, see `images.edges.refine.refine_edges`.

    Raises
    ------
    ValueError
        If a field has a value that is not possible; the message says which.
    TypeError
        If a prompt is of another type, or there is no such field.

    Examples
    --------
    >>> from napari_clipseg import Recipe
    >>> recipe = Recipe(["nuclei", "red rings"], negative_prompts="debris", threshold=0.4)
    >>> recipe.prompt_names
    ('nuclei', 'red rings')
    >>> recipe.replace(threshold=0.5).threshold
    0.5
    """

    prompts: tuple[Prompt, ...]
    names: tuple[str | None, ...]
    negative_prompts: tuple[Prompt, ...]
    model: str
    weights: str | None
    detail: Detail
    planes: dict[str, int | slice | range] | None
    region: NDArray[np.float64] | None
    level: int | None
    appearance: Appearance
    threshold: float | tuple[float, ...] | str | None
    low_threshold: float | None
    instances: InstanceOptions | None
    refine_edges: bool

    def __init__(
        self,
        prompts: Prompts,
        *,
        names: Sequence[str | None] = (),
        negative_prompts: Prompt | Iterable[Prompt] = (),
        model: str | Path = "demo",
        weights: str | None = None,
        detail: Detail | str | float = "whole",
        planes: Planes | None = None,
        region: Region | None = None,
        level: int | None = None,
        appearance: Appearance | None = None,
        threshold: Threshold = None,
        low_threshold: float | None = None,
        instances: InstanceOptions | None = None,
        refine_edges: bool = False,
    ) -> None:
        if isinstance(prompts, Mapping):
            if names:
                raise ValueError("Got names and a mapping of prompts; give the names once.")
            names, prompts = tuple(prompts), tuple(prompts.values())
        wanted = as_prompts(prompts)
        if not wanted:
            raise ValueError("Got no prompt; give a text such as 'nuclei', or a reference image.")
        _require_kind("names", names, list | tuple, "a list of texts")
        for name in names:
            if name is not None and not (isinstance(name, str) and name.strip()):
                raise ValueError(f"Got {name!r} as a prompt's name; wanted a text, or None.")
        if len(names) not in (0, len(wanted)):
            raise ValueError(f"Got {len(names)} names for {len(wanted)} prompts; give one each.")
        if isinstance(negative_prompts, Mapping):
            raise TypeError("negative_prompts is a mapping; wanted prompts: they have no names.")
        _require_kind("level", level, int | np.integer | None, "a whole number")
        if level is not None and level < 0:
            raise ValueError(f"level is {level}; wanted a whole number from 0.")
        _require_kind("refine_edges", refine_edges, bool | np.bool_, "True or False")
        _require_kind("low_threshold", low_threshold, float | int | np.number | None, "a number")
        _require_kind("appearance", appearance, Appearance | None, "an Appearance")
        _require_kind("instances", instances, InstanceOptions | None, "InstanceOptions()")
        if not isinstance(detail, Detail):
            detail = Detail(detail)  # type: ignore[arg-type]  # it says what it takes
        values = {
            "prompts": wanted,
            "names": tuple(names),
            "negative_prompts": as_prompts(negative_prompts),
            "model": str(model),
            "weights": _checked_weights(weights),
            "detail": detail,
            "planes": _checked_planes(planes),
            "region": _checked_region(region),
            "level": level,
            "appearance": appearance or Appearance(),
            "threshold": _checked_threshold(threshold),
            "low_threshold": low_threshold,
            "instances": instances,
            "refine_edges": bool(refine_edges),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        check_thresholds(self.threshold, low_threshold, len(self.all_prompts))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Recipe) or self is other:
            return self is other
        try:
            return self.to_dict() == other.to_dict()
        except (ValueError, TypeError):  # an example that cannot be read
            return False

    @property
    def all_prompts(self) -> tuple[Prompt, ...]:
        """The prompts, then the negative ones: one a map."""
        return (*self.prompts, *self.negative_prompts)

    @property
    def prompt_names(self) -> tuple[str, ...]:
        """What each of `prompts` is called."""
        given = self.names or (None,) * len(self.prompts)
        own = own_names(self.prompts, "image prompt")
        return tuple(name or mine for name, mine in zip(given, own, strict=True))

    @property
    def negative_names(self) -> tuple[str, ...]:
        """What each of `negative_prompts` is called."""
        return tuple(own_names(self.negative_prompts, "negative image prompt"))

    def replace(self, **changes: Any) -> Recipe:
        """Return the recipe with some fields changed.

        Names are those of the prompts, and the weights are those of the model: with new prompts,
        or another model, they are dropped unless new ones are given.

        Raises
        ------
        TypeError
            If there is no such field.
        """
        _require_fields(changes)
        if "prompts" in changes:
            changes = {"names": (), **changes}
        if str(changes.get("model", self.model)) != self.model:
            changes = {"weights": None, **changes}
        changed = dataclasses.replace(self, **changes)
        if not {"prompts", "names", "negative_prompts"} & set(changes):
            # Images are not compressed anew for each move of a threshold.
            vars(changed).update({k: x for k, x in vars(self).items() if k == "_json_prompts"})
        return changed

    def resolve(self) -> Recipe:
        """Return the recipe with its examples read, and its images as 8-bit RGB.

        Raises
        ------
        ValueError, TypeError
            If an image cannot be used; the message says which prompt.
        """
        changes: dict[str, Any] = {}
        number = 1
        for field in ("prompts", "negative_prompts"):
            prompts = getattr(self, field)
            changes[field] = tuple(resolved(one, i) for i, one in enumerate(prompts, number))
            number += len(prompts)
        return self.replace(names=self.names, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return what the JSON holds: strings, numbers, lists and mappings only."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields_to_dict({**fields, **self._json_prompts})

    @cached_property
    def _json_prompts(self) -> dict[str, list[Any]]:
        resolved = self.resolve()
        return {
            "prompts": prompts_to_json(resolved.prompts, self.names),
            "negative_prompts": prompts_to_json(resolved.negative_prompts),
        }

    @property
    def hash(self) -> str:
        """The hash of the recipe's JSON, after "sha256:"; it stands in each file of a result.

        Two recipes with the same hash are equal.

        Examples
        --------
        >>> Recipe("nuclei").hash == Recipe("nuclei", threshold=0.4).hash
        False
        """
        return hash_of(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "The recipe") -> Recipe:
        """Read what `to_dict` gave, of this version or an older one.

        Parameters
        ----------
        values : mapping
            The recipe.
        source : str
            Where it is from, for errors.

        Raises
        ------
        ValueError
            If it is no recipe, of a newer version, or a field is unknown or wrong; the message
            names the field.
        """
        try:
            return cls(**fields_of(values, source))
        except (ValueError, TypeError) as error:
            said = str(error)
            raise ValueError(said if said.startswith(source) else f"{source}: {said}") from error

    def save(self, path: str | Path) -> None:
        """Write the recipe as JSON; a file of that name is replaced.

        Examples
        --------
        >>> Recipe("nuclei", threshold=0.4).save("nuclei.json")
        >>> Recipe.load("nuclei.json").threshold
        0.4
        """
        Path(path).write_text(to_text(self.to_dict()), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a file that `save` wrote; see `from_dict`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no JSON, or no recipe.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON file: {error}. Choose a saved recipe.") from error
        return cls.from_dict(values, str(path))

    @classmethod
    def of(cls, layer: Any) -> Recipe:
        """Return the recipe that a result was made with.

        Parameters
        ----------
        layer : napari layer, OME-Zarr group, or mapping
            A layer that a run added, a group that a run wrote, or the metadata of either.

        Raises
        ------
        ValueError
            If it has no recipe.
        TypeError
            If it is a path.

        Examples
        --------
        >>> from napari_clipseg import segment
        >>> image = np.zeros((8, 8), dtype=np.uint8)
        >>> *_, (labels, options, kind) = segment(image, "nuclei").to_layers()
        >>> Recipe.of(options["metadata"]).prompts
        ('nuclei',)
        """
        if isinstance(layer, str | Path):
            raise TypeError(
                f"Got the path {str(layer)!r}; wanted a layer. The recipe of a file is "
                f"napari_clipseg.recipe_of(path)."
            )
        # A zarr group has metadata, too, of another kind.
        metadata = getattr(layer, "attrs", None) or getattr(layer, "metadata", None) or layer
        record = dict(metadata).get(METADATA) if isinstance(metadata, Mapping) else None
        name = getattr(layer, "name", type(layer).__name__)
        if not isinstance(record, Mapping) or "recipe" not in record:
            raise ValueError(
                f"{name!r} has no recipe; wanted a layer that napari-clipseg added, or an OME-Zarr "
                f"that it wrote."
            )
        return cls.from_dict(record["recipe"], f"The recipe of {name!r}")


def as_recipe(prompts: Recipe | Prompts, fields: Mapping[str, Any]) -> Recipe:
    """Return a recipe with fields changed, or one made of prompts and fields.

    Raises
    ------
    TypeError
        If there is no such field.
    """
    _require_fields(fields)
    if isinstance(prompts, Recipe):
        return prompts.replace(**fields)
    return Recipe(prompts, **fields)


def _require_fields(names: Iterable[str]) -> None:
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in names:
        if name not in known:
            raise TypeError(f"There is no field {name!r}; a recipe has {', '.join(known)}.")


def check_thresholds(
    threshold: float | Sequence[float] | str | None, low_threshold: float | None, maps: int
) -> None:
    """Refuse before a run what making labels would refuse after it."""
    if isinstance(threshold, str) and threshold != OTSU:
        raise ValueError(f"The threshold is {threshold!r}; wanted {OTSU!r}, or 0 to 1.")
    if threshold is None or isinstance(threshold, str):
        threshold = 1.0  # known later
    semantic_labels(np.zeros((maps, 1, 1), np.float32), threshold, low_threshold=low_threshold)


def _require_kind(field: str, value: object, kind: Any, wanted: str) -> None:
    number_wanted = not isinstance(True, kind)  # Python counts True as 1
    if not isinstance(value, kind) or (number_wanted and isinstance(value, bool)):
        raise TypeError(f"{field} is {value!r}; wanted {wanted}.")


def _checked_planes(planes: Planes | None) -> dict[str, int | slice | range] | None:
    _require_kind("planes", planes, Mapping | None, "a mapping such as {'z': 3}")
    for name, one in (planes or {}).items():
        field = f"planes[{name!r}]"
        _require_kind(field, one, int | np.integer | slice | range, "a number, a slice or a range")
        if isinstance(one, range) and len({i < 0 for i in one}) > 1:
            raise ValueError(f"{field} is {one!r}; wanted numbers that count from one end only.")
    return None if planes is None else dict(planes)


def _checked_region(region: Region | None) -> NDArray[np.float64] | None:
    """Return a copy that nobody else writes to."""
    if region is None:
        return None
    try:
        corners = np.array(region, dtype=float)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 2:
        raise ValueError(
            f"region is {region!r}; wanted (corners, 2): row and column of two corners of a "
            f"rectangle, or of all corners of an outline."
        )
    corners.setflags(write=False)
    return corners


def _checked_threshold(threshold: Threshold) -> float | tuple[float, ...] | str | None:
    if threshold is None or isinstance(threshold, str):
        return threshold
    values = np.asarray(threshold)
    if values.dtype.kind not in "fiu" or values.ndim > 1:
        raise TypeError(f"threshold is {threshold!r}; wanted a number, one for each, or {OTSU!r}.")
    return tuple(map(float, values)) if values.ndim else float(values)


def _checked_weights(weights: str | None) -> str | None:
    if weights is not None and not (isinstance(weights, str) and WEIGHTS.fullmatch(weights)):
        raise ValueError(
            f"The weights are {weights!r}; wanted 'sha256:' and 64 hexadecimal digits, as the "
            f"recipe of a result has them."
        )
    return weights
