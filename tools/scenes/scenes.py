"""Scenes made by code: what the bundled checkpoint is trained and tested on.

A scene is an image with its truth: which pixel belongs to which object, and of what kind and
colour each object is. Three styles: ``micrograph`` (gray, bright on dark or dark on bright),
``fluorescence`` (colours on black) and ``photo`` (colours on a textured ground, with shadows).
Everything follows from one seed, so a scene can be named by three numbers and made again.

Lengths are in units: 128 of them span the image's shorter side, whatever its size in pixels,
because that is the grid on which the bundled checkpoint sees any image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.filters import gaussian

from scenes.layout import COLOURS, STYLES, arrange, size_name
from scenes.shapes import Floats, Thing, distance, filament_distance, smooth_noise


@dataclass(frozen=True)
class Scene:
    """An image and its truth.

    Attributes
    ----------
    image : (height, width, 3) uint8
    instances : (height, width) uint8
        0 where nothing that has a name lies, else 1 + the row in the tables below.
    kinds, colours : tuple of str
        One entry an instance, of `scenes.layout.KINDS` and `COLOUR_NAMES`.
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
    two_sizes: bool | None = None,
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
        One of `scenes.layout.STYLES`; drawn by default.
    shape : (height, width)
        Of the image, in pixels.
    two_sizes : bool, optional
        Draw things that are plainly small or large, so that sizes can be asked for; every fifth
        seed's scene by default.
    """
    rng = np.random.default_rng([2112, 10003, seed])
    drawn = rng.random()
    hardness = float(drawn) if hardness is None else hardness
    style = str(rng.choice(STYLES, p=(0.4, 0.2, 0.4))) if style is None else style
    unit = min(shape) / 128
    field = (shape[0] / unit, shape[1] / unit)
    two_sizes = seed % 5 == 4 if two_sizes is None else two_sizes
    things = arrange(rng, style, hardness, field, two_sizes)
    canvas = _ground(rng, style, hardness, {t.colour for t in things}, shape)
    # What a square model sees of an image that is not square is stretched; so are some scenes.
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


def truth_mask(
    scene: Scene, kind: str | None, colour: str | None, size: str | None = None
) -> NDArray[np.bool_]:
    """Mark the pixels of the scene's things of this kind, colour and size (None: any)."""
    chosen = [False]
    for one, its, radius in zip(scene.kinds, scene.colours, scene.sizes, strict=True):
        fits = kind in (None, one) and colour in (None, its)
        chosen.append(fits and size in (None, size_name(one, radius)))
    return np.array(chosen)[scene.instances]
