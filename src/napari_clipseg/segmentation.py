"""From an image and prompts to a probability map and labels: where images meet the engine."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.asking import Prompt, as_list, as_prompt, names_of
from napari_clipseg.choices import Choices, Region
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.labels.threshold import otsu_threshold, semantic_labels
from napari_clipseg.images.tiling.mosaic import Mosaic, batches
from napari_clipseg.images.io.maps import DType, create_map
from napari_clipseg.images.rendering import NOT_FINITE, Appearance, settle
from napari_clipseg.images.tiling.plan import Detail, Plan
from napari_clipseg.images.tiling.planning import Planes
from napari_clipseg.images.edges.refine import refine_edges
from napari_clipseg.images.io.source import Source, as_source
from napari_clipseg.results import Labelling, Segmentation

if TYPE_CHECKING:  # importing this module must not import torch
    from napari_clipseg.engine.engine import Engine

OTSU = "otsu"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    done, total : int
        Steps.
    doing : str
        What comes next, for a progress bar's text.
    partial : Segmentation, optional
        What is done so far; the rest of its map is still 0.
    """

    done: int
    total: int
    doing: str
    partial: Segmentation | None = field(default=None, repr=False)


def segment(
    image: Any,
    prompts: Prompt | Sequence[Prompt],
    *,
    model: str | Path | Engine = "demo",
    threshold: float | Sequence[float] | Literal["otsu"] | None = None,
    low: float | None = None,
    unwanted: Prompt | Sequence[Prompt] = (),
    instances: InstanceOptions | None = None,
    axes: str | Sequence[str] | None = None,
    planes: Planes | None = None,
    region: Region | None = None,
    level: int | None = None,
    detail: Detail | str | float = "one look",
    appearance: Appearance | None = None,
    refine: bool = False,
    into: str | Path | None = None,
    dtype: DType = "float32",
) -> Segmentation:
    """Segment an image with text or image prompts.

    Parameters
    ----------
    image : array-like, layer, OME-Zarr group, or Source
        A numpy, dask, zarr or xarray array of any real type, a napari image layer, an
        OME-Zarr group, or a list of ever coarser levels; see `images.source.as_source`.
    prompts : str, ndarray, Average, Blend, or sequence of them
        Each a text, such as "red rings", an RGB array that shows an example, or a mixture.
    model : str, Path or Engine
        "demo", a checkpoint folder, the name of a downloaded hub checkpoint, or what
        `load` returned.
    threshold : float, sequence of float, or "otsu", optional
        Probability, 0 to 1, above which a pixel is labelled, for all prompts or one each; the
        checkpoint's own by default. "otsu" finds one for each prompt's map, see
        `images.labels.otsu_threshold`.
    low : float, optional
        For hysteresis: pixels above this are labelled, too, where they touch one above the
        threshold.
    unwanted : prompt or sequence of prompts
        What is not wanted: pixels that such a prompt wins become background.
    instances : InstanceOptions, optional
        Makes each object a label of its own; without it, each prompt is one label.
    axes : str or sequence of str, optional
        Names of the image's axes, such as "tczyx"; see `images.axes.name_axes`.
    planes : mapping, optional
        Such as ``{"z": slice(3, 9), "t": 0}``; all planes by default.
    region : array-like, optional
        ``(corners, 2)``, row and column in pixels: two corners of a rectangle, or an outline.
        The map covers its rows and columns.
    level : int, optional
        Which level of a multiscale image; by default the coarsest that is fine enough.
    detail : Detail, "one look", "medium", "fine", or float
        How closely to look; a number is the side of a tile in pixels.
    appearance : Appearance, optional
        Contrast, gamma, inversion, channels and colours that the model sees.
    refine : bool
        Whether to pull the map to the image's own edges, see `images.refine.refine_edges`; for
        maps in memory.
    into : str or Path, optional
        A new ``.zarr`` folder (OME-Zarr) or ``.npy`` file for the map; memory by default.
    dtype : "float32", "float16" or "uint8"
        Of the map; in uint8, 255 stands for 1.

    Returns
    -------
    Segmentation
        With ``.probability``, ``(prompts, *planes, height, width)``, and ``.labels``,
        ``(*planes, height, width)``.

    Raises
    ------
    ValueError
        If the image, a prompt, a choice or the checkpoint cannot be used; the message
        says why, and the cure.
    TypeError
        If the image holds no real numbers, or a prompt is neither text nor array.
    MemoryError
        If the map would not fit into memory, and no file is given for it.

    Examples
    --------
    >>> result = segment(image, ["nuclei", "red rings"])  # doctest: +SKIP
    >>> result.probability.shape, result.labels.shape  # doctest: +SKIP
    ((2, 512, 512), (512, 512))
    """
    source = image if isinstance(image, Source) else as_source(image, axes=axes)
    choices = Choices(
        threshold=threshold,
        low=low,
        unwanted=unwanted,
        instances=instances,
        planes=planes,
        region=region,
        level=level,
        detail=detail if isinstance(detail, Detail) else Detail(detail),  # type: ignore[arg-type]
        appearance=appearance or Appearance(),
        refine=refine,
        into=into,
        dtype=dtype,
    )
    steps = segment_steps(source, prompts, model=model, choices=choices)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Segmentation = stop.value
            return result


def segment_steps(
    source: Source,
    prompts: Prompt | Sequence[Prompt],
    *,
    model: str | Path | Engine = "demo",
    choices: Choices | None = None,
) -> Generator[Progress, None, Segmentation]:
    """Do what `segment` does, step by step.

    Yields
    ------
    Progress
        Before each step. The run can be stopped there; what is done is in `Progress.partial`.

    Returns
    -------
    Segmentation
        The result, as the generator's return value.
    """
    choices = choices or Choices()
    wanted, unwanted = as_list(prompts), as_list(choices.unwanted, least=0)
    given = [*wanted, *unwanted]
    _check_thresholds(choices.threshold, choices.low, len(given))
    if choices.refine and choices.into is not None:
        raise ValueError(
            f"Edges are refined in memory, and the map is to be written into "
            f"{str(choices.into)!r}. Leave out one of the two."
        )
    yield Progress(0, 1, "Loading the model")
    engine = _engine(model)
    plan = choices.plan(source, engine, len(given))
    total = 2 + plan.passes
    yield Progress(1, total, "Reading the prompts")
    embeddings = engine.embed([as_prompt(one, i) for i, one in enumerate(given, start=1)])
    rendering = settle(source, choices.appearance, plan.planes)
    result = _empty_result(source, choices, plan, engine, given, len(unwanted))
    _check_thresholds(result.threshold, choices.low, len(given))
    written = create_map(plan, source, into=choices.into, dtype=choices.dtype, about=_about(result))
    partial = replace(result, probability=written.data, complete=False)
    done, any_finite = 2, False
    for number, at in enumerate(np.ndindex(*plan.planes_shape)):
        plane = plan.planes[number]
        in_file = choices.into is not None
        mosaic = Mosaic(source, rendering, plan, plane, whole_bands=in_file)
        for windows in batches(plan):
            where = f"plane {number + 1} of {len(plan.planes)}, " if len(plan.planes) > 1 else ""
            looks = f"look {done - 1} of {plan.passes}" if plan.passes > 1 else ""
            doing = "Looking at the image" + (f": {where}{looks}" if where or looks else "")
            # A new one each time: it keeps the labels that were made of it.
            yield Progress(done, total, doing, replace(partial))
            pictures = [mosaic.picture(window) for window in windows]
            features = engine.encode(pictures, resize=False)
            for rows, band in mosaic.add(windows, engine.decode(features, embeddings)):
                written.write(at, rows, band)
            done += len(windows)
        if choices.refine:
            yield Progress(done, total, "Following the image's edges", replace(partial))
            maps = written.data[(slice(None), *at)]
            radius = max(1, round(plan.patch_pixels / 2))
            refined = refine_edges(maps, mosaic.whole_picture(), radius=radius)
            # What is not finite, or outside of the region, stays 0.
            written.write(at, slice(0, plan.height), np.where(maps > 0, refined, np.float32(0)))
        written.end_plane(at)
        any_finite |= mosaic.any_finite
    if not any_finite:
        raise ValueError(NOT_FINITE)
    labelling = result.labelling
    if isinstance(choices.threshold, str):  # that is, Otsu's
        labelling = replace(labelling, threshold=[otsu_threshold(one) for one in written.data])
    return replace(result, probability=written.data, labelling=labelling)


def preview(
    image: Any,
    *,
    model: str | Path | Engine = "demo",
    axes: str | Sequence[str] | None = None,
    choices: Choices | None = None,
    look: int = 0,
    plane: int = 0,
) -> NDArray[np.uint8]:
    """Return exactly the picture that goes into the model.

    Parameters
    ----------
    image, model, axes
        As for `segment`.
    choices : Choices, optional
        Of the run.
    look : int
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
        If there is no such look or plane.
    """
    source = image if isinstance(image, Source) else as_source(image, axes=axes)
    choices = choices or Choices()
    plan = choices.plan(source, _engine(model))
    for name, number, most in (("look", look, len(plan.looks)), ("plane", plane, len(plan.planes))):
        if not 0 <= number < most:
            raise IndexError(f"There is no {name} {number}; the plan has {most}, from 0.")
    rendering = settle(source, choices.appearance, plan.planes)
    return Mosaic(source, rendering, plan, plan.planes[plane]).picture(plan.looks[look])


def _check_thresholds(
    threshold: float | Sequence[float] | str | None, low: float | None, prompts: int
) -> None:
    """Refuse now what `labels` would refuse after the whole run."""
    if isinstance(threshold, str) and threshold != OTSU:
        raise ValueError(f"The threshold is {threshold!r}; wanted {OTSU!r}, or 0 to 1.")
    if threshold is None or isinstance(threshold, str):
        threshold = 1.0  # found later
    semantic_labels(np.zeros((prompts, 1, 1), np.float32), threshold, low=low)


def _empty_result(
    source: Source,
    choices: Choices,
    plan: Plan,
    engine: Engine,
    given: Sequence[Prompt],
    unwanted: int,
) -> Segmentation:
    threshold = choices.threshold
    if threshold is None or isinstance(threshold, str):
        threshold = engine.config.default_threshold
    elif np.ndim(threshold) == 0:
        threshold = float(threshold)  # type: ignore[arg-type]
    height, width = (a * b for a, b in zip(source.spacing, plan.factor, strict=True))
    return Segmentation(
        probability=None,
        labelling=Labelling(threshold, choices.low, choices.instances),
        prompts=tuple(names_of(given)),
        model=engine.name,
        unwanted=unwanted,
        axes=plan.axes,
        planes=plan.planes,
        origin=plan.origin,
        factor=plan.factor,
        spacing=(height, width),
        unit=source.unit,
        path=None if choices.into is None else Path(choices.into),
    )


def _about(result: Segmentation) -> dict[str, Any]:
    """Return what is recorded with a map in a file."""
    about = {"model": result.model, "prompts": list(result.prompts), "unwanted": result.unwanted}
    return {"napari_clipseg": about}


def _engine(model: str | Path | Engine) -> Engine:
    from napari_clipseg.engine.engine import Engine, load

    return model if isinstance(model, Engine) else load(model)
