"""From an image and a recipe to a probability map and labels: where images meet the engine."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.loading import load
from napari_clipseg.images.edges.refine import refine_edges
from napari_clipseg.images.io.maps import DType, ProbabilityMap, create_map
from napari_clipseg.images.io.source import Reader, Source, as_source
from napari_clipseg.images.rendering import NOT_FINITE, Rendering, resolve
from napari_clipseg.images.tiling.mosaic import Mosaic, batches
from napari_clipseg.images.tiling.plan import Plan
from napari_clipseg.images.tiling.planning import make_plan
from napari_clipseg.prompts import Prompts
from napari_clipseg.recipe import METADATA, OTSU, Recipe, as_recipe, check_thresholds
from napari_clipseg.results import Segmentation, threshold_of

ANY = "anything"  # what is asked for changes no plan but its number of maps
Function = TypeVar("Function", bound=Callable[..., Any])


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


def _with_fields(function: Function) -> Function:
    """Show the fields of a recipe in the signature, where the function takes them by name."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    fields = inspect.signature(Recipe).parameters
    added = [p for name, p in fields.items() if name not in signature.parameters]
    function.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return function


@_with_fields
def segment(
    image: Any,
    prompts: Recipe | Prompts,
    *,
    axes: str | Sequence[str] | None = None,
    output: str | Path | None = None,
    dtype: DType = "float32",
    **fields: Any,
) -> Segmentation:
    """Segment an image with text or image prompts.

    Parameters
    ----------
    image : array-like, layer, OME-Zarr group, or Source
        A numpy, dask, zarr or xarray array of any real type, a napari image layer, an
        OME-Zarr group, or a list of ever coarser levels; see `images.io.source.as_source`.
    prompts : Recipe, or prompts
        What to look for; see `Recipe`.
    axes : str or sequence of str, optional
        Names of the image's axes, such as "tczyx"; see `images.io.axes.name_axes`.
    output : str or Path, optional
        A new ``.zarr`` folder (OME-Zarr) or ``.npy`` file for the map; memory by default.
    dtype : "float32", "float16" or "uint8"
        Of the map; in uint8, 255 stands for 1.
    **fields
        Fields of a recipe by name, such as ``threshold=0.4`` or ``detail="fine"``; they win over
        those of a recipe that is given. `model` may be an engine that `load` returned, too.

    Returns
    -------
    Segmentation
        With ``.probability``, ``(prompts, *planes, height, width)``, and ``.labels``,
        ``(*planes, height, width)``.

    Raises
    ------
    ValueError
        If the image, a prompt, another field or the checkpoint cannot be used; the message
        says why, and the cure.
    TypeError
        If the image holds no real numbers, a prompt is neither text nor array, or there is no
        field of that name.
    MemoryError
        If the map would not fit into memory, and no file is given for it.

    Examples
    --------
    >>> from napari_clipseg import segment
    >>> image = np.zeros((40, 60), dtype=np.uint8)
    >>> result = segment(image, ["nuclei", "red rings"], threshold=0.4)
    >>> result.probability.shape, result.labels.shape
    ((2, 40, 60), (40, 60))
    >>> again = segment(image, result.recipe)
    >>> bool((again.labels == result.labels).all())
    True
    """
    source = as_source(image, axes=axes)
    recipe, engine = _recipe_and_engine(prompts, fields)
    steps = segment_steps(source, recipe, engine=engine, output=output, dtype=dtype)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Segmentation = stop.value
            return result


def segment_steps(
    source: Source,
    recipe: Recipe,
    *,
    engine: Engine | None = None,
    output: str | Path | None = None,
    dtype: DType = "float32",
) -> Generator[Progress, None, Segmentation]:
    """Do what `segment` does, step by step.

    Parameters
    ----------
    source : Source
        The image.
    recipe : Recipe
        What is asked for.
    engine : Engine, optional
        Instead of that of the recipe's model.
    output, dtype
        See `segment`.

    Yields
    ------
    Progress
        Before each step. The run can be stopped there; what is done is in `Progress.partial`.

    Returns
    -------
    Segmentation
        The result, as the generator's return value.

    Examples
    --------
    >>> from napari_clipseg import Recipe, as_source, segment_steps
    >>> source = as_source(np.zeros((3, 40, 60), dtype=np.uint8))
    >>> for step in segment_steps(source, Recipe("nuclei")):
    ...     print(f"{step.done}/{step.total} {step.message}")
    0/1 Loading the model
    1/5 Reading the prompts
    2/5 Segmenting the image: plane 1 of 3, tile 1 of 3
    3/5 Segmenting the image: plane 2 of 3, tile 2 of 3
    4/5 Segmenting the image: plane 3 of 3, tile 3 of 3
    """
    if recipe.refine_edges and output is not None:
        raise ValueError(
            f"Edges are refined in memory, and the map is to be written into {str(output)!r}. "
            f"Leave out one of the two."
        )
    yield Progress(0, 1, "Loading the model")
    engine = engine or load(recipe.model)
    _require_weights(recipe, engine)
    plan_ = _plan(source, recipe, engine)
    total = 2 + plan_.tile_count
    yield Progress(1, total, "Reading the prompts")
    recipe = recipe.resolve()
    embeddings = engine.embed(recipe.all_prompts)  # type: ignore[arg-type]
    with source.open() as reader:
        rendering = resolve(reader, recipe.appearance, plan_.extent.planes)
        recipe = recipe.replace(appearance=rendering.appearance)
        result = _empty_result(recipe, plan_, engine, output)
        written = create_map(
            plan_.extent,
            len(recipe.all_prompts),
            output=output,
            dtype=dtype,
            metadata=None if output is None else _metadata(result),
        )
        run = _Run(reader, rendering, plan_, engine, embeddings, written, result)
        yield from run.steps(total, whole_bands=output is not None)
    if not run.any_finite:
        raise ValueError(NOT_FINITE)
    recipe = result.recipe.replace(weights=engine.weights)
    threshold = result.threshold if recipe.threshold != OTSU else threshold_of(recipe, written.data)
    return replace(result, probability=written.data, recipe=recipe, threshold=threshold)


class _Run:
    """The tiles of a run, rendered, segmented and put together; planes are finished in order.

    Tiles are streamed across planes, so that a stack of one tile a plane fills the engine's batch.
    """

    def __init__(
        self,
        reader: Reader,
        rendering: Rendering,
        plan: Plan,
        engine: Engine,
        embeddings: NDArray[np.float32],
        written: ProbabilityMap,
        result: Segmentation,
    ) -> None:
        self._reader, self._rendering, self._plan = reader, rendering, plan
        self._engine, self._embeddings, self._written = engine, embeddings, written
        self._partial = replace(result, probability=written.data, complete=False)
        self._refine_edges = result.recipe.refine_edges
        self._mosaics: dict[int, Mosaic] = {}  # of the planes that are begun
        self.any_finite = False

    def steps(self, total: int, *, whole_bands: bool) -> Generator[Progress, None, None]:
        """Run all tiles; yield before each batch."""
        done, places = 2, list(np.ndindex(*self._plan.extent.planes_shape))
        for batch in batches(self._plan, self._engine.batch_size):
            # A new one each time: it keeps the labels that were made of it.
            yield Progress(
                done, total, self._message(batch[0][0], done - 1), replace(self._partial)
            )
            for number, _ in batch:
                if number not in self._mosaics:
                    self._mosaics[number] = self._mosaic(number, whole_bands)
            images = [self._mosaics[number].render(tile) for number, tile in batch]
            features = self._engine.encode(images, resize=False)
            all_logits = self._engine.decode(features, self._embeddings)
            done += len(batch)
            for (number, tile), logits in zip(batch, all_logits, strict=True):
                mosaic, at = self._mosaics[number], places[number]
                for rows, band in mosaic.add(tile, logits):
                    self._written.write(at, rows, band)
                if mosaic.complete:
                    if self._refine_edges:
                        message = "Following the image's edges"
                        yield Progress(done, total, message, replace(self._partial))
                        self._refine(mosaic, at)
                    self._written.end_plane(at)
                    self.any_finite |= mosaic.any_finite
                    del self._mosaics[number]

    def _mosaic(self, number: int, whole_bands: bool) -> Mosaic:
        plane = self._plan.extent.planes[number]
        return Mosaic(self._reader, self._rendering, self._plan, plane, whole_bands=whole_bands)

    def _message(self, number: int, tile: int) -> str:
        planes, tiles = len(self._plan.extent.planes), self._plan.tile_count
        where = f"plane {number + 1} of {planes}, " if planes > 1 else ""
        of_tiles = f"tile {tile} of {tiles}" if tiles > 1 else ""
        return "Segmenting the image" + (f": {where}{of_tiles}" if where or of_tiles else "")

    def _refine(self, mosaic: Mosaic, at: tuple[int, ...]) -> None:
        maps = self._written.data[(slice(None), *at)]
        radius = max(1, round(self._plan.patch_pixels / 2))
        refined = refine_edges(maps, mosaic.render_region(), radius=radius)
        # What is not finite, or outside of the region, stays 0.
        rows = slice(0, self._plan.height)
        self._written.write(at, rows, np.where(maps > 0, refined, np.float32(0)))


@_with_fields
def plan(
    image: Any,
    prompts: Recipe | Prompts | None = None,
    *,
    axes: str | Sequence[str] | None = None,
    **fields: Any,
) -> Plan:
    """Return what a run would do: planes, level, tiles, memory. No pixel is read.

    Parameters
    ----------
    image, prompts, axes, **fields
        As for `segment`; without prompts the plan is for one.

    Examples
    --------
    >>> from napari_clipseg import plan
    >>> image = np.zeros((500, 800), dtype=np.uint8)
    >>> plan(image, "nuclei", detail="fine").tile_count
    24
    """
    recipe, engine = _recipe_and_engine(ANY if prompts is None else prompts, fields)
    return _plan(as_source(image, axes=axes), recipe, engine or load(recipe.model))


@_with_fields
def preview(
    image: Any,
    prompts: Recipe | Prompts | None = None,
    *,
    tile: int = 0,
    plane: int = 0,
    axes: str | Sequence[str] | None = None,
    **fields: Any,
) -> NDArray[np.uint8]:
    """Return exactly the image that goes into the model.

    Parameters
    ----------
    image, prompts, axes, **fields
        As for `segment`; prompts change nothing here.
    tile : int
        Which one of a plane: the overview comes first, if there is one, then the tiles row by row.
    plane : int
        Which of the plan's planes.

    Returns
    -------
    ndarray of uint8
        ``(rows, columns, 3)``.

    Raises
    ------
    IndexError
        If there is no such tile or plane.

    Examples
    --------
    >>> from napari_clipseg import preview
    >>> preview(np.zeros((500, 800), dtype=np.uint8), detail="fine").shape
    (192, 192, 3)
    """
    source = as_source(image, axes=axes)
    recipe, engine = _recipe_and_engine(ANY if prompts is None else prompts, fields)
    made = _plan(source, recipe, engine or load(recipe.model))
    planes = made.extent.planes
    for name, number, count in (
        ("tile", tile, len(made.tiles_of_plane)),
        ("plane", plane, len(planes)),
    ):
        if not 0 <= number < count:
            raise IndexError(f"There is no {name} {number}; the plan has {count}, from 0.")
    with source.open() as reader:
        rendering = resolve(reader, recipe.appearance, planes)
        mosaic = Mosaic(reader, rendering, made, planes[plane])
        return np.array(mosaic.render(made.tiles_of_plane[tile]))  # never the image's own memory


def _recipe_and_engine(
    prompts: Recipe | Prompts, fields: Mapping[str, Any]
) -> tuple[Recipe, Engine | None]:
    model = fields.get("model")
    engine = model if isinstance(model, Engine) else None
    changes = {**fields, "model": engine.name} if engine is not None else dict(fields)
    return as_recipe(prompts, changes), engine


def _plan(source: Source, recipe: Recipe, engine: Engine) -> Plan:
    return make_plan(
        source,
        side=max(engine.size),
        patch=engine.config.vision_config.patch_size,
        maps=len(recipe.all_prompts),
        detail=recipe.detail,
        planes=recipe.planes,
        region=recipe.region,
        level=recipe.level,
    )


def _require_weights(recipe: Recipe, engine: Engine) -> None:
    if recipe.weights is not None and recipe.weights != engine.weights:
        raise CheckpointError(
            f"The recipe was made with other weights of {recipe.model!r}: {recipe.weights}, and "
            f"those here are {engine.weights}. Get the weights that it was made with; or take "
            f"recipe.replace(weights=None) to go on with those here, with another result."
        )


def _empty_result(
    recipe: Recipe, plan: Plan, engine: Engine, output: str | Path | None
) -> Segmentation:
    """Return a result without a map, its threshold a number."""
    default = engine.config.default_threshold
    if recipe.threshold is None:
        recipe = recipe.replace(threshold=default)
    numbers = default if recipe.threshold == OTSU else threshold_of(recipe, None)
    check_thresholds(numbers, recipe.low_threshold, len(recipe.all_prompts))
    path = None if output is None else Path(output)
    if output is not None:  # a file records them at once
        recipe = recipe.replace(weights=engine.weights)
    return Segmentation(None, numbers, recipe, plan.extent, path)


def _metadata(result: Segmentation) -> dict[str, Any]:
    """Return what is recorded with a map in a file."""
    from napari_clipseg import __version__

    record = {"version": __version__, "recipe": result.recipe.to_dict()}
    return {METADATA: record}
