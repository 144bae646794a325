"""Print what other plugins make of the same strokes: ``python tools/evaluate/teach_peers.py``.

They are no dependencies: make an environment for them, with this package in it::

    python -m venv peers
    peers/bin/python -m pip install . napari-convpaint pyqt6 apoc pocl-binary-distribution
    peers/bin/python tools/evaluate/teach_peers.py --seeds 3

- scikit-image's trainable segmentation, as in its gallery: a random forest on its filters.
- napari-convpaint with its Gaussian filters: its other features have to be downloaded.
- APOC, a random forest on a GPU, here on OpenCL for processors.

What is not installed, or does not run, is said. IoU and seconds are means over cases and seeds;
seconds hold training and the answer on the whole image, and, for ours, the image's features.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluate.teach import beside
from evaluate.teach_cases import CASES, ON, Mask, draw_strokes
from napari_clipseg.engine.loading import load
from napari_clipseg.segmentation import segment
from napari_clipseg.teaching.teach import teach

Strokes = NDArray[np.uint8]
Tool = Callable[[NDArray[np.uint8], Strokes], Mask]
COUNTS = (6, 12, 24)


def ours(image: NDArray[np.uint8], strokes: Strokes) -> Mask:
    """Teach a prompt, and segment with it."""
    engine = load("demo", device="cpu")
    engine.clear_cache()
    learned = teach(image, strokes, model=engine)
    return np.asarray(segment(image, learned, model=engine).labels > 0)


def scikit_image(image: NDArray[np.uint8], strokes: Strokes) -> Mask:
    """Do what its gallery shows: https://scikit-image.org/docs/stable/auto_examples/."""
    from functools import partial

    from skimage import feature, future
    from sklearn.ensemble import RandomForestClassifier

    axis = -1 if image.ndim == 3 else None
    features = partial(
        feature.multiscale_basic_features, sigma_min=1, sigma_max=16, channel_axis=axis
    )
    forest = RandomForestClassifier(n_estimators=50, max_depth=10, max_samples=0.05, random_state=0)
    found = features(image)
    model = future.fit_segmenter(strokes, found, forest)
    return np.asarray(future.predict_segmenter(found, model) == ON)


def convpaint(image: NDArray[np.uint8], strokes: Strokes) -> Mask:
    """Train napari-convpaint's model on Gaussian filters."""
    from napari_convpaint.convpaint_model import ConvpaintModel

    model = ConvpaintModel(alias="gaussian")
    shown = np.moveaxis(image, -1, 0) if image.ndim == 3 else image
    model.train(shown, strokes)
    return np.asarray(np.squeeze(model.segment(shown)) == ON)


def apoc(image: NDArray[np.uint8], strokes: Strokes) -> Mask:
    """Train APOC's pixel classifier with its usual features on each channel."""
    import apoc as package

    channels = [image] if image.ndim == 2 else list(np.moveaxis(image, -1, 0))
    with tempfile.TemporaryDirectory() as folder:
        model = package.PixelClassifier(opencl_filename=str(Path(folder) / "model.cl"))
        features = package.PredefinedFeatureSet.small_quick.value
        model.train(features=features, ground_truth=strokes, image=channels)
        return np.asarray(model.predict(image=channels)) == ON


TOOLS: dict[str, Tool] = {
    "ours": ours,
    "scikit-image, trainable segmentation": scikit_image,
    "napari-convpaint, Gaussian filters": convpaint,
    "APOC, small quick features": apoc,
}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="drawings of strokes (3)")
    seeds = parser.parse_args().seeds
    print("| from the same strokes | " + " | ".join(f"{n} strokes" for n in COUNTS) + " | s |")
    print("|---|" + "---|" * (len(COUNTS) + 1))
    cases = [make() for make in CASES]
    for name, tool in TOOLS.items():
        found: dict[int, list[float]] = {count: [] for count in COUNTS}
        seconds = []
        try:
            for case in cases:
                for seed in range(seeds):
                    for count in COUNTS:
                        strokes = draw_strokes(case.truth, count, seed)
                        start = time.perf_counter()
                        mask = tool(case.image, strokes)
                        seconds.append(time.perf_counter() - start)
                        found[count].append(beside(mask, case, strokes))
        except Exception as error:  # one that does not run here is no reason to end
            print(f"| {name} | does not run: {type(error).__name__}: {str(error)[:100]} |")
            continue
        values = " | ".join(f"{np.mean(one):.3f}" for one in found.values())
        print(f"| {name} | {values} | {np.mean(seconds):.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
