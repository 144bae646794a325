"""What a run would do, and what the model would see, before it runs: `plan` and `preview`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.images.rendering import resolve
from napari_clipseg.images.tiling.mosaic import Mosaic
from napari_clipseg.images.tiling.plan import Plan
from napari_clipseg.images.tiling.planning import make_plan
from napari_clipseg.prompts import Prompts
from napari_clipseg.recipe import Recipe, as_recipe

ANY = "anything"  # what is asked for changes no plan but its number of maps
Function = TypeVar("Function", bound=Callable[..., Any])


def with_fields(function: Function) -> Function:
    """Show the fields of a recipe in the signature, where the function takes them by name."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    fields = inspect.signature(Recipe).parameters
    shown = (p for name, p in fields.items() if name not in signature.parameters)
    added = [p for p in shown if p.kind is p.KEYWORD_ONLY]
    function.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return function


@with_fields
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
    recipe, engine = recipe_and_engine(ANY if prompts is None else prompts, fields)
    return plan_of(as_source(image, axes=axes), recipe, engine or load(recipe.model))


@with_fields
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
    recipe, engine = recipe_and_engine(ANY if prompts is None else prompts, fields)
    made = plan_of(source, recipe, engine or load(recipe.model))
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


def recipe_and_engine(
    prompts: Recipe | Prompts, fields: Mapping[str, Any]
) -> tuple[Recipe, Engine | None]:
    """Return what is asked for, and the engine if one was given as the model."""
    model = fields.get("model")
    engine = model if isinstance(model, Engine) else None
    changes = {**fields, "model": engine.name} if engine is not None else dict(fields)
    return as_recipe(prompts, changes), engine


def plan_of(source: Source, recipe: Recipe, engine: Engine) -> Plan:
    """Return the plan of a run with these."""
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
