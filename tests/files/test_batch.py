"""Many images, one recipe: nothing is lost, nothing is half, and the rest goes on."""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from evaluate.mixed import BAD, write_ome_zarr
from napari_clipseg import InstanceOptions, Recipe, segment, segment_files
from napari_clipseg.files import batch, large, locks, one
from napari_clipseg.files.batch import plan_batch, run_steps
from napari_clipseg.files.jobs import Job
from napari_clipseg.files.ledger import Ledger, part_path, remove_parts
from napari_clipseg.files.summary import DISK_FULL
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.label_files import new_labels
from napari_clipseg.sample_data import load_sample
from napari_clipseg.segmentation import segment_steps as steps

RECIPE = Recipe(["red rings", "nuclei"], threshold=0.3)


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sample = load_sample("shapes").image
    for i in range(3):
        path = Path("in", "sub" if i == 2 else "", f"{i}.tif")
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, sample[40 * i : 40 * i + 90, :80], photometric="rgb")


def run(recipe=RECIPE, output="out", **options):
    return segment_files("in", recipe, output, recursive=True, **options)


def statuses(summary):
    return [one.status for one in summary.files]


def left_over(output="out"):
    names = (path.name for path in Path(output).rglob("*"))
    return [name for name in names if name.startswith(".part-") or ".lock" in name]


def labels(name, output="out"):
    return tifffile.imread(Path(output, f"{name}.labels.ome.tif"))


# -- what is done


def test_labels_are_those_of_segment():
    summary = run()
    assert statuses(summary) == ["done"] * 3
    assert not summary.ended
    assert summary.failed_csv is None
    for name in ("0", "1", "sub/2"):
        wanted = segment(tifffile.imread(f"in/{name}.tif"), RECIPE).labels
        np.testing.assert_array_equal(labels(name), wanted)
    names = sorted(path.relative_to(Path("out").absolute()).as_posix() for path in files())
    ends = (".csv", ".csv.json", ".labels.ome.tif")
    assert names == sorted(f"{name}{end}" for name in ("0", "1", "sub/2") for end in ends)


def files(output="out"):
    return [
        path
        for path in Path(output).absolute().rglob("*")
        if path.is_file() and ".napari-clipseg" not in path.parts
    ]


def test_what_is_done_is_not_done_again(monkeypatch):
    run()
    before = {path: path.stat().st_mtime_ns for path in files()}
    monkeypatch.setattr(one, "segment_steps", None)
    summary = run()
    assert statuses(summary) == ["already done"] * 3
    assert {path: path.stat().st_mtime_ns for path in files()} == before
    assert str(summary) == "3 of 3 images done (3 before)"


def test_another_format_is_added_and_the_others_stay():
    run(formats=["csv"])
    before = Path("out/0.csv").stat().st_mtime_ns
    assert statuses(run()) == ["done"] * 3
    assert Path("out/0.csv").stat().st_mtime_ns == before
    assert statuses(run(formats=["labels-tiff"])) == ["already done"] * 3


def test_an_output_that_was_deleted_is_made_again():
    run()
    Path("out/1.csv").unlink()
    assert sorted(statuses(run())) == ["already done", "already done", "done"]
    assert Path("out/1.csv").exists()


@pytest.mark.parametrize("what", ["recipe", "image", "stranger"])
def test_nothing_is_overwritten_unless_asked(what):
    other = RECIPE
    if what == "stranger":
        Path("out").mkdir()
        Path("out/0.csv").write_text("mine")
    else:
        run()
        other = RECIPE.replace(threshold=0.9) if what == "recipe" else RECIPE
    if what == "image":
        tifffile.imwrite("in/0.tif", np.zeros((30, 30), np.uint8))
    before = Path("out/0.csv").read_bytes()
    summary = run(other)
    (failed, *_) = summary.failed
    assert "exists, and was not made of this image, as it is now, with this recipe" in failed.error
    assert "--overwrite" in failed.cure
    assert Path("out/0.csv").read_bytes() == before
    again = run(other, overwrite=True)
    assert len(again.done) == 3
    assert again.failed_csv is None
    assert Path("out/0.csv").read_bytes() != before
    assert left_over() == []


def test_outputs_in_the_folder_of_the_images_are_no_images():
    for _ in range(2):
        summary = run(output="in")
        assert summary.total == 3
    assert summary.left_out == {"our own outputs": 3, ".csv": 3, ".json": 3}


def test_a_folder_is_replaced_too():
    run(formats=["labels-zarr"])
    summary = run(RECIPE.replace(threshold=0.9), formats=["labels-zarr"], overwrite=True)
    assert len(summary.done) == 3
    assert left_over() == []


def test_labels_in_the_image_itself():
    write_ome_zarr(Path("in/z.zarr"), load_sample("shapes").image[:60, :80, 1])
    assert len(run(in_image="found").done) == 4
    group = zarr.open_group("in/z.zarr/labels", mode="r")
    assert group.attrs["ome"]["labels"] == ["found"]
    np.testing.assert_array_equal(group["found/0"][:], labels("z"))
    assert statuses(run(in_image="found")) == ["already done"] * 4
    # A run that was killed before it noted them; then another recipe.
    next(
        path for path in Path("out/.napari-clipseg").iterdir() if "z.zarr" in path.read_text()
    ).unlink()
    for path in Path("out").glob("z.*"):
        path.unlink()
    assert sorted(statuses(run(in_image="found"))) == ["already done"] * 3 + ["done"]
    (failed,) = segment_files("in/z.zarr", "lines", "other", in_image="found").failed
    assert "labels/found exists" in failed.error
    summary = segment_files("in/z.zarr", "lines", "other", in_image="found", overwrite=True)
    assert len(summary.done) == 1
    assert [path.name for path in Path("in/z.zarr/labels").iterdir() if path.is_dir()] == ["found"]


def test_a_map_that_does_not_fit_into_memory_is_in_a_file_meanwhile(monkeypatch):
    run(output="wanted")
    from napari_clipseg.images.io import maps

    monkeypatch.setattr(maps, "SHARE_OF_MEMORY", 0)
    assert statuses(run(formats=["labels-tiff"])) == ["done"] * 3
    np.testing.assert_array_equal(labels("0"), labels("0", "wanted"))
    assert left_over() == []


def test_the_map_of_an_image_in_parts_is_in_a_file_meanwhile(monkeypatch):
    write_ome_zarr(Path("z.zarr"), load_sample("shapes").image[:60, :80, 1])
    recipe = RECIPE.replace(instances=InstanceOptions("distance"))
    wanted = segment(load_sample("shapes").image[:60, :80, 1], recipe)
    monkeypatch.setattr(large, "LARGE", 100)
    summary = segment_files("z.zarr", recipe, "out")
    assert statuses(summary) == ["done"]
    np.testing.assert_array_equal(labels("z"), wanted.labels)
    assert left_over() == []


KILLED = """
import os, signal
from napari_clipseg import Recipe, segment_files
from napari_clipseg.files import large
large.LARGE = 100
def progress(step):
    if "Joining" in step.message:
        os.kill(os.getpid(), signal.SIGKILL)
recipe = Recipe.load("recipe.json")
segment_files("z.zarr", recipe, "killed", formats=["labels-tiff"], progress=progress)
"""


def half(path):
    """As if it had been killed while the model ran."""
    group = zarr.open_group(path, mode="r+")
    group.attrs["napari_clipseg"] = {**group.attrs["napari_clipseg"], "complete": False}


CHANGES = {
    "it is whole": (lambda path: None, False),
    "it is half": (half, True),
    "the machine went off since": (lambda path: os.utime(path / "zarr.json", (1, 1)), True),
    "the image is another one": (lambda path: os.utime("z.zarr/zarr.json"), True),
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_map_that_a_killed_run_left_is_used_if_it_is_whole(monkeypatch):
    image = load_sample("shapes").image[:60, :80, 1]
    write_ome_zarr(Path("z.zarr"), image)
    recipe = RECIPE.replace(instances=InstanceOptions("distance"))
    recipe.save("recipe.json")
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    monkeypatch.setattr(large, "LARGE", 100)
    ran = []
    monkeypatch.setattr(one, "segment_steps", lambda *a, **k: ran.append(a) or steps(*a, **k))
    wanted = segment(image, recipe).labels
    for case, (change, again) in CHANGES.items():
        shutil.copytree("killed", case)
        (path,) = Path(case).glob(".part-*.zarr")
        change(path)
        ran.clear()
        summary = segment_files("z.zarr", recipe, case, formats=["labels-tiff"])
        assert statuses(summary) == ["done"], case
        assert bool(ran) == again, case
        assert left_over(case) == [], case
        np.testing.assert_array_equal(labels("z", case), wanted)


# -- what fails

WORDS = {
    "empty.tif": ("it is empty", "Copy it again"),
    "truncated.tif": ("no TIFF file, or broken", "Copy it again, or save it anew"),
    "cut off.png": ("truncated", "Open it in another program"),
    "a text.tif": ("no TIFF file, or broken", "Copy it again, or save it anew"),
    "words.png": ("cannot identify", "Open it in another program"),
    "objects.npy": ("Python objects", "Write it again with numpy.save."),
    "complex.npy": ("wanted bool, integers or floats", "Convert it first"),
    "not a number.npy": ("no finite pixel", "Choose another one."),
    "nothing.zarr": ("no Zarr array or group", "Choose an OME-Zarr image."),
    "gone.tif": ("There is no file", "Put it back where it was"),
}


def test_what_is_bad_is_told_and_the_rest_goes_on():
    sample = load_sample("shapes").image[:60, :60, 1]
    for name, write in BAD:
        write(Path("in", name), sample)
    summary = run()
    assert len(summary.done) == 3
    told = {one.path.name: (one.error, one.cure) for one in summary.failed}
    assert told.keys() == {name for name, _ in BAD}
    for name in told:
        error, cure = WORDS[name]
        assert error in told[name][0], name
        assert cure in told[name][1], name
    with open("out/failed.csv", newline="") as file:
        rows = {Path(row["path"]).name: (row["error"], row["cure"]) for row in csv.DictReader(file)}
    assert rows == told
    # Mended, or gone, they are told no more; and the list is a list of images.
    tifffile.imwrite("in/empty.tif", sample)
    Path("in/gone.tif").unlink(missing_ok=True)
    assert len(segment_files("out/failed.csv", RECIPE, "other").done) == 1
    assert len(run().failed) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"formats": ["jpg"]}, "no format 'jpg'", id="format"),
        pytest.param({"model": "./none"}, "no checkpoint './none'", id="model"),
        pytest.param({"weights": "sha256:" + 64 * "0"}, "other weights of 'demo'", id="weights"),
        pytest.param({"threshold": 2}, "from 0 to 1", id="threshold"),
    ],
)
def test_what_is_wrong_for_all_is_refused_at_once(changes, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        run(**changes)
    assert not Path("out").exists()


# -- what survives


def test_a_full_disk_ends_it_and_no_half_file_is_left(monkeypatch):
    real, calls = os.fsync, 0

    def fsync(file):
        nonlocal calls
        calls += 1
        if calls == full_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    full_at, ended = 0, 0
    while True:
        full_at, calls = full_at + 1, 0
        output = f"out {full_at}"
        summary = run_steps(plan_batch("in/0.tif", RECIPE, output).steps(), lambda _: None)
        assert left_over(output) == []
        assert not summary.failed
        ends = [sum(path.name.endswith(end) for path in files(output)) for end in (".tif", ".json")]
        assert ends[0] == ends[1] == len(summary.done)
        if not summary.ended:
            # Only what names the folder anew on the disk may fail, as some disks cannot do it.
            if calls < full_at:
                break
            continue
        ended += 1
        assert summary.ended == DISK_FULL
        monkeypatch.setattr(os, "fsync", real)
        assert len(segment_files("in/0.tif", RECIPE, output).done) == 1
        monkeypatch.setattr(os, "fsync", fsync)
    assert ended == 4  # three outputs, and what is noted of them


def test_a_full_disk_that_is_hidden_in_another_error(monkeypatch):
    def write(self, result, path, **_):
        path.write_bytes(b"half")
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as error:
            raise ValueError("the writer failed") from error

    from napari_clipseg.files.formats import Format

    monkeypatch.setattr(Format, "write", write)
    summary = run()
    assert summary.ended == DISK_FULL
    assert summary.files == ()
    assert files() == []


def test_killed_at_any_moment_it_goes_on():
    run(output="wanted")
    command = [sys.executable, "-m", "napari_clipseg", "segment", "in", "--recursive", "--json"]
    command += ["--output", "out", "--prompt", "red rings", "--prompt", "nuclei"]
    killed = subprocess.Popen(
        [*command, "--threshold", "0.3"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in killed.stdout:
        if json.loads(line)["event"] == "file":
            break
    time.sleep(random.uniform(0, 0.1))
    killed.kill()
    killed.communicate()
    done = len(list(Path("out").rglob("*.labels.ome.tif")))
    summary = run()
    assert len(summary.done) == 3
    assert statuses(summary).count("already done") >= min(done, 1)
    assert left_over() == []
    for name in ("0", "1", "sub/2"):
        np.testing.assert_array_equal(labels(name), labels(name, "wanted"))


def test_killed_between_two_renames_it_goes_on_without_the_model(monkeypatch):
    run()
    job = Job(Path("in/0.tif").absolute(), Path("out").absolute(), Path("0"), ("csv",))
    ledger = Ledger(job.output)
    entry = ledger.read(job)
    os.rename("out/0.csv", Path("out", entry.parts["0.csv"]))
    started = {"host": socket.gethostname(), "pid": os.getpid(), "started": 1.0, "token": "dead"}
    ledger.lock_path(job).write_text(json.dumps(started))
    Path("out", f".part-{job.id}-older.tif").touch()
    monkeypatch.setattr(one, "segment_steps", None)
    assert statuses(run()) == ["already done"] * 3
    assert Path("out/0.csv").exists()
    assert left_over() == []


def test_a_kill_while_objects_are_told_apart_leaves_nothing_that_stays(monkeypatch):
    job = Job(Path("in/0.tif").absolute(), Path("out").absolute(), Path("0"), ("csv",))
    job.folder.mkdir()
    path = part_path(job, "map.zarr")
    path.mkdir()
    with monkeypatch.context() as killed, new_labels(path, Extent(height=4, width=4), {}):
        killed.setattr(shutil, "rmtree", lambda *_, **__: None)
    parts = [one for one in left_over() if one.startswith(".part-")]
    assert len(parts) == 2  # the map, and what was needed for its labels
    remove_parts(job)
    assert left_over() == []


def test_ctrl_c_leaves_nothing_half():
    def stop(step):
        if step.done == 1 and step.part > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(progress=stop)
    assert len(files()) == 3
    assert left_over() == []
    assert statuses(run()) == ["already done", "done", "done"]


def test_two_runs_share_the_work(monkeypatch):
    monkeypatch.setattr(batch, "WAIT", 0.01)
    first = plan_batch("in", RECIPE, "out", recursive=True)
    second = plan_batch("in", RECIPE, "out", recursive=True)
    steps = first.steps()
    next(steps)  # it works on the first image now
    told = []

    def follow(step):
        told.append(step.message)
        if step.message.startswith("Waiting"):
            assert step.done == 2
            for _ in steps:
                if not locks.is_held(Ledger(first.output).lock_path(first.jobs[0])):
                    break

    summary = run_steps(second.steps(), follow)
    assert "Waiting for 1 images that another run works on" in told
    assert sorted(statuses(summary)) == ["already done", "done", "done"]
    assert statuses(run_steps(steps, lambda _: None)).count("done") == 1
    assert left_over() == []
