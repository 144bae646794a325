"""Train the bundled checkpoint from scratch: ``python tools/train_demo``.

Two stages, from one seed. First the vision tower alone (in CLIPSeg it comes trained): a linear
head on the extracted tokens names kind and colour at each pixel of the patch, another on the class
token names what a reference shows. Then everything, with text and image prompts mixed and
interpolated (https://arxiv.org/abs/2112.10003, section 3.3), the tower at a lower rate, the heads
as an aside. Scenes go from plain to hard. Towards the end the images become larger, as CLIPSeg's
own are larger than CLIP's: the same weights then look at a finer grid. What is written is a running
average of the weights.

``--resume`` goes on from the last saved state; batches depend on seed and step alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from train_demo.batches import Sampler
from train_demo.curve import plot_log
from train_demo.folder import make_config, write_folder
from train_demo.pool import SIDE, build_pool, patch_moments
from train_demo.trainer import Trainer, validate

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "src" / "napari_clipseg" / "checkpoints" / "demo"
VALIDATION_SEEDS = 1_000_000  # the first; training's count from 0, the test's from 2 million


def side(text: str) -> tuple[int, int]:
    """Read "7500:192": from step 7500 on images of 192 x 192."""
    step, pixels = map(int, text.split(":"))
    return step, pixels


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seed", type=int, default=1)
    add("--work", type=Path, default=Path("train-output"), help="pool and saved state")
    add("--folder", type=Path, default=FOLDER, help="the checkpoint folder to write")
    add("--pool", type=int, default=32000, help="scenes made beforehand")
    add("--validation", type=int, default=400, help="scenes to follow progress on")
    add("--steps", type=int, default=9000, help="of all stages")
    add("--dense-steps", type=int, default=2000, help="of the vision tower alone")
    add("--scenes", type=int, default=16, help="a step")
    add("--prompts", type=int, default=3, help="texts a scene")
    add("--references", type=int, default=4, help="image prompts a step")
    add("--lr", type=float, default=1.5e-3)
    add("--tower-rate", type=float, default=0.8, help="of lr, in the last stage")
    add("--dense-weight", type=float, default=1.0, help="of the dense loss in the last stage")
    add(
        "--sides",
        type=side,
        nargs="*",
        default=[(6500, 160), (8300, 192)],
        metavar="STEP:PIXELS",
        help=f"of the images from a step on, {SIDE} before the first",
    )
    add("--ramp", type=float, default=0.6, help="share of the steps from plain to all scenes")
    add("--warmup", type=int, default=100)
    add("--average", type=float, default=0.997, help="of the running mean of weights")
    add("--save-every", type=int, default=200)
    add("--threads", type=int, default=0)
    add("--compile", action="store_true", help="compile the vision tower (needs a C++ compiler)")
    add("--resume", action="store_true")
    add("--export-every", type=int, default=0, help="write the folder every so many steps")
    return parser.parse_args(arguments)


def export(trainer: Trainer, log: Path, folder: Path) -> None:
    """Write the checkpoint folder, with the log and its curve."""
    curve = log.with_name("training_curve.png")
    plot_log(log, curve)
    write_folder(folder, trainer.config, trainer.average.state_dict(), trainer.side, [log, curve])
    print(f"wrote {folder}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Train."""
    args = parse(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads or torch.get_num_threads())  # before the pool limits it
    pool = build_pool(args.work / "pool", 0, args.pool)
    held_out = build_pool(args.work / "validation", VALIDATION_SEEDS, args.validation)
    sampler, validation = Sampler(pool, args.seed), Sampler(held_out, args.seed)
    patch = make_config().vision_config.patch_size
    trainer = Trainer(args, device, torch.from_numpy(patch_moments(pool, patch)))
    state, log = args.work / "state.pt", args.work / "training_log.jsonl"
    if args.resume and state.exists():
        trainer.load(state)
        print(f"resumed at step {trainer.step}", flush=True)
        rows = [line for line in log.read_text().splitlines() if line]
        kept = [line for line in rows if json.loads(line)["step"] <= trainer.step]
        log.write_text("".join(f"{line}\n" for line in kept))
    else:
        log.write_text("")
    since, sums, seen = time.perf_counter(), dict[str, float](), 0
    while trainer.step < args.steps:
        for name, value in trainer.train_step(sampler).items():
            sums[name] = sums.get(name, 0.0) + value
        seen += 1
        last = trainer.step == args.steps
        if trainer.step % 50 == 0 or last:
            row: dict[str, Any] = {"step": trainer.step}
            row |= {name: round(total / seen, 4) for name, total in sums.items()}
            row["seconds_a_step"] = round((time.perf_counter() - since) / seen, 3)
            if trainer.step % args.save_every == 0 or last:
                found = validate(trainer, validation, batches=-(-args.validation // 100))
                row |= {k: round(v, 4) for k, v in found.items()}
                trainer.save(state)
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
            since, sums, seen = time.perf_counter(), {}, 0
        if last or (args.export_every and trainer.step % args.export_every == 0):
            export(trainer, log, args.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
