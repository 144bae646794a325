"""Print how far the labels of int8, and of half precision, lie from those of float32.

``python tools/evaluate/agreement.py [--scenes N]``: the bundled checkpoint, on its samples
and on scenes that it was neither trained nor chosen on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.runtime.devices import pick_device
from napari_clipseg.sample_data import SAMPLES, load_sample
from scenes.prompts import prompts_for
from scenes.scenes import make_scene

FIRST_SEED = 6_000_000
SCENES = 60


def questions(
    scenes: int, samples: Iterable[str] = tuple(SAMPLES)
) -> Iterator[tuple[NDArray[np.uint8], list[str]]]:
    """Yield images, each with what to ask of it: things that are there, and absent ones."""
    for sample in map(load_sample, samples):
        image = sample.image if sample.image.ndim == 3 else np.dstack([sample.image] * 3)
        yield image, list(sample.prompts)
    for seed in range(FIRST_SEED, FIRST_SEED + scenes):
        scene = make_scene(seed)
        if texts := [prompt.text for prompt in prompts_for(scene)]:
            yield scene.image, texts


def marked(engine: Engine, image: NDArray[np.uint8], texts: list[str]) -> NDArray[np.bool_]:
    """Return ``(texts, height, width)``: where each is likelier than the checkpoint's threshold."""
    level = engine.config.default_threshold
    logits = engine.decode(engine.encode([image], cache=False), engine.embed(texts))[0]
    return logits > np.log(level / (1 - level))


def label_agreement(one: Engine, other: Engine, scenes: int = SCENES) -> float:
    """Return the IoU of what two engines mark, of all pixels of all answers together."""
    both = either = 0
    for image, texts in questions(scenes):
        a, b = (marked(engine, image, texts) for engine in (one, other))
        both += int((a & b).sum())
        either += int((a | b).sum())
    return both / either


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=SCENES, help="default: %(default)s")
    scenes = parser.parse_args().scenes
    full = load("demo", device="cpu")
    others = [load("demo", device="cpu", precision="int8")]
    if pick_device().type != "cpu":
        others.append(load("demo"))
    for other in others:
        agreement = label_agreement(full, other, scenes)
        print(
            f"{other.precision} on {other.device}: label IoU {agreement:.4f} with float32 on the "
            f"CPU ({scenes} scenes, {len(SAMPLES)} samples)"
        )


if __name__ == "__main__":
    main()
