"""From an image and a recipe to a probability map and labels: where images meet the engine."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_clipseg.cache import ByteCache
from napari_clipseg.decoding import Decoding
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.loading import load
from napari_clipseg.images.contrast import NOT_FINITE
from napari_clipseg.images.edges.refine import strip_count
from napari_clipseg.images.io.disk import output_path
from napari_clipseg.images.io.maps import DType, create_map
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.rendering import resolve
from napari_clipseg.images.tiling.plan import Plan
from napari_clipseg.labelling import label_total
from napari_clipseg.plans import plan_of, recipe_and_engine, with_fields
from napari_clipseg.prompts import Prompts
from napari_clipseg.recipe import METADATA, OTSU, Recipe, check_thresholds
from napari_clipseg.results import Progress, Segmentation, threshold_of
from napari_clipseg.run import Answer, Run


@with_fields
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
        A new ``.zarr`` folder (OME-Zarr) or ``.npy`` file for the map, in a folder that exists;
        memory by default.
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
    OSError
        If the output exists, its folder does not, or the disk has no room for the map.

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
    recipe, engine = recipe_and_engine(prompts, fields)
    steps = segment_steps(source, recipe, engine=engine, output=output, dtype=dtype)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Segmentation = stop.value
            return result


def segment_steps(
    source: Any,
    recipe: Recipe,
    *,
    engine: Engine | None = None,
    output: str | Path | None = None,
    dtype: DType = "float32",
    cache: ByteCache[NDArray[Any]] | None = None,
    answer: Answer | None = None,
    by_tile: bool = False,
) -> Generator[Progress, None, Segmentation]:
    """Do what `segment` does, step by step.

    Parameters
    ----------
    source : Source, or any image
        See `segment`.
    recipe : Recipe
        What is asked for.
    engine : Engine, optional
        Instead of that of the recipe's model.
    output, dtype
        See `segment`.
    cache : ByteCache, optional
        Holds what learned prompts compute of the image alone, for runs that come again.
    answer : callable, optional
        Makes the maps of tiles in another place than this process; see `run.Answer`.
    by_tile : bool
        Whether a run on a CPU can be stopped after each tile, and `Progress.partial` has each tile
        at once; by default after each batch, and whole rows of tiles.

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
    source = as_source(source)
    path = None if output is None else output_path(output)
    yield Progress(0, 1, "Loading the model")
    engine = engine or load(recipe.model)
    require_weights(recipe, engine.weights)
    plan = plan_of(source, recipe, engine)
    if recipe.instances is not None:
        extent = plan.extent
        recipe.instances.check_fits(extent.height, extent.width, extent.spacing)
    in_file = path is not None and recipe.instances is not None
    tiles = 2 + plan.tile_count
    if recipe.refine_edges:
        size = plan.extent.height, plan.extent.width
        tiles += len(plan.extent.planes) * strip_count(*size)
    total = tiles + (label_total(recipe, plan.extent) if in_file else 0)
    yield Progress(1, total, "Reading the prompts")
    recipe = recipe.resolve().replace(weights=engine.weights)
    decoding = Decoding(engine, recipe.all_prompts)
    with source.open() as reader:
        rendering = resolve(reader, recipe.appearance, plan.extent.planes)
        appearance = rendering.appearance
        if source.channels == 1:  # of another image with channels, it would show one alone
            appearance = replace(appearance, channels=None)
        recipe = recipe.replace(appearance=appearance)
        result = replace(_empty_result(recipe, plan, engine, path), axes=source.axes)
        written = create_map(
            plan.extent,
            len(recipe.all_prompts),
            output=path,
            dtype=dtype,
            metadata=_metadata(replace(result, complete=False), dtype),
        )
        run = Run(
            reader, rendering, plan, engine, decoding, written, result, cache, answer, by_tile
        )
        yield from run.steps(total, whole_bands=path is not None)
    if not run.any_finite:
        raise ValueError(NOT_FINITE)
    result = replace(result, probability=written.data)
    if recipe.threshold == OTSU:
        result = replace(result, threshold=threshold_of(recipe, written.data))
    written.finish(_metadata(result, dtype))
    if in_file:
        for step in result.label_steps():
            yield replace(step, done=tiles + step.done, total=total)
    return result


def _metadata(result: Segmentation, dtype: DType) -> dict[str, Any]:
    """Return what is recorded with a map in a file; images are compressed for files alone."""
    return {} if result.path is None else {METADATA: result.record(dtype)}


def require_weights(recipe: Recipe, weights: str | None) -> None:
    """Raise CheckpointError if a recipe was made with other weights than these."""
    if recipe.weights is not None and recipe.weights != weights:
        raise CheckpointError(
            f"The recipe was made with other weights of {recipe.model!r}: {recipe.weights}, and "
            f"those here are {weights or 'not known'}. Get the weights that it was made "
            f"with; or take recipe.replace(weights=None) to go on with those here, with another "
            f"result."
        )


def _empty_result(recipe: Recipe, plan: Plan, engine: Engine, path: Path | None) -> Segmentation:
    """Return a result without a map, its threshold a number."""
    default = engine.config.default_threshold
    if recipe.threshold is None:
        recipe = recipe.replace(threshold=default)
    numbers: float | Sequence[float] = default
    if recipe.threshold != OTSU:
        numbers = threshold_of(recipe, None)
        check_thresholds(numbers, recipe.low_threshold, len(recipe.all_prompts))
    return Segmentation(None, numbers, recipe, plan.extent, path=path)
