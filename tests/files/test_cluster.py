"""Many images on workers: the same labels, and a lost worker costs nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from distributed import Client, LocalCluster

from napari_clipseg import CheckpointError, Engine, Recipe, segment, segment_files, teach
from napari_clipseg.cli.main import main
from napari_clipseg.files import cluster
from napari_clipseg.files.batch import plan_batch, run_steps
from napari_clipseg.files.cluster import OneAtATime
from napari_clipseg.files.ledger import Ledger
from napari_clipseg.files.locks import held_lock
from napari_clipseg.files.tiles import Answering
from napari_clipseg.sample_data import load_sample
from painted import hurried, paint, scene

RECIPE = Recipe(["red rings", "nuclei"], threshold=0.3)
NAMES = [f"{i}.tif" for i in range(6)]


@pytest.fixture(autouse=True)
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for i, name in enumerate(NAMES):
        image = load_sample("shapes").image[10 * i : 10 * i + 80, :80]
        tifffile.imwrite(f"in/{name}", image, photometric="rgb")


@pytest.fixture(scope="module")
def client():
    """Two workers in this process: what runs on them is the same."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as here,
        Client(here, set_as_default=False) as client,
    ):
        yield client


def labels(output):
    return [tifffile.imread(f"{output}/{Path(name).stem}.labels.ome.tif") for name in NAMES]


def test_labels_are_those_of_python_and_of_the_command_line(client):
    recipe = RECIPE.replace(threshold=0.3)
    summary = segment_files("in", recipe, "cluster", client=client)
    assert [one.status for one in summary.files] == ["done"] * 6
    recipe.save("recipe.json")
    assert main(["segment", "in", "--recipe", "recipe.json", "--output", "line", "--quiet"]) == 0
    wanted = [segment(tifffile.imread(f"in/{name}"), recipe).labels for name in NAMES]
    for output in ("cluster", "line"):
        for one, other in zip(labels(output), wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("learned", [False, True], ids=["texts", "a learned prompt"])
def test_one_image_is_done_by_its_tiles(client, learned, monkeypatch):
    recipe = RECIPE.replace(detail=30, refine_edges=False)
    if learned:
        with hurried():
            pixels, masks = scene()
            recipe = recipe.replace(prompts=teach(pixels, paint(masks)), threshold=0.5)
    np.save("image.npy", load_sample("shapes").image[:90, :70])
    wanted = segment(np.load("image.npy"), recipe)
    here = []
    monkeypatch.setattr(Engine, "encode", counted(Engine.encode, here))
    formats = ["labels-tiff", "probability-tiff"]
    summary = segment_files("image.npy", recipe, "out", client=client, formats=formats)
    assert [one.status for one in summary.files] == ["done"]
    assert threading.main_thread() not in here
    np.testing.assert_array_equal(tifffile.imread("out/image.labels.ome.tif"), wanted.labels)
    maps = np.squeeze(tifffile.imread("out/image.probability.ome.tif"))
    np.testing.assert_array_equal(maps, np.squeeze(wanted.probability))
    plugins = client.run(lambda dask_worker: list(dask_worker.plugins))
    assert all(len([one for one in names if "napari" in one]) == 1 for names in plugins.values())


def counted(function, threads):
    """Return a function that does the same, and notes in which thread."""

    def run(*given, **named):
        threads.append(threading.current_thread())
        return function(*given, **named)

    return run


def test_tiles_of_a_worker_that_has_other_weights(client):
    answer = Answering(RECIPE.replace(weights="sha256:" + 64 * "0"))
    with pytest.raises(CheckpointError, match="other weights of 'demo'"):
        answer.maps(([np.zeros((96, 96, 3), np.uint8)], []))


def test_a_worker_has_its_own_threads(client):
    segment_files("in", RECIPE, "out", client=client)
    plugins = client.run(lambda dask_worker: dask_worker.plugins[cluster.PLUGIN].threads)
    assert set(plugins.values()) == {2}
    assert OneAtATime(3).threads == 3


def test_what_fails_is_told_and_what_is_done_is_not_done_again(client):
    Path("in/bad.tif").touch()
    summary = segment_files("in", RECIPE, "out", client=client)
    assert (len(summary.done), len(summary.failed)) == (6, 1)
    assert "it is empty" in Path("out/failed.csv").read_text()
    Path("in/bad.tif").unlink()
    again = segment_files("in", RECIPE, "out", client=client)
    assert {one.status for one in again.files} == {"already done"}


def test_ctrl_c_ends_the_tasks(client):
    batch = plan_batch("in", RECIPE.replace(detail=20), "out")

    def stop(step):
        raise KeyboardInterrupt

    summary = run_steps(batch.steps(client), stop)
    assert summary.ended == "stopped"
    assert not client.processing() or not any(client.processing().values())
    left = [path.name for path in Path("out").rglob("*")]
    assert not [name for name in left if name.startswith(".part-") or ".lock" in name]


def test_what_another_run_works_on_is_waited_for(client, monkeypatch):
    monkeypatch.setattr(cluster, "WAIT", 0.01)
    batch = plan_batch("in", RECIPE, "out")
    ledger = Ledger(batch.output)
    ledger.create()
    held = held_lock(ledger.lock_path(batch.jobs[0]))
    held.__enter__()
    told = []

    def follow(step):
        told.append(step.message)
        if step.message.startswith("Waiting for 1 images") and told.count(step.message) == 1:
            held.__exit__(None, None, None)

    assert len(run_steps(batch.steps(client), follow).done) == 6
    assert any(message.startswith("Waiting for 1 images") for message in told)


def test_workers_that_cannot_run_it():
    class Broken:
        def run_on_scheduler(self, function):
            return []

        def register_plugin(self, plugin, name):
            raise ModuleNotFoundError("No module named 'napari_clipseg'")

    with pytest.raises(ValueError, match="Install the same version there"):
        segment_files("in", RECIPE, "out", client=Broken())


def test_a_scheduler_that_is_not_there(capsys):
    command = ["segment", "in", "--prompt", "a", "--output", "out"]
    assert main([*command, "--scheduler", "none://x"]) == 2
    assert "There is no scheduler at none://x: " in capsys.readouterr().err
