"""What may lie in a scene, and where: kinds, colours, sizes, and their arrangement.

Lengths are in units, as in `scenes.scenes`.
"""

from __future__ import annotations

import numpy as np

from scenes.shapes import Thing

KINDS = ("nuclei", "rings", "filaments", "spots", "squares", "triangles")
CLUTTER = ("cross", "star", "half")  # drawn, but no prompt names them
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.12, 0.12),
    "green": (0.12, 0.66, 0.16),
    "blue": (0.14, 0.26, 0.92),
    "yellow": (0.95, 0.86, 0.12),
    "cyan": (0.12, 0.84, 0.90),
    "magenta": (0.86, 0.16, 0.80),
    "orange": (0.98, 0.50, 0.06),
    "white": (0.96, 0.96, 0.96),
    "gray": (0.50, 0.50, 0.50),
    "black": (0.06, 0.06, 0.06),
    "bright": (0.90, 0.90, 0.90),  # only in micrographs: lighter than the ground
    "dark": (0.10, 0.10, 0.10),  # only in micrographs: darker than the ground
}
COLOUR_NAMES = tuple(COLOURS)
PHOTO_COLOURS = COLOUR_NAMES[:10]
GLOW_COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta", "white")
POLARITIES = ("bright", "dark")
STYLES = ("micrograph", "fluorescence", "photo")

# (smallest, largest) radius in units; a filament's is half its width.
RADII = {
    "nuclei": (5.5, 13.0),
    "rings": (6.5, 13.0),
    "filaments": (0.9, 1.7),
    "spots": (1.3, 2.6),
    "squares": (5.5, 11.0),
    "triangles": (7.5, 14.0),
    "cross": (6.0, 11.0),
    "star": (7.0, 12.0),
    "half": (7.0, 12.0),
}
# The kinds that come small and large: which shares of the radii above are called so. What lies
# between has no word, and no scene with such things is asked for sizes.
SIZES = {"small": (0.0, 0.25), "large": (0.75, 1.0)}
SIZE_NAMES = tuple(SIZES)
SIZED = ("nuclei", "rings", "squares", "triangles")
# (fewest, most) objects a group has on a square image.
COUNTS = {"nuclei": (3, 14), "rings": (3, 10), "filaments": (2, 6), "spots": (6, 30)} | {
    name: (3, 10) for name in ("squares", "triangles")
}


def size_name(kind: str, radius: float) -> str | None:
    """Tell what things of a kind and a radius in units are called; None for neither."""
    if kind not in SIZED:
        return None
    least, most = RADII[kind]
    share = (radius - least) / (most - least)
    near = 0.05
    if share <= SIZES["small"][1] + near:
        return "small"
    return "large" if share >= SIZES["large"][0] - near else None


def _colours_for(rng: np.random.Generator, style: str, n: int) -> list[str]:
    """Choose n colours: few in a micrograph, and repeated ones, so that kinds share colours."""
    if style == "micrograph":
        one = str(rng.choice(POLARITIES))
        return [str(rng.choice(POLARITIES)) if rng.random() < 0.25 else one for _ in range(n)]
    some = rng.choice(PHOTO_COLOURS if style == "photo" else GLOW_COLOURS, 3, replace=False)
    return [str(c) for c in rng.choice(some, n)]


def _radius(rng: np.random.Generator, kind: str, called: str | None) -> float:
    """Draw a radius in units; of a kind that has sizes, one that is called so."""
    least, most = RADII[kind]
    start, stop = SIZES[called] if called and kind in SIZED else (0.0, 1.0)
    return float(rng.uniform(least + start * (most - least), least + stop * (most - least)))


def arrange(
    rng: np.random.Generator,
    style: str,
    hardness: float,
    field: tuple[float, float],
    two_sizes: bool,
) -> list[Thing]:
    """Choose the things of a scene and where they stand, in units; filaments come first."""
    kinds = [str(k) for k in rng.choice(KINDS, int(rng.integers(1, 5)), replace=False)]
    if rng.random() < 0.6:  # one kind in two colours, so that kind alone does not tell
        kinds.append(kinds[0])
    colours = _colours_for(rng, style, len(kinds))
    groups = [(kind, colour, True) for kind, colour in zip(kinds, colours, strict=True)]
    if rng.random() < 0.2 + 0.6 * hardness:
        for kind in rng.choice(CLUTTER, int(rng.integers(1, 3)), replace=False):
            groups.append((str(kind), _colours_for(rng, style, 1)[0], False))
    zoom = rng.uniform(0.8, 1.3)
    room = field[0] * field[1] / 128**2
    gap = rng.uniform(-0.12, 0.05) if rng.random() < 0.5 * hardness else rng.uniform(0.06, 0.5)
    wanted: list[Thing] = []
    for kind, colour, named in groups:
        few, many = COUNTS.get(kind, (1, 3))
        share = 1.0 if len(groups) < 3 else 0.7
        scale = 1.0 if two_sizes or kind in ("spots", "filaments") else zoom
        names = [None] if not two_sizes else rng.permutation(SIZE_NAMES)[: rng.integers(1, 3)]
        for _ in range(max(1, round(rng.integers(few, many + 1) * room * share))):
            called = names[0] if len(names) == 1 else str(rng.choice(names))
            radius = _radius(rng, kind, called) * scale
            wanted.append(Thing(kind, colour, radius, 0.0, 0.0, named))
    wanted.sort(key=lambda thing: (thing.kind != "filaments", -thing.radius))
    placed: list[Thing] = []
    discs = np.zeros((0, 3))
    for thing in wanted:
        for _ in range(12):
            y, x = (rng.uniform(min(thing.radius, 6), n - min(thing.radius, 6)) for n in field)
            if thing.kind == "filaments":
                break
            away = np.hypot(discs[:, 0] - y, discs[:, 1] - x)
            if np.all(away > (discs[:, 2] + thing.radius) * (1 + gap)):
                discs = np.vstack([discs, [y, x, thing.radius]])
                break
        else:
            continue
        placed.append(Thing(thing.kind, thing.colour, thing.radius, y, x, thing.named))
        if len(placed) == 250:
            break
    return placed
