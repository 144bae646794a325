"""Draws a training log: losses and IoUs over steps, to a PNG, with Pillow alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

INKS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")
SIZE = (430, 300)
LEFT, TOP, RIGHT, BOTTOM = 52, 30, 14, 40
LOSSES = ("kind", "colour", "text", "image")
IOUS = ("dense_iou", "text_iou", "image_iou")


def _panel(
    title: str,
    curves: dict[str, list[tuple[float, float]]],
    span: tuple[float, float],
    log: bool,
    ticks: Sequence[float],
) -> Image.Image:
    image = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    last = max((x for points in curves.values() for x, _ in points), default=1.0)
    scale = math.log if log else float
    low, high = scale(span[0]), scale(span[1])

    def place(x: float, y: float) -> tuple[float, float]:
        share = (scale(min(max(y, span[0]), span[1])) - low) / (high - low)
        wide, tall = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM
        return LEFT + wide * x / last, TOP + tall * (1 - share)

    for tick in ticks:
        draw.line([place(0, tick), place(last, tick)], "#dddddd")
        draw.text((LEFT - 6, place(0, tick)[1]), f"{tick:g}", "black", font, anchor="rm")
    for share in (0, 0.5, 1):
        x, y = place(last * share, span[0])
        draw.text((x, y + 6), f"{last * share:.0f}", "black", font, anchor="mt")
    draw.text((SIZE[0] / 2, SIZE[1] - 6), "step", "black", font, anchor="mb")
    draw.text((LEFT, 8), title, "black", ImageFont.load_default(13))
    at = SIZE[0] - RIGHT
    for ink, (name, points) in reversed(list(zip(INKS, curves.items(), strict=False))):
        draw.line([place(x, y) for x, y in points], ink, 2)
        label = name.replace("_", " ")
        draw.text((at, 10), label, ink, font, anchor="ra")
        at -= draw.textlength(label, font) + 10
    draw.line([place(0, span[1]), place(0, span[0]), place(last, span[0])], "black")
    return image


def plot_log(log: Path, image: Path) -> None:
    """Draw a log (JSON lines, each with ``step``) to a PNG of two panels."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line]

    def curves(names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
        found = {n: [(row["step"], row[n]) for row in rows if n in row] for n in names}
        return {name: points for name, points in found.items() if points}

    left = _panel("training loss", curves(LOSSES), (0.02, 2.0), True, (0.02, 0.1, 0.5, 2.0))
    right = _panel("IoU, validation", curves(IOUS), (0.0, 1.0), False, (0, 0.2, 0.4, 0.6, 0.8, 1))
    both = Image.new("RGB", (2 * SIZE[0], SIZE[1]), "white")
    both.paste(left, (0, 0))
    both.paste(right, (SIZE[0], 0))
    both.save(image, optimize=True)
