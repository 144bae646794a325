"""Scenes of a second hand: drawn with Pillow, apart from ``scenes.scenes``, and never trained on.

They tell whether the bundled checkpoint has learned its words, or only the first generator's way of
drawing. Nothing is shared with that one but the words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

SIDE = 160
FINER = 4  # drawn this many times larger, then averaged down: smooth edges
TRIES = 60
LEAST_PIXELS = 12

Color = tuple[int, int, int]
Point = tuple[float, float]

# Name: hue in degrees, saturation and value, each from and to.
COLORS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((-8, 8), (0.8, 1), (0.7, 1)),
    "green": ((105, 140), (0.7, 1), (0.5, 0.95)),
    "blue": ((215, 240), (0.75, 1), (0.6, 1)),
    "yellow": ((52, 62), (0.8, 1), (0.85, 1)),
    "cyan": ((178, 190), (0.7, 1), (0.75, 1)),
    "magenta": ((295, 310), (0.7, 1), (0.7, 1)),
}
# Radius in pixels of each kind, from and to; for filaments half their length.
RADII = {
    "nuclei": (8, 17),
    "rings": (8, 17),
    "filaments": (22, 45),
    "spots": (2, 3.5),
    "squares": (8, 15),
    "triangles": (9, 17),
}
COUNTS = {"spots": (5, 14), "filaments": (1, 4)}
USUAL_COUNT = (1, 5)


@dataclass(frozen=True)
class OtherScene:
    """An image and what may be asked of it.

    Attributes
    ----------
    image : ndarray of uint8
        ``(160, 160, 3)``.
    truths : dict
        Prompt to its mask, ``(160, 160)``, for every prompt that has an answer in it.
    absent : tuple of str
        Kinds of which there is none.
    """

    image: NDArray[np.uint8]
    truths: dict[str, NDArray[np.bool_]]
    absent: tuple[str, ...]


def make_other_scene(seed: int) -> OtherScene:
    """Draw the scene of a seed; half of them gray, half coloured."""
    rng = np.random.default_rng([seed, 20_000])
    gray = bool(rng.random() < 0.5)
    background = _background(rng, gray)
    image = Image.fromarray(background).resize((SIDE * FINER,) * 2, Image.Resampling.BICUBIC)
    masks: dict[str, NDArray[np.bool_]] = {}
    taken: list[tuple[float, float, float]] = []
    kinds = [str(k) for k in rng.choice(list(RADII), size=rng.integers(2, 5), replace=False)]
    light = float(background.mean())
    shade = _shade(rng, light)
    # Large things first, so that small ones find a place between them.
    for kind in sorted(kinds, key=lambda k: -RADII[k][1]):
        for _ in range(rng.integers(*COUNTS.get(kind, USUAL_COUNT), endpoint=True)):
            radius = float(rng.uniform(*RADII[kind]))
            place = _place(rng, kind, radius, taken)
            if place is None:
                continue
            name = str(rng.choice(list(COLORS)))
            color = _gray_near(rng, shade) if gray else _color(rng, name)
            one = _draw(rng, kind, place, radius, image, color)
            for older in masks.values():
                older &= ~one  # what lies on top hides what lies below
            for prompt in [kind] if gray else [kind, f"{name} {kind}"]:
                masks[prompt] = masks.get(prompt, np.zeros_like(one)) | one
    seen = {prompt: mask for prompt, mask in masks.items() if mask.sum() >= LEAST_PIXELS}
    absent = tuple(kind for kind in RADII if kind not in masks)
    return OtherScene(_photograph(rng, image), seen, absent)


def _background(rng: np.random.Generator, gray: bool) -> NDArray[np.uint8]:
    """Return (160, 160, 3): flat, a gradient, or soft stripes, dark or bright."""
    base = rng.uniform(15, 70) if rng.random() < 0.6 else rng.uniform(170, 235)
    tint = np.zeros(3) if gray else rng.uniform(-14, 14, 3)
    y, x = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]
    angle = rng.uniform(0, 2 * math.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    style = rng.integers(3)
    if style == 0:
        pattern = np.zeros_like(x)
    elif style == 1:
        pattern = along - along.mean()
    else:
        pattern = 0.5 * np.sin(2 * math.pi * rng.uniform(2, 5) * along)
    values = base + rng.uniform(5, 25) * pattern[..., None] + tint
    return np.clip(values, 0, 255).astype(np.uint8)


def _shade(rng: np.random.Generator, light: float) -> float:
    """Return a gray that stands out from a background of this light."""
    return float(rng.uniform(light + 70, 250) if light < 120 else rng.uniform(10, light - 80))


def _gray_near(rng: np.random.Generator, shade: float) -> Color:
    value = int(np.clip(shade + rng.uniform(-15, 15), 0, 255))
    return value, value, value


def _color(rng: np.random.Generator, name: str) -> Color:
    hue, saturation, value = (rng.uniform(*limits) for limits in COLORS[name])
    hsv = Image.new(
        "HSV", (1, 1), (int(hue % 360 / 360 * 255), int(saturation * 255), int(value * 255))
    )
    red, green, blue = hsv.convert("RGB").tobytes()
    return red, green, blue


def _place(
    rng: np.random.Generator, kind: str, radius: float, taken: list[tuple[float, float, float]]
) -> Point | None:
    """Find a centre that keeps off the others; filaments may cross anything."""
    if kind == "filaments":
        return float(rng.uniform(0.2, 0.8) * SIDE), float(rng.uniform(0.2, 0.8) * SIDE)
    for _ in range(TRIES):
        x, y = rng.uniform(radius * 0.7, SIDE - radius * 0.7, 2)
        if all(math.hypot(x - a, y - b) > radius + r + 1 for a, b, r in taken):
            taken.append((x, y, radius))
            return float(x), float(y)
    return None


def _draw(
    rng: np.random.Generator,
    kind: str,
    place: Point,
    radius: float,
    image: Image.Image,
    color: Color,
) -> NDArray[np.bool_]:
    """Draw one thing into the image; return its mask, (160, 160)."""
    mask = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(mask)
    x, y, r = place[0] * FINER, place[1] * FINER, radius * FINER
    turn = float(rng.uniform(0, 2 * math.pi))
    if kind == "nuclei":
        pen.polygon(_oval(x, y, r, float(rng.uniform(0.65, 1)), turn), fill=255)
    elif kind == "rings":
        squeeze = float(rng.uniform(0.8, 1))
        thickness = float(rng.uniform(0.22, 0.38))
        pen.polygon(_oval(x, y, r, squeeze, turn), fill=255)
        pen.polygon(_oval(x, y, r * (1 - thickness), squeeze, turn), fill=0)
    elif kind == "spots":
        pen.ellipse([x - r, y - r, x + r, y + r], fill=255)
    elif kind == "squares":
        pen.polygon(_corners(x, y, r, 4, turn), fill=255)
    elif kind == "triangles":
        pen.polygon(_corners(x, y, r, 3, turn), fill=255)
    else:
        path = _curve(rng, x, y, r, turn)
        pen.line(path, fill=255, width=int(rng.uniform(2, 4) * FINER), joint="curve")
    if kind == "nuclei" and rng.random() < 0.5:
        _shaded(image, mask, color, (x, y), r)
    else:
        image.paste(color, mask=mask)
    small = np.asarray(mask.resize((SIDE, SIDE), Image.Resampling.BOX))
    return np.asarray(small > 127)


def _shaded(image: Image.Image, mask: Image.Image, color: Color, at: Point, radius: float) -> None:
    """Paste a colour that fades to three quarters of it from the centre outwards."""
    width, height = image.size
    y, x = np.ogrid[:height, :width]
    far = np.clip(np.hypot(x - at[0], y - at[1]) / radius, 0, 1)[..., None]
    values = np.array(color) * (1 - 0.25 * far)
    image.paste(Image.fromarray(values.astype(np.uint8)), mask=mask)


def _oval(x: float, y: float, r: float, squeeze: float, turn: float) -> list[Point]:
    points = []
    for t in np.linspace(0, 2 * math.pi, 72, endpoint=False):
        u, v = r * math.cos(t), r * squeeze * math.sin(t)
        points.append(
            (
                x + u * math.cos(turn) - v * math.sin(turn),
                y + u * math.sin(turn) + v * math.cos(turn),
            )
        )
    return points


def _corners(x: float, y: float, r: float, count: int, turn: float) -> list[Point]:
    angles = [turn + 2 * math.pi * i / count for i in range(count)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for a in angles]


def _curve(rng: np.random.Generator, x: float, y: float, r: float, turn: float) -> Sequence[Point]:
    """Return points of a quadratic Bezier curve."""
    dx, dy = r * math.cos(turn), r * math.sin(turn)
    bend = float(rng.uniform(-0.9, 0.9))
    ends = np.array([(x - dx, y - dy), (x - dy * bend * 2, y + dx * bend * 2), (x + dx, y + dy)])
    t = np.linspace(0, 1, 40)[:, None]
    points = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
    return [(float(a), float(b)) for a, b in points]


def _photograph(rng: np.random.Generator, image: Image.Image) -> NDArray[np.uint8]:
    """Average down, blur a little, and add noise."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    small = small.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 0.9))))
    values = np.asarray(small, dtype=np.float32)
    values = values + rng.normal(0, rng.uniform(0, 10), values.shape[:2])[..., None]
    return np.clip(values, 0, 255).astype(np.uint8)
