"""What teaching is measured on: images with reference masks, and strokes drawn on them by chance.

Five of scikit-image's photographs, with masks found by classical means, and scenes with a kind of
shape that no word of the bundled checkpoint names, among other shapes of the same colors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import color, data, filters, morphology

from evaluate.demo import coins_mask

Mask = NDArray[np.bool_]

STROKE_LENGTH = 20  # pixels
STROKE_RADIUS = 1
BESIDE, ON = 1, 2  # values of strokes
SHAPES = ("stars", "crosses", "crescents")
OTHERS = ("disks", "squares", "triangles", "rings")
SIDE = 256
FINER = 4  # shapes are drawn this many times larger, then averaged down
COLORS = ((220, 60, 50), (60, 160, 70), (60, 90, 220), (235, 200, 60), (190, 80, 190))


@dataclass(frozen=True)
class Case:
    """One image and what is wanted in it.

    Attributes
    ----------
    name : str
    image : ndarray of uint8
        ``(height, width)`` or ``(height, width, 3)``.
    truth : ndarray of bool
        ``(height, width)``.
    words : tuple of str
        What somebody would type.
    """

    name: str
    image: NDArray[np.uint8]
    truth: Mask
    words: tuple[str, ...]


def coins() -> Case:
    """Coins on a table, unevenly lit."""
    return Case("coins", data.coins(), coins_mask(), ("coins", "gray disks", "nuclei"))


def cell() -> Case:
    """One cell on a gray ground: what differs from its surroundings, closed and filled."""
    image = data.cell()
    rough = filters.sobel(filters.gaussian(image, 2))
    mask = morphology.closing(rough > filters.threshold_otsu(rough), morphology.disk(7))
    mask = ndimage.binary_fill_holes(mask)
    mask = morphology.opening(mask, morphology.disk(5))
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return Case("cell", image, labels == sizes.argmax(), ("cell", "nuclei", "dark nuclei"))


def brown() -> Case:
    """The brown stain of a section: its DAB channel above Otsu's threshold."""
    image = data.immunohistochemistry()
    stain = filters.gaussian(color.rgb2hed(image)[..., 2], 1)
    words = ("brown", "brown stain", "orange nuclei")
    return Case("brown", image, stain > filters.threshold_otsu(stain), words)


def galaxies() -> Case:
    """A quarter of the deep field: what stands out from its surroundings."""
    image = np.ascontiguousarray(data.hubble_deep_field()[:436, :500])
    gray = filters.gaussian(color.rgb2gray(image), 1)
    mask = gray > filters.threshold_local(gray, 101) + 2 * np.median(np.abs(gray - np.median(gray)))
    mask = morphology.opening(mask, morphology.disk(1))
    return Case("galaxies", image, mask, ("galaxies", "spots", "white spots"))


def vessels() -> Case:
    """The vessels of a retina: darker lines, by their second derivatives."""
    image = np.ascontiguousarray(data.retina()[::2, ::2])
    green = filters.gaussian(image[..., 1], 1)
    lines = filters.sato(green, sigmas=(1, 2, 3), black_ridges=True)
    eye = ndimage.binary_erosion(filters.gaussian(image[..., 0], 3) > 0.15, iterations=12)
    lines = lines * eye
    mask = filters.apply_hysteresis_threshold(
        lines, np.quantile(lines[eye], 0.86), np.quantile(lines[eye], 0.95)
    )
    mask = morphology.remove_small_objects(mask, max_size=100)
    return Case("vessels", image, mask, ("vessels", "filaments", "dark filaments"))


def shapes(kind: str, seed: int = 0, *, layout: int = 0, wanted: int = 8) -> Case:
    """Draw a scene with one of `SHAPES`, among `OTHERS` of the same colors and sizes.

    Parameters
    ----------
    kind : str
        What is wanted.
    seed : int
        Of the colors and the light.
    layout : int
        Of the places: scenes of one seed and other layouts are of one series.
    wanted : int
        How many of the kind.
    """
    rng = np.random.default_rng([17, SHAPES.index(kind), seed])
    base = rng.uniform(20, 60, 3) if rng.random() < 0.5 else rng.uniform(120, 160, 3)
    canvas = Image.new("RGB", (SIDE * FINER,) * 2, tuple(int(v) for v in base))
    truth = np.zeros((SIDE, SIDE), bool)
    colors = rng.permutation(len(COLORS))[:2]
    if layout:
        rng = np.random.default_rng([18, SHAPES.index(kind), seed, layout])
    drawn = [kind] * wanted + [str(one) for one in rng.choice(OTHERS, 12)]
    taken: list[tuple[float, float, float]] = []
    for one in rng.permutation(drawn):
        for _ in range(200):
            r = float(rng.uniform(11, 19))
            x, y = rng.uniform(r, SIDE - r, 2)
            if all(math.hypot(x - a, y - b) > r + c + 2 for a, b, c in taken):
                break
        else:
            continue
        taken.append((float(x), float(y), r))
        shape = _drawn(str(one), float(x), float(y), r, float(rng.uniform(0, 2 * math.pi)))
        shade = np.array(COLORS[colors[rng.integers(2)]]) * rng.uniform(0.85, 1)
        canvas.paste(tuple(int(v) for v in shade), mask=shape)
        small = np.asarray(shape.resize((SIDE, SIDE), Image.Resampling.BOX)) > 127
        truth = truth | small if one == kind else truth & ~small
    image = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    image = ndimage.gaussian_filter(image, (0.7, 0.7, 0)) + rng.normal(0, 6, image.shape)
    return Case(kind, np.clip(image, 0, 255).astype(np.uint8), truth, (kind, "triangles", "rings"))


def _drawn(kind: str, x: float, y: float, r: float, turn: float) -> Image.Image:
    """Return the mask of one shape, `FINER` times larger."""
    mask = Image.new("L", (SIDE * FINER,) * 2, 0)
    pen = ImageDraw.Draw(mask)
    x, y, r = x * FINER, y * FINER, r * FINER

    def corner(angle: float, far: float) -> tuple[float, float]:
        return x + far * math.cos(turn + angle), y + far * math.sin(turn + angle)

    def disk(cx: float, cy: float, radius: float, fill: int) -> None:
        pen.ellipse([cx - radius, cy - radius, cx + radius, cy + radius], fill=fill)

    if kind in ("disks", "rings", "crescents"):
        disk(x, y, r, 255)
    if kind == "rings":
        disk(x, y, 0.65 * r, 0)
    elif kind == "crescents":
        disk(*corner(0, 0.5 * r), 0.8 * r, 0)
    elif kind in ("squares", "triangles"):
        count = 4 if kind == "squares" else 3
        pen.polygon([corner(2 * math.pi * i / count, r) for i in range(count)], fill=255)
    elif kind == "stars":
        far = [r, 0.42 * r] * 5
        pen.polygon([corner(math.pi * i / 5, one) for i, one in enumerate(far)], fill=255)
    elif kind == "crosses":
        for a in (0.0, math.pi / 2):
            arm = math.atan2(0.28, 1)
            angles = (a - arm, a + arm, a + math.pi - arm, a + math.pi + arm)
            pen.polygon([corner(one, r) for one in angles], fill=255)
    return mask


CASES: tuple[Callable[[], Case], ...] = (
    coins,
    cell,
    brown,
    galaxies,
    vessels,
    lambda: shapes("stars"),
    lambda: shapes("crosses"),
    lambda: shapes("crescents"),
)


def draw_strokes(truth: Mask, count: int, seed: int) -> NDArray[np.uint8]:
    """Draw strokes by chance: every second one on the thing, if it is there, the others beside it.

    Each begins at a pixel drawn by chance, winds for about `STROKE_LENGTH` pixels, and turns where
    it would leave the thing, or touch it. Strokes of a smaller count are the first ones of a
    larger count.

    Parameters
    ----------
    truth : ndarray of bool
        ``(height, width)``.
    count : int
        Number of strokes.
    seed : int
        Of chance.

    Returns
    -------
    ndarray of uint8
        ``(height, width)``: 0 unpainted, 1 beside, 2 on the thing.
    """
    strokes = np.zeros(truth.shape, np.uint8)
    # A brush that is wider than the thing touches its surroundings; a user would take a finer one.
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        value, own = (ON, truth) if number % 2 == 0 and truth.any() else (BESIDE, ~truth)
        inner = ndimage.binary_erosion(own, iterations=STROKE_RADIUS, border_value=1)
        inner = inner if inner.any() else own
        y, x = np.argwhere(inner)[rng.integers(inner.sum())].astype(float)
        angle = rng.uniform(0, 2 * math.pi)
        for _ in range(STROKE_LENGTH):
            row, column = round(y), round(x)
            around = (
                slice(max(row - STROKE_RADIUS, 0), row + STROKE_RADIUS + 1),
                slice(max(column - STROKE_RADIUS, 0), column + STROKE_RADIUS + 1),
            )
            strokes[around][own[around]] = value
            for turn in (0.3, 0.6, 1.2, 2.4, 2.4, 2.4):
                new = angle + rng.normal(0, turn)
                ahead = round(y + math.sin(new)), round(x + math.cos(new))
                if (
                    all(0 <= a < n for a, n in zip(ahead, truth.shape, strict=True))
                    and inner[ahead]
                ):
                    break
            else:
                break
            angle = new
            y, x = y + math.sin(angle), x + math.cos(angle)
    return strokes
