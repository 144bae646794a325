"""What is asked of a scene: words for kinds and colours, and prompts with their truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenes.layout import COLOUR_NAMES, KINDS, PHOTO_COLOURS, POLARITIES, SIZE_NAMES, SIZED
from scenes.scenes import Scene, truth_mask

# (one, many) of each kind; the kind's own name first.
NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "nuclei": (
        ("nucleus", "nuclei"),
        ("cell", "cells"),
        ("blob", "blobs"),
        ("disk", "disks"),
        ("disc", "discs"),
        ("coin", "coins"),
    ),
    "rings": (("ring", "rings"), ("donut", "donuts"), ("hoop", "hoops"), ("annulus", "annuli")),
    "filaments": (
        ("filament", "filaments"),
        ("fiber", "fibers"),
        ("fibre", "fibres"),
        ("thread", "threads"),
        ("line", "lines"),
    ),
    "spots": (("spot", "spots"), ("dot", "dots"), ("speck", "specks"), ("punctum", "puncta")),
    "squares": (("square", "squares"), ("box", "boxes"), ("rectangle", "rectangles")),
    "triangles": (("triangle", "triangles"), ("wedge", "wedges")),
}
COLOUR_WORDS = {name: (name,) for name in COLOUR_NAMES} | {
    "gray": ("gray", "grey"),
    "magenta": ("magenta", "purple"),
    "cyan": ("cyan", "turquoise"),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big")}
ONE = ("{}", "a {}", "the {}", "a photo of a {}", "an image of a {}", "each {}")
MANY = ("{}", "{}", "{}", "the {}", "all {}", "a photo of {}", "an image of {}", "a picture of {}")
MANY += ("a micrograph of {}", "{} in the image", "all the {}")
# Words for what no scene holds: the answer to them is nothing, here as to a random word.
ELSEWHERE = [
    "cat",
    "dog",
    "horse",
    "bird",
    "car",
    "bicycle",
    "tree",
    "flower",
    "house",
    "table",
    "chair",
    "person",
    "face",
    "hand",
    "shoe",
    "book",
    "bottle",
    "phone",
    "window",
    "door",
    "mountain",
    "river",
    "cloud",
    "sky",
    "grass",
    "road",
    "boat",
    "plane",
    "train",
    "sheep",
    "cow",
    "apple",
    "banana",
    "bread",
    "cake",
    "cup",
    "knife",
    "fork",
    "spoon",
    "clock",
    "lamp",
    "bed",
    "sofa",
    "hat",
    "shirt",
    "bag",
    "ball",
    "kite",
    "mouse",
    "keyboard",
    "screen",
    "paper",
    "text",
    "letter",
    "number",
    "arrow",
    "leaf",
    "fish",
    "snake",
    "spider",
    "bee",
]
THINGS = ("{}", "{} things", "{} objects", "everything {}", "the {} ones")


def plain_wording(kind: str | None, colour: str | None, size: str | None = None) -> str:
    """Give the shortest wording: "rings", "red things", "red rings" or "large red rings"."""
    return " ".join(filter(None, (size, colour, kind or "things")))


def wording(
    rng: np.random.Generator, kind: str | None, colour: str | None, size: str | None = None
) -> str:
    """Draw one of the wordings for things of a kind, a colour and a size (None: any)."""
    said = str(rng.choice(COLOUR_WORDS[colour])) if colour else ""
    if size:
        said = f"{rng.choice(SIZE_WORDS[size])} {said}".strip()
    if kind is None:
        return str(rng.choice(THINGS)).format(said)
    nouns = NOUNS[kind]
    one, many = nouns[0] if rng.random() < 0.4 else nouns[rng.integers(len(nouns))]
    if rng.random() < 0.35:
        return str(rng.choice(ONE)).format(f"{said} {one}".strip())
    return str(rng.choice(MANY)).format(f"{said} {many}".strip())


def foreign_wording(rng: np.random.Generator) -> str:
    """Draw a wording for what is in no scene: a word from elsewhere, or one that is no word."""
    if rng.random() < 0.5:
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), int(rng.integers(2, 9)))
        noun = "".join(letters)
    else:
        noun = str(rng.choice(ELSEWHERE)) + ("s" if rng.random() < 0.4 else "")
    if rng.random() < 0.3:
        noun = f"{rng.choice(COLOUR_NAMES)} {noun}"
    return str(rng.choice(MANY)).format(noun)


def all_wordings() -> list[str]:
    """List every noun and template with each colour's and size's words; merges come from them."""
    nouns = [word for pairs in NOUNS.values() for pair in pairs for word in pair]
    colours = [word for words in COLOUR_WORDS.values() for word in words]
    colours += [word for words in SIZE_WORDS.values() for word in words]
    templates = sorted({*ONE, *MANY, *THINGS})
    return [t.format(f"{c} {n}") for t in templates for c in colours for n in nouns]


@dataclass(frozen=True)
class Prompt:
    """What is asked of a scene, and what is right.

    Attributes
    ----------
    text : str
    sort : str
        ``kind``, ``colour``, ``both``, ``size`` (with any of the others), or ``absent``.
    kind, colour, size : str or None
    truth : (height, width) bool
    """

    text: str
    sort: str
    kind: str | None
    colour: str | None
    size: str | None
    truth: NDArray[np.bool_]


def prompts_for(
    scene: Scene, rng: np.random.Generator | None = None, *, least: int = 12
) -> list[Prompt]:
    """List what can be asked of a scene: all that is there, then as much that is not.

    Parameters
    ----------
    rng : numpy.random.Generator, optional
        Draws the wordings; without one, the plainest are taken.
    least : int
        A thing of fewer visible pixels is neither there nor absent: it is not asked for.
    """
    colours = POLARITIES if scene.style == "micrograph" else PHOTO_COLOURS
    asked: list[tuple[str, str | None, str | None, str | None]] = []
    asked += [("kind", k, None, None) for k in KINDS]
    asked += [("colour", None, c, None) for c in colours]
    asked += [("both", k, c, None) for k in KINDS for c in colours]
    asked += [("size", k, c, s) for k in SIZED for c in (None, *colours) for s in SIZE_NAMES]
    there: list[Prompt] = []
    gone: list[Prompt] = []
    kinds, shown = set(scene.kinds), set(scene.colours)
    for sort, kind, colour, size in asked:
        truth = truth_mask(scene, kind, colour, size)
        said = kind, colour, size
        text = wording(rng, *said) if rng else plain_wording(*said)
        if size:
            # Both sizes together are all of the kind, or some have a size without a word.
            whole = truth_mask(scene, kind, colour)
            named = np.logical_or.reduce([truth_mask(scene, kind, colour, s) for s in SIZE_NAMES])
            if not np.array_equal(whole, named) or whole.sum() < least:
                continue
        if truth.sum() >= least:
            there.append(Prompt(text, sort, kind, colour, size, truth))
        elif not truth.any():
            # "Red rings" where rings are green is worth asking; where neither is, it is not.
            if sort == "both" and kind not in kinds and colour not in shown:
                continue
            gone.append(Prompt(text, "absent", kind, colour, size, truth))
    order = np.random.default_rng(scene.seed).permutation(len(gone))
    return there + [gone[i] for i in order[: len(there)]]
