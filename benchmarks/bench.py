"""Time and memory of the engine beside ``transformers``, on the same random weights.

``tox -e bench``, or ``python benchmarks/bench.py [--rounds N]``. Both run in one call and take
turns, so that what else the machine does weighs on both; read the ratios, not the seconds.
For Linux and macOS, where the operating system tells the peak of a process's memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

# Random checkpoints are made by the maintainers' tools.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

PROMPT = "red rings"
SIZE = "rd64-refined"
OURS, REFERENCE = "ours", "transformers"


def picture() -> np.ndarray:
    """Return a new random picture of the size of a photo: ``(480, 640, 3)``, uint8."""
    return np.random.default_rng().integers(0, 256, (480, 640, 3), dtype=np.uint8)


def build(implementation: str, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a picture to the logits of the prompt, the model loaded."""
    if implementation == OURS:
        from napari_clipseg import load

        engine = load(folder, device="cpu")
        return lambda image: engine.decode(engine.encode([image]), engine.embed([PROMPT]))[0, 0]

    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    model = transformers.CLIPSegForImageSegmentation.from_pretrained(folder).eval()
    images = transformers.ViTImageProcessor.from_pretrained(folder)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    processor = transformers.CLIPSegProcessor(images, tokenizer)

    def run(image: np.ndarray) -> np.ndarray:
        inputs = processor(text=[PROMPT], images=[image], padding=True, return_tensors="pt")
        with torch.inference_mode():
            return model(**inputs).logits.reshape(352, 352).numpy()

    return run


def cold(implementation: str, folder: Path) -> dict[str, float]:
    """Run one map in a fresh process: seconds from its start, and its peak memory."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--one", implementation, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    peak: float = json.loads(done.stdout.splitlines()[-1])["peak_bytes"]
    return {"seconds": time.perf_counter() - began, "peak": peak}


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def warm(folder: Path, rounds: int) -> dict[str, float]:
    """Return median seconds of a new picture with one prompt, in turns."""
    runs = {name: build(name, folder) for name in (OURS, REFERENCE)}
    same = picture()
    first = {name: run(same) for name, run in runs.items()}  # warm up, and compare
    difference = np.abs(first[OURS] - first[REFERENCE]).max() / np.abs(first[REFERENCE]).max()
    print(f"largest difference / largest logit: {difference:.1e}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        image = picture()
        for name, run in runs.items():
            began = time.perf_counter()
            run(image)
            seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--one", choices=[OURS, REFERENCE], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        build(arguments.one, arguments.folder)(picture())
        print(json.dumps({"peak_bytes": peak_bytes()}))
        return

    import torch

    from parity import write_random_checkpoint

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32, shape of {SIZE}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_random_checkpoint(folder, SIZE)
        processes: dict[str, list[dict[str, float]]] = {OURS: [], REFERENCE: []}
        for _ in range(3):
            for implementation, results in processes.items():
                results.append(cold(implementation, folder))
        medians = warm(folder, arguments.rounds)
    rows = [("one prompt, new picture", "s", medians)]
    for title, unit, key, scale in (
        ("cold process to the first map", "s", "seconds", 1.0),
        ("peak memory of that process", "GB", "peak", 1e-9),
    ):
        values = {
            implementation: scale * statistics.median(result[key] for result in results)
            for implementation, results in processes.items()
        }
        rows.append((title, unit, values))
    print(f"| work | {OURS} | {REFERENCE} | {OURS} / {REFERENCE} |")
    print("|---|---|---|---|")
    for title, unit, values in rows:
        ratio = values[OURS] / values[REFERENCE]
        cells = [f"{values[name]:.2f} {unit}" for name in (OURS, REFERENCE)]
        print(f"| {title} | {cells[0]} | {cells[1]} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
