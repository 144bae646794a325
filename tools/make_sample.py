"""Make the plugin's samples from held-out seeds: ``python tools/make_sample.py``.

Each sample is an image, a label image (0 for nothing, k for prompt k), and a JSON file with the
prompts in label order and the seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from scenes.prompts import plain_wording
from scenes.scenes import make_scene, truth_mask

SAMPLES = Path(__file__).parents[1] / "src" / "napari_clipseg" / "samples"
# name: (seed, style, hardness, what is asked for: kind and colour); the seeds are of no set.
CHOSEN: dict[str, tuple[int, str, float, tuple[tuple[str, str | None], ...]]] = {
    "shapes": (
        4_000_214,
        "photo",
        0.3,
        (("rings", "red"), ("rings", "green"), ("nuclei", None)),
    ),
    "micrograph": (
        4_000_066,
        "micrograph",
        0.5,
        (("nuclei", None), ("rings", None), ("spots", None)),
    ),
}
SHAPE = (384, 512)  # neither square nor a power of two: a harder test of where results lie


def make_sample(name: str, folder: Path) -> None:
    """Write the three files of one sample."""
    seed, style, hardness, asked = CHOSEN[name]
    scene = make_scene(seed, style=style, hardness=hardness, shape=SHAPE, two_sizes=False)
    labels = np.zeros(SHAPE, np.uint8)
    for label, (kind, colour) in enumerate(asked, start=1):
        truth = truth_mask(scene, kind, colour)
        if not truth.any() or labels[truth].any():
            raise ValueError(f"{name}: {colour} {kind} is absent or part of an earlier prompt")
        labels[truth] = label
    folder.mkdir(parents=True, exist_ok=True)
    image = scene.image[..., 0] if style == "micrograph" else scene.image
    Image.fromarray(image).save(folder / f"{name}.png", optimize=True)
    Image.fromarray(labels).save(folder / f"{name}_truth.png", optimize=True)
    facts = {
        "prompts": [plain_wording(kind, colour) for kind, colour in asked],
        "seed": seed,
        "style": style,
        "hardness": hardness,
    }
    (folder / f"{name}.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{folder / name}.png: {', '.join(facts['prompts'])}")


def main() -> int:
    """Write all samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=SAMPLES)
    args = parser.parse_args()
    for name in CHOSEN:
        make_sample(name, args.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
