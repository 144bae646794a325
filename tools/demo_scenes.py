"""Scenes made by code: what the bundled checkpoint is trained and tested on.

A scene is a picture with its truth: which pixel belongs to which object, and of what kind and
colour each object is. Three styles: ``micrograph`` (gray, bright on dark or dark on bright),
``fluorescence`` (colours on black) and ``photo`` (colours on a textured ground, with shadows).
Everything follows from one seed, so a scene can be named by three numbers and made again.

Lengths are in units: 128 of them span the picture's shorter side, whatever its size in pixels,
because that is the grid on which the bundled checkpoint sees any picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import gaussian

from demo_shapes import Floats, Thing, distance, filament_distance, smooth_noise

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
# (fewest, most) objects a group has on a square picture.
COUNTS = {"nuclei": (3, 14), "rings": (3, 10), "filaments": (2, 6), "spots": (6, 30)} | {
    name: (3, 10) for name in ("squares", "triangles")
}


@dataclass(frozen=True)
class Scene:
    """A picture and its truth.

    Attributes
    ----------
    image : (height, width, 3) uint8
    instances : (height, width) uint8
        0 where nothing that has a name lies, else 1 + the row in the tables below.
    kinds, colours : tuple of str
        One entry an instance, of :data:`KINDS` and :data:`COLOUR_NAMES`.
    sizes : tuple of float
        Radius in units (half the width for a filament).
    style : str
    hardness : float
        0 plain to 1 hard.
    seed : int
    """

    image: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    sizes: tuple[float, ...]
    style: str
    hardness: float
    seed: int


def _colours_for(rng: np.random.Generator, style: str, n: int) -> list[str]:
    """Choose n colours: few in a micrograph, and repeated ones, so that kinds share colours."""
    if style == "micrograph":
        one = str(rng.choice(POLARITIES))
        return [str(rng.choice(POLARITIES)) if rng.random() < 0.25 else one for _ in range(n)]
    some = rng.choice(PHOTO_COLOURS if style == "photo" else GLOW_COLOURS, 3, replace=False)
    return [str(c) for c in rng.choice(some, n)]


def _arrange(
    rng: np.random.Generator, style: str, hardness: float, field: tuple[float, float]
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
        scale = 1.0 if kind in ("spots", "filaments") else zoom
        for _ in range(max(1, round(rng.integers(few, many + 1) * room * share))):
            radius = float(rng.uniform(*RADII[kind])) * scale
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


def _ground(
    rng: np.random.Generator, style: str, hardness: float, colours: set[str], shape: tuple[int, int]
) -> Floats:
    """Give the (height, width, 3) ground: dark, light or textured, far from the things' colours."""
    unit = min(shape) / 128
    if style == "fluorescence":
        level = rng.uniform(0.0, 0.05 + 0.08 * hardness)
        haze = 0.03 * hardness * smooth_noise(rng, shape, 30 * unit)
        return np.repeat((level + haze)[..., None], 3, 2).astype(np.float32)
    if style == "micrograph":
        low, high = 0.05, 0.9
        if "bright" in colours:
            high = 0.45
        if "dark" in colours:
            low = 0.55 if "bright" not in colours else 0.4
            high = 0.95 if "bright" not in colours else 0.6
        base = np.repeat(rng.uniform(low, high), 3)
    else:
        used = np.array([COLOURS[c] for c in colours])
        for _ in range(40):
            base = rng.uniform(0.1, 0.9) + rng.uniform(-0.14, 0.14, 3)
            if np.min(np.linalg.norm(used - base, axis=1)) > 0.5 - 0.1 * hardness:
                break
    texture = np.zeros(shape, np.float32)
    for cell in (3, 8, 24):
        texture += rng.uniform(0, 0.05) * hardness * smooth_noise(rng, shape, cell * unit)
    if style == "photo" and rng.random() < 0.4 * hardness:  # planks, cloth
        wave = np.arange(shape[1]) * 2 * np.pi / (rng.uniform(8, 30) * unit)
        texture += 0.05 * np.sin(wave + 2 * smooth_noise(rng, shape, 60 * unit))
    return (base + texture[..., None]).astype(np.float32)


def _looks(rng: np.random.Generator, thing: Thing, style: str, hardness: float) -> Floats:
    """Give the (3,) colour of one thing: its named colour, a little off."""
    colour = np.array(COLOURS[thing.colour])
    spread = 0.03 + 0.05 * hardness
    if style == "micrograph":
        return np.repeat(rng.normal(0, spread), 3).astype(np.float32)
    colour = colour * rng.uniform(1 - 0.25 * hardness, 1.0) if thing.colour != "gray" else colour
    return np.clip(colour + rng.normal(0, spread, 3), 0, 1).astype(np.float32)


def _finish(rng: np.random.Generator, canvas: Floats, style: str, hardness: float) -> Floats:
    """Light unevenly, blur, and add noise, as a camera would."""
    shape = (canvas.shape[0], canvas.shape[1])
    unit = min(shape) / 128
    light = 1 + 0.35 * hardness * rng.random() * smooth_noise(rng, shape, 90 * unit)
    canvas = canvas * light[..., None]
    if rng.random() < 0.3 + 0.5 * hardness:
        sigma = rng.uniform(0.3, 0.4 + (1.0 if style != "photo" else 0.5) * hardness) * unit
        canvas = gaussian(canvas, sigma, channel_axis=2).astype(np.float32)
    channels = 1 if style == "micrograph" else 3
    photons = 10 ** rng.uniform(2.9 - 1.1 * hardness, 3.5 - 0.5 * hardness)
    grain = rng.standard_normal((*shape, channels)).astype(np.float32)
    noise = np.sqrt(np.clip(canvas[..., :channels], 0.01, 1) / photons + (0.015 * hardness) ** 2)
    return np.clip(canvas + grain * noise, 0, 1)


def make_scene(
    seed: int,
    *,
    hardness: float | None = None,
    style: str | None = None,
    shape: tuple[int, int] = (128, 128),
) -> Scene:
    """Make one scene.

    Parameters
    ----------
    seed : int
        The same seed and choices give the same scene.
    hardness : float, optional
        0 for plain scenes (even light, no blur, things apart) to 1 for hard ones; drawn by
        default.
    style : str, optional
        One of :data:`STYLES`; drawn by default.
    shape : (height, width)
        Of the picture, in pixels.
    """
    rng = np.random.default_rng([2112, 10003, seed])
    drawn = rng.random()
    hardness = float(drawn) if hardness is None else hardness
    style = str(rng.choice(STYLES, p=(0.4, 0.2, 0.4))) if style is None else style
    unit = min(shape) / 128
    field = (shape[0] / unit, shape[1] / unit)
    things = _arrange(rng, style, hardness, field)
    canvas = _ground(rng, style, hardness, {t.colour for t in things}, shape)
    # What a square model sees of a picture that is not square is stretched; so are some scenes.
    squeeze = rng.uniform(0.75, 1.33) ** 0.5 if shape[0] == shape[1] and rng.random() < 0.5 else 1.0
    gray_level = float(canvas[..., 0].mean())
    contrast = rng.uniform(0.40 - 0.22 * hardness, 0.55)
    grain = smooth_noise(rng, shape, rng.uniform(1.5, 5) * unit) * rng.uniform(0, 0.22) * hardness
    soft = rng.uniform(0.8, 1.2) * max(1.0, 0.6 * unit)
    often = {"photo": 0.55, "micrograph": 0.3}.get(style, 0.0)  # lit from a side
    glossy, shaded = rng.random(2) < often
    shadow = rng.uniform(-2.5, 2.5, 2) if shaded else None
    instances = np.zeros(shape, np.uint8)
    rows = (np.arange(shape[0], dtype=np.float32) + 0.5) / unit
    columns = (np.arange(shape[1], dtype=np.float32) + 0.5) / unit
    table: list[Thing] = []
    for thing in things:
        colour = _looks(rng, thing, style, hardness)
        if style == "micrograph":
            sign = 1.0 if thing.colour == "bright" else -1.0
            colour = gray_level + sign * contrast + colour
        window, y, x = _window(thing, rows, columns)
        if thing.kind == "filaments":
            away = filament_distance(rng, thing, y, x, 1 / unit)
        else:
            y, x = (y - thing.y) * squeeze, (x - thing.x) / squeeze
            away = distance(rng, thing, y, x)
        if shadow is not None and thing.kind != "filaments":
            _cast(canvas, window, away * unit, shadow * unit)
        alpha = np.clip(0.5 - away * unit / soft, 0, 1)[..., None]
        body = colour + grain[window][..., None] * max(0.3, colour.mean())
        if glossy and thing.kind != "filaments":
            body = body + 0.10 * (-(x + y) / thing.radius)[..., None]
        canvas[window] += alpha * (np.clip(body, 0, 1) - canvas[window])
        visible = alpha[..., 0] > 0.5
        if thing.named:
            table.append(thing)
        instances[window][visible] = len(table) if thing.named else 0
    image = (_finish(rng, canvas, style, hardness) * 255 + 0.5).astype(np.uint8)
    return Scene(
        image,
        instances,
        tuple(t.kind for t in table),
        tuple(t.colour for t in table),
        tuple(round(t.radius, 2) for t in table),
        style,
        hardness,
        seed,
    )


def _window(
    thing: Thing, rows: Floats, columns: Floats
) -> tuple[tuple[slice, slice], Floats, Floats]:
    """Give the pixels around a thing: their slices and their y (n, 1) and x (1, m) in units."""
    if thing.kind == "filaments":
        return np.s_[:, :], rows[:, None], columns[None]
    reach = 1.5 * thing.radius + 4
    y0, y1 = np.searchsorted(rows, [thing.y - reach, thing.y + reach])
    x0, x1 = np.searchsorted(columns, [thing.x - reach, thing.x + reach])
    return np.s_[y0:y1, x0:x1], rows[y0:y1, None], columns[None, x0:x1]


def _cast(
    canvas: Floats, window: tuple[slice, slice], away: Floats, shift: NDArray[np.float64]
) -> None:
    """Darken the ground beside a thing, in place; `away` and `shift` in pixels."""
    down, right = (int(n) for n in np.round(shift))
    margin = max(abs(down), abs(right))
    wide = np.pad(away, margin, mode="edge")
    height, width = away.shape
    moved = wide[margin - down :, margin - right :][:height, :width]
    canvas[window] *= 1 - 0.35 * np.clip(0.5 - moved / 4, 0, 1)[..., None]


def truth_mask(scene: Scene, kind: str | None, colour: str | None) -> NDArray[np.bool_]:
    """Mark the pixels of the scene's things of this kind and this colour (None: any)."""
    chosen = [False]
    for one, its in zip(scene.kinds, scene.colours, strict=True):
        chosen.append(kind in (None, one) and colour in (None, its))
    return np.array(chosen)[scene.instances]
