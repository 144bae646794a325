"""What to say of an answer that is empty: how near it was, and which words the model knows."""

from __future__ import annotations

import re

import numpy as np

from napari_clipseg.engine.checkpoints.locate import BUNDLED
from napari_clipseg.results import Segmentation

# The table of the bundled checkpoint's card; a test compares the two.
KINDS = {
    "nuclei": "nucleus cell cells blob blobs disk disks disc discs coin coins",
    "rings": "ring donut donuts hoop hoops annulus annuli",
    "filaments": "filament fiber fibers fibre fibres thread threads line lines",
    "spots": "spot dot dots speck specks punctum puncta",
    "squares": "square box boxes rectangle rectangles",
    "triangles": "triangle wedge wedges",
}
SIZES = "small little tiny large big"
COLOR_WORDS = (
    "red green blue yellow cyan turquoise magenta purple orange white gray grey black bright dark"
)
AROUND = "a an the of in all photo image micrograph things"
KNOWN_WORDS = {
    word for text in (*KINDS, *KINDS.values(), SIZES, COLOR_WORDS, AROUND) for word in text.split()
}


def offered_words(model: str) -> list[str]:
    """Return words to complete: those that the bundled checkpoint knows; none for others."""
    if model != BUNDLED:
        return []
    return [word for kind, others in KINDS.items() for word in (kind, *others.split())]


def unknown_words(text: str) -> list[str]:
    """Return the words of a text that the bundled checkpoint does not know.

    Examples
    --------
    >>> from napari_clipseg.widgets.hints import unknown_words
    >>> unknown_words("a photo of red rings"), unknown_words("Tabby cat")
    ([], ['tabby', 'cat'])
    """
    return [word for word in re.findall(r"[^\W\d_]+", text.lower()) if word not in KNOWN_WORDS]


def with_hints(summary: str, result: Segmentation) -> list[str]:
    """Return the lines of a summary; of empty answers how near they were, and what can be done."""
    empty = {
        name: f"{name}: nothing above {threshold:.2f}; the highest probability is {highest:.2f}."
        for name, highest, threshold in _empty(result)
    }
    lines = [empty.get(line.rpartition(": ")[0], line) for line in summary.splitlines()]
    if knows_too_little(result):
        these = ", ".join(repr(word) for word in dict.fromkeys(_unknown(result)))
        lines.insert(
            0,
            f"The demo model does not know {these}. It knows {', '.join(KINDS)}, their colors, and "
            f"small or large. For any other word get the model below.",
        )
    return lines


def knows_too_little(result: Segmentation) -> bool:
    """Return whether nothing was found because the bundled checkpoint does not know a word."""
    return result.recipe.model == BUNDLED and bool(_unknown(result))


def _unknown(result: Segmentation) -> list[str]:
    texts = {one for one in result.recipe.prompts if isinstance(one, str)}
    return [word for name, *_ in _empty(result) if name in texts for word in unknown_words(name)]


def _empty(result: Segmentation) -> list[tuple[str, float, float]]:
    """Return name, highest probability and threshold of each map that is nowhere above it."""
    names = result.prompt_names
    limits = np.broadcast_to(np.asarray(result.threshold, float).ravel()[: len(names)], len(names))
    return [
        (name, highest, float(limit))
        for name, highest, limit in zip(names, result.highest, limits, strict=True)
        if highest <= limit
    ]
