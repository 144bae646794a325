"""What a batch survives: kills, a lost worker, a full disk; and how fast it is.

``python tools/evaluate/batch.py [kills worker disk listing large speed workers]``: each prints its
figures, and ends with an error where a promise is broken. ``disk`` mounts a disk of 20 MB, which
needs the right to do so; with ``--disk FOLDER`` another small one is taken.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import tifffile
import zarr
from numpy.typing import NDArray

# A script finds what lies beside it; the packages lie one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evaluate.mixed import write_mixed
from napari_clipseg.engine.engine import Engine
from napari_clipseg.files.batch import plan_batch, segment_files
from napari_clipseg.recipe import Recipe
from napari_clipseg.sample_data import load_sample

GOOD, BAD, KILLS = 190, 10, 3
WORDS = ("--prompt", "red rings", "--prompt", "nuclei", "--prompt", "rings")
PROMPTS = (*WORDS, "--prompt", "lines", "--not", "blue squares", "--objects")
MB = 2**20


def command(folder: Path, output: Path, *more: str) -> list[str]:
    run = [sys.executable, "-m", "napari_clipseg", "segment", str(folder), "--recursive", "--json"]
    return [*run, "--output", str(output), *PROMPTS, *more]


def start(folder: Path, output: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(folder, output, *more), stdout=subprocess.PIPE, text=True)


def events(said: str) -> list[dict[str, object]]:
    lines = (line for line in said.splitlines() if line.endswith("}"))
    return [json.loads(line) for line in lines]


def done_in(said: str) -> Counter[str]:
    return Counter(str(one["path"]) for one in events(said) if one.get("status") == "done")


def labels_of(output: Path) -> dict[str, NDArray[np.integer]]:
    found = sorted(output.rglob("*.labels.ome.tif"))
    return {str(path.relative_to(output)): tifffile.imread(path) for path in found}


def require(holds: bool, promise: str) -> None:
    print(f"  {'holds' if holds else 'BROKEN'}: {promise}")
    if not holds:
        raise SystemExit(1)


def require_complete(output: Path, wanted: Path, done: Counter[str]) -> None:
    """Check an output folder against that of a run that nobody disturbed."""
    labels, other = labels_of(output), labels_of(wanted)
    same = labels.keys() == other.keys() and all(
        labels[name].dtype == other[name].dtype and (labels[name] == other[name]).all()
        for name in other
    )
    failed = (output / "failed.csv").read_text().splitlines()[1:]
    left = [one for one in output.rglob("*") if one.name.startswith(".part-")]
    left += list(output.rglob("*.lock*"))
    require(len(labels) == GOOD and same, f"{len(labels)} outputs, as those of the undisturbed run")
    require(max(done.values()) == 1, f"{sum(done.values())} told as done, none of them twice")
    require(len(failed) == BAD, f"{len(failed)} in failed.csv")
    require(not left, "no half file and no lock left")


def kills(folder: Path, work: Path) -> None:
    started = time.monotonic()
    said, _ = start(folder, work / "whole").communicate()
    length = time.monotonic() - started
    print(f"kills: undisturbed {length:.1f} s, {len(done_in(said))} of {GOOD} done")
    done: Counter[str] = Counter()
    rng = random.Random(time.time_ns())
    for _ in range(KILLS):
        run = start(folder, work / "killed")
        after = rng.uniform(0.35, 0.6) * length
        time.sleep(after)
        run.kill()
        said, _ = run.communicate()
        done += done_in(said)
        print(f"  killed after {after:.2f} s, {len(done)} done")
    run = start(folder, work / "killed")
    said, _ = run.communicate()
    done += done_in(said)
    print(f"  went on to the end with status {run.returncode}, {len(done)} done")
    require_complete(work / "killed", work / "whole", done)


def worker(folder: Path, work: Path) -> None:
    run = start(folder, work / "workers", "--workers", "2")
    seen, asked = [], False
    assert run.stdout is not None
    for line in run.stdout:
        seen.append(line)
        if '"done"' in line and len(seen) > 20 and not asked:
            # The nannies are the parents of the workers, which are the youngest that compute.
            children = psutil.Process(run.pid).children(recursive=True)
            max(children, key=lambda one: one.cpu_times().user).kill()
            asked = True
    run.wait()
    print(f"worker: one of two killed after 20 lines, status {run.returncode}")
    require(asked, "a worker was killed")
    require_complete(work / "workers", work / "whole", done_in("".join(seen)))


def disk(folder: Path, work: Path, given: Path | None) -> None:
    small = given or work / "disk"
    if given is None:
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", small], check=True)
    try:
        output = small / "found"
        more = ("--formats", "labels-tiff,probability-tiff,csv")
        run = start(folder, output, *more)
        run.communicate()
        free = shutil.disk_usage(small).free
        count = len(labels_of(output))
        print(f"disk: status {run.returncode}, {count} done, {free / MB:.2f} MB free")
        require(run.returncode == 4, "it ended because the disk is full")
        left = [one for one in output.rglob("*") if one.name.startswith(".part-")]
        require(not left, "no half file left")
        for path in output.rglob("*.tif"):
            tifffile.imread(path)
        names = [len(list(output.rglob(f"*{end}"))) for end in (".labels.ome.tif", ".csv.json")]
        require(names[0] == names[1], f"{names[0]} images have all of their outputs, others none")
        for path in output.rglob("*.probability.ome.tif"):
            path.unlink()
        run = start(folder, output)
        run.communicate()
        print(f"  with room made: status {run.returncode}, {len(labels_of(output))} done")
        require(len(labels_of(output)) == GOOD, "the rest was done then")
    finally:
        if given is None:
            subprocess.run(["umount", small], check=True)


def listing(work: Path) -> None:
    many = work / "many"
    many.mkdir()
    first = many / "image 0.tif"
    tifffile.imwrite(first, np.zeros((64, 64), np.uint8))
    for i in range(1, 10_000):
        (many / f"image {i}.tif").hardlink_to(first)
    plan_batch(many, Recipe("nuclei"), work / "none")  # imports, and the hash of the weights
    started = time.perf_counter()
    found = plan_batch(many, Recipe("nuclei"), work / "none")
    print(f"listing: {len(found.jobs):,} files planned in {time.perf_counter() - started:.2f} s")


def large(work: Path, side: int) -> None:
    """Compare one image by tiles on two workers with a single process."""
    image, sample = work / "large.zarr", load_sample("shapes").image[..., 1]
    rows = np.tile(sample, (1, -(-side // sample.shape[1])))[:, :side]
    array = zarr.create_array(image, shape=(side, side), chunks=(512, 512), dtype=np.uint8)
    for top in range(0, side, len(rows)):
        array[top : top + len(rows)] = rows[: side - top]
    more = ("--split", "distance", "--detail", str(max(192, side // 25)))
    more = (*more, "--formats", "labels-zarr,csv")
    for name, workers in (("one", ()), ("two", ("--workers", "2"))):
        started = time.monotonic()
        run = start(image, work / name, *more, *workers)
        peaks = Counter[str]()
        while run.poll() is None:
            time.sleep(0.2)
            for pid, nbytes in sizes_of(run.pid):
                peaks[str(pid)] = max(peaks[str(pid)], nbytes)
        peak = max(peaks.values()) / MB
        print(
            f"large: {side} x {side}, {name}: status {run.returncode}, "
            f"{time.monotonic() - started:.0f} s, peak {peak:,.0f} MB of the largest process"
        )
    one, two = (
        zarr.open_group(work / name / "large.labels.ome.zarr", mode="r")["0"]
        for name in ("one", "two")
    )
    same = all((one[top : top + 512] == two[top : top + 512]).all() for top in range(0, side, 512))
    tables = [(work / name / "large.csv").read_bytes() for name in ("one", "two")]
    count = tables[0].count(b"\n") - 1
    require(same and tables[0] == tables[1], f"labels and table of {count:,} objects are equal")


def sizes_of(pid: int) -> list[tuple[int, int]]:
    """Return the memory of a process and of those that it started."""
    found = []
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                found.append((process.pid, process.memory_info().rss))
    return found


def speed(folder: Path, work: Path) -> None:
    """Compare a batch with the time in the model alone, at the size of the published one."""
    from parity import write_random_checkpoint

    spent, count, original = 0.0, 16, (Engine.encode, Engine.decode)

    def timed(function):  # type: ignore[no-untyped-def]
        def run(*given, **named):  # type: ignore[no-untyped-def]
            nonlocal spent
            started = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent += time.perf_counter() - started

        return run

    write_random_checkpoint(work / "published", "rd64-refined")
    Engine.encode, Engine.decode = map(timed, original)  # type: ignore[method-assign]
    images = work / "images"
    write_mixed(images, count, 0)
    recipe = Recipe(["red rings", "nuclei"], model=str(work / "published"))
    warm = next(path for path in images.iterdir() if path.suffix == ".png")
    run_to_end(plan_batch(warm, recipe, work / "warm"))
    spent, started = 0.0, time.perf_counter()
    run_to_end(plan_batch(images, recipe, work / "speed", recursive=True))
    whole = time.perf_counter() - started
    print(
        f"speed: {count} images in {whole:.2f} s, {spent:.2f} s of them in the model: "
        f"{spent / whole:.3f}"
    )


def workers(work: Path) -> None:
    """Compare two workers of one thread with one, beside what the machine does with two threads."""
    from distributed import Client, LocalCluster

    from napari_clipseg.files.cluster import PLUGIN, OneAtATime
    from parity import write_random_checkpoint

    folder = work / "of published size"
    if not folder.exists():
        write_random_checkpoint(folder, "rd64-refined")
    images, others, count = work / "for workers", work / "to warm up", 24
    write_mixed(images, count, 0)
    for number in range(4):  # other images: workers keep the features of those that they saw
        others.mkdir(exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (352, 352, 3), dtype=np.uint8)
        tifffile.imwrite(others / f"{number}.tif", noise)
    recipe = Recipe(["red rings", "nuclei"], model=str(folder))
    seconds, products = {}, {}
    for number in (1, 2):
        with (
            LocalCluster(n_workers=number, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.register_plugin(OneAtATime(1), name=PLUGIN)
            client.run(product_seconds)
            products[number] = max(client.run(product_seconds).values())
            warm = work / f"warm of {number}"
            segment_files(others, recipe, warm, client=client)
            started = time.perf_counter()
            output = work / f"done by {number}"
            segment_files(images, recipe, output, client=client, recursive=True)
            seconds[number] = time.perf_counter() - started
    print(
        f"workers: {count} images, one thread each: one {seconds[1]:.1f} s, two {seconds[2]:.1f} s:"
        f" {seconds[1] / seconds[2]:.2f} times as fast; products of matrices alone, which share"
        f" nothing but the machine: {2 * products[1] / products[2]:.2f} times"
    )


def product_seconds() -> float:
    """Return how long products of matrices take, with one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = torch.randn(1024, 1024)
    started = time.perf_counter()
    for _ in range(200):
        one @ one
    torch.set_num_threads(threads)
    return time.perf_counter() - started


def run_to_end(batch) -> None:  # type: ignore[no-untyped-def]
    for _ in batch.steps():
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("kills", "worker", "disk", "listing", "large", "speed", "workers")
    parser.add_argument("parts", nargs="*", default=parts, help=f"of {', '.join(parts)}")
    parser.add_argument("--side", type=int, default=20_000, help="of the large image, in pixels")
    parser.add_argument("--disk", type=Path, help="a folder on a small disk")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, work = Path(place, "in"), Path(place)
        write_mixed(folder, GOOD, BAD)
        if "kills" in arguments.parts:
            kills(folder, work)
        if "worker" in arguments.parts:
            if not (work / "whole").exists():
                start(folder, work / "whole").communicate()
            worker(folder, work)
        if "disk" in arguments.parts:
            disk(folder, work, arguments.disk)
        if "listing" in arguments.parts:
            listing(work)
        if "large" in arguments.parts:
            large(work, arguments.side)
        if "speed" in arguments.parts:
            speed(folder, work)
        if "workers" in arguments.parts:
            workers(work)


if __name__ == "__main__":
    main()
