"""What is kept of a teaching, to tell of it and to go on from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.cache import content_digest
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.teaching.fitting import Result
from napari_clipseg.teaching.pixels import Older, Taught, joined
from napari_clipseg.teaching.strokes import to_record

MOST_SAMPLES = 1200  # painted pixels that are stored with a prompt


def older_of(learned: LearnedPrompt) -> Older:
    """Return the painted pixels that were stored with a prompt.

    Raises
    ------
    ValueError
        If it has none.
    """
    samples = learned.samples
    if not {"inputs", "values", "groups"} <= set(samples):
        raise ValueError(
            "The learned prompt has no painted pixels to go on from, because it was split or read "
            "from a recipe. Load the file that LearnedPrompt.save wrote."
        )
    return Older(
        samples["inputs"].astype(np.float32),
        samples["values"].astype(np.intp),
        samples["groups"].astype(np.intp),
    )


def samples_of(
    taught: Sequence[Taught], results: Sequence[Result], older: Older | None
) -> dict[str, NDArray[Any]]:
    """Return painted pixels of all classes and of the background, to go on from."""
    strokes = joined(taught, older)
    kept = np.concatenate(
        [_some(np.flatnonzero(strokes.values == value)) for value in np.unique(strokes.values)]
    )
    _, groups = np.unique(strokes.groups[kept], return_inverse=True)
    # The inputs differ between classes by two logits only; those of the first serve for all.
    limit = float(np.finfo(np.float16).max)
    return {
        "inputs": results[0].inputs[kept].clip(-limit, limit).astype(np.float16),
        "values": strokes.values[kept].astype(np.int32),
        "groups": groups.reshape(-1).astype(np.int32),
    }


def _some(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    most = min(len(numbers), MOST_SAMPLES // 2)
    return np.asarray(numbers[np.linspace(0, len(numbers) - 1, most).round().astype(int)])


def record_of(
    taught: Sequence[Taught],
    values: Sequence[int],
    results: Sequence[Result],
    earlier: LearnedPrompt | None,
    *,
    tested: bool,
) -> dict[str, Any]:
    """Return what a prompt tells of its teaching: plain values, for JSON."""
    images = [] if earlier is None else list(earlier.record["images"])
    for one in taught:
        digests = sorted({content_digest(view.image).hex() for view in one.tiles})
        images.append(
            {
                "name": one.views.name,
                "shape": list(one.views.source.levels[0].shape),
                "tiles": digests,
                "strokes": to_record(one.strokes),
            }
        )
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_with": version("napari-clipseg"),
        "values": list(values),
        "tested": tested,
        "scores": [one.score for one in results],
        "scores_beside": [one.beside for one in results],
        "weights": [one.weights for one in results],
        "losses": [one.losses for one in results],
        "images": images,
    }
