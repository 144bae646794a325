"""Labels of maps in files: beside the map, equal to those in memory, whole or not at all."""

from __future__ import annotations

import dataclasses
import errno
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from in_blocks import assert_same_table, blobs
from napari_clipseg.files.formats import FORMATS
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.io.label_files import new_labels
from napari_clipseg.images.io.maps import create_map
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.labels.blocks.steps import SIDE
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Segmentation
from napari_clipseg.segmentation import segment, segment_steps
from seeing import Seeing

FILES = ["map.npy", "map.zarr"]
NOISE = np.random.default_rng(1).integers(0, 256, (4, 24, 54), dtype=np.uint8)
SPLIT = InstanceOptions(split="distance", min_distance=3, min_size=4)
BLOBS = blobs((2, 30, SIDE + 90), 3)  # two blocks


def in_memory(maps, recipe=None, axes="zyx"):
    """A result of maps, two prompts unless a recipe says others."""
    recipe = recipe or Recipe(["a", "b"], threshold=0.6, instances=SPLIT)
    planes = maps.shape[1:-2]
    extent = Extent(
        axes=tuple(axes[-2 - len(planes) : -2]),
        planes_shape=planes,
        planes=tuple(np.ndindex(*planes)),
        height=maps.shape[-2],
        width=maps.shape[-1],
        spacing=(0.5, 0.25),
        unit="micrometer",
    )
    return Segmentation(maps, 0.6, recipe, extent, tuple(axes[-2 - len(planes) :]))


def in_file(result, path):
    """The same, its maps in a file."""
    maps = result.probability
    written = create_map(result.extent, len(maps), output=path, dtype=str(maps.dtype))
    for plane in result.extent.planes:
        written.write(plane, slice(0, maps.shape[-2]), maps[(slice(None), *plane)])
        written.end_plane(plane)
    return dataclasses.replace(result, probability=written.data, path=path)


def left(folder):
    """What lies in a folder, hidden or not, beside the map."""
    inside = folder / "map.zarr"
    names = {one.name for one in folder.iterdir()} - set(FILES)
    names |= {f"labels/{one.name}" for one in (inside / "labels").glob("*")}
    return names - {"labels/zarr.json"}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("shape", "axes"),
    [((2, 30, SIDE + 90), "yx"), ((2, 3, 20, 30), "zyx"), ((2, 2, 3, 29, 28), "ztyx")],
)
def test_labels_and_table_are_those_in_memory(shape, axes, name, tmp_path):
    recipe = Recipe(
        ["a", "b"], threshold=0.6, instances=dataclasses.replace(SPLIT, link=len(shape) > 3)
    )
    wanted = in_memory(blobs(shape, 3), recipe, axes)
    found = in_file(wanted, tmp_path / name)
    assert found.labels.dtype == np.int32
    assert found.labels.shape == shape[1:]
    assert wanted.labels.max() > 2
    np.testing.assert_array_equal(np.asarray(found.labels), wanted.labels)
    assert_same_table(found.objects, wanted.objects)
    assert type(found.labels) is (np.memmap if name == "map.npy" else type(found.probability))
    assert left(tmp_path) == {"map.objects.npy" if name == "map.npy" else "labels/objects"}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("low", [None, 0.4])
def test_one_label_a_prompt_has_a_table(name, low, tmp_path):
    recipe = Recipe(["a"], negative_prompts="b", threshold=0.6, low_threshold=low)
    wanted = in_memory(BLOBS, recipe)
    found = in_file(wanted, tmp_path / name)
    assert_same_table(found.objects, wanted.objects)
    assert not left(tmp_path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("planes", [None, {"z": range(3, 0, -1)}], ids=["all", "backwards"])
def test_a_run_into_a_file_labels_its_objects(name, planes, tmp_path):
    fields = {"axes": "zyx", "detail": 20, "planes": planes, "instances": SPLIT, "dtype": "uint8"}
    wanted = segment(NOISE, ["x", "y"], model=Seeing(), **fields)
    recipe = dataclasses.replace(wanted.recipe, weights=None)
    steps = segment_steps(
        as_source(NOISE, axes="zyx"), recipe, engine=Seeing(), output=tmp_path / name, dtype="uint8"
    )
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            found = stop.value
            break
    assert left(tmp_path) == {"map.objects.npy" if name == "map.npy" else "labels/objects"}
    assert [step.done for step in seen] == list(range(len(seen)))
    assert {step.total for step in seen[1:]} == {len(seen)}
    assert seen[-1].message.startswith("Writing labels, plane ")
    again = dataclasses.replace(wanted, probability=np.asarray(found.probability))
    np.testing.assert_array_equal(np.asarray(found.labels), again.labels)
    assert_same_table(found.objects, again.objects)
    *_, (data, options, kind) = found.to_layers()
    assert kind == "labels"
    assert data.shape == found.labels.shape
    assert options["features"] is found.objects


def test_other_labels_of_a_map_lie_beside_the_first(tmp_path):
    for name, files in zip(
        FILES,
        (["map.objects.npy", "map.objects-2.npy"], ["labels/objects", "labels/objects-2"]),
        strict=True,
    ):
        folder = tmp_path / name
        folder.mkdir()
        first = in_file(in_memory(BLOBS), folder / name)
        second = first.relabel(threshold=0.7, instances=InstanceOptions())
        counts = [int(np.asarray(one.labels).max()) for one in (first, second)]
        assert counts == [len(one.objects["index"]) for one in (first, second)]
        assert counts[0] != counts[1]
        assert np.asarray(first.labels).max() == counts[0]  # not overwritten
        assert left(folder) == set(files)


def test_labels_in_an_ome_zarr_are_a_label_image(tmp_path):
    result = in_file(in_memory(blobs((2, 2, 600, 530), 3, 8)), tmp_path / "map.zarr")
    labels = np.asarray(result.labels)
    image = zarr.open_group(tmp_path / "map.zarr", mode="r")
    assert image["labels"].attrs["ome"] == {"version": "0.5", "labels": ["objects"]}
    group = image["labels/objects"]
    assert group.attrs["ome"]["image-label"] == {
        "version": "0.5",
        "source": {"image": "../../"},
    }
    assert Recipe.of(group) == result.recipe
    back = as_source(group)
    assert back.axes == ("z", "y", "x")
    assert back.spacing == (0.5, 0.25)
    assert back.unit == "micrometer"
    np.testing.assert_array_equal(group["0"][:], labels)
    # No mean of labels, but one of them.
    np.testing.assert_array_equal(group["1"][:], labels[:, 1::2, 1::2])
    wanted = image.attrs["ome"]["multiscales"][0]["datasets"]
    found = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert [one["path"] for one in found] == [one["path"] for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        for mine, of_map in zip(
            one["coordinateTransformations"], other["coordinateTransformations"], strict=True
        ):
            kind = mine["type"]
            assert mine[kind] == of_map[kind][1:]  # but for the channels


@pytest.mark.parametrize("name", FILES)
def test_labels_that_are_stopped_leave_nothing(name, tmp_path):
    result = in_file(in_memory(BLOBS), tmp_path / name)
    total = next(result.label_steps()).total
    for after in range(total):
        steps = result.label_steps()
        for done in range(after + 1):
            step = next(steps)
            assert (step.done, step.total) == (done, total)
        assert len(left(tmp_path)) == 1  # where they are made
        steps.close()
        assert not left(tmp_path)
    assert list(result.label_steps())[-1].done == total - 1
    assert not list(result.label_steps())  # they are there
    assert len(left(tmp_path)) == 1


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from test_labels_in_files import BLOBS, in_file, in_memory
result = in_file(in_memory(BLOBS), Path({path!r}))
for step in result.label_steps():
    if step.done == step.total - 1:  # the last block is not written
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("name", FILES)
def test_a_process_that_is_killed_leaves_no_labels_that_look_whole(name, tmp_path):
    here = Path(__file__).parent
    code = KILLED.format(paths=[str(here)], path=str(tmp_path / name))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (hidden,) = left(tmp_path)
    assert hidden.startswith(f".{name}.objects-")
    if name == "map.zarr":
        assert "labels" not in zarr.open_group(tmp_path / name, mode="r")
        maps = zarr.open_group(tmp_path / name, mode="r")["0"][:]
    else:
        maps = np.load(tmp_path / name)
    # The map is whole, and can be labelled again.
    again = dataclasses.replace(in_memory(BLOBS), probability=maps, path=tmp_path / name)
    np.testing.assert_array_equal(np.asarray(again.labels), in_memory(BLOBS).labels)


@pytest.mark.parametrize("name", FILES)
def test_a_full_disk_leaves_no_labels(name, tmp_path, monkeypatch):
    result = in_file(in_memory(BLOBS), tmp_path / name)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((np, "save") if name == "map.npy" else (zarr.Array, "__setitem__")), full)
    monkeypatch.setattr("napari_clipseg.images.labels.blocks.store.IN_MEMORY", 1)
    with pytest.raises(
        OSError, match=r"no room in .* for the labels of 30 x 1114 values, which take"
    ):
        result.labels  # noqa: B018
    assert not left(tmp_path)


def test_labels_of_a_map_that_is_gone_are_refused(tmp_path):
    result = in_file(in_memory(BLOBS), tmp_path / "map.zarr")
    (tmp_path / "map.zarr").rename(tmp_path / "moved.zarr")
    with pytest.raises(FileNotFoundError, match=r"The map in .* is gone"):
        result.labels  # noqa: B018
    with (
        pytest.raises(FileNotFoundError, match="is gone"),
        new_labels(tmp_path / "map.zarr", result.extent, {}),
    ):
        pass


@pytest.mark.parametrize("case", ["in memory", "without objects"])
def test_steps_are_for_objects_in_files(case, tmp_path):
    result = in_memory(BLOBS)
    if case == "without objects":
        result = in_file(result, tmp_path / "map.npy").relabel(instances=None)
    with pytest.raises(ValueError, match=r"written for a map in a file, .* output='map\.zarr'"):
        next(result.label_steps())


@pytest.mark.parametrize("low", [None, 0.4])
def test_classes_of_a_map_in_a_file_are_those_in_memory(low, tmp_path):
    recipe = Recipe(["a"], negative_prompts="b", threshold=0.6, low_threshold=low)
    wanted = in_memory(BLOBS, recipe)
    found = in_file(wanted, tmp_path / "map.zarr")
    assert found.labels is found.classes
    np.testing.assert_array_equal(np.asarray(found.classes), wanted.classes)


# -- a map is opened again


def run_into(path, after=None, **fields):
    """Segment into a file; stopped after so many steps, if it says so."""
    planes = {"z": range(3, 0, -1)}
    recipe = Recipe("x", negative_prompts="y", detail=20, planes=planes, **fields)
    source = as_source(NOISE, axes="zyx", spacing=(0.5, 0.25), unit="um", z_spacing=2)
    steps = segment_steps(source, recipe, engine=Seeing(), output=path, dtype="uint8")
    for number, step in enumerate(steps):
        if number == after or step.message.startswith("Joining"):
            steps.close()
            return step.partial
    raise AssertionError("it was not stopped")


def test_a_run_that_is_stopped_at_its_objects_goes_on_with_its_map(tmp_path):
    stopped = run_into(tmp_path / "map.zarr", instances=SPLIT)
    assert not left(tmp_path)
    with pytest.raises(FileExistsError, match=r"or open the map that is there: Segmentation\.load"):
        run_into(tmp_path / "map.zarr", instances=SPLIT)
    found = Segmentation.load(tmp_path / "map.zarr")
    maps = np.asarray(stopped.probability)
    assert maps.any()
    np.testing.assert_array_equal(np.asarray(found.probability), maps)
    for name in ("recipe", "extent", "axes", "threshold", "path", "complete"):
        assert getattr(found, name) == getattr(stopped, name), name
    wanted = dataclasses.replace(stopped, probability=maps, path=None)
    np.testing.assert_array_equal(np.asarray(found.labels), wanted.labels)
    assert_same_table(found.objects, wanted.objects)
    assert left(tmp_path) == {"labels/objects"}


def test_what_a_run_had_not_finished_says_so(tmp_path):
    run_into(tmp_path / "map.zarr", after=4)
    found = Segmentation.load(tmp_path / "map.zarr")
    assert not found.complete
    assert found.probability.shape == (2, 3, 24, 54)


@pytest.mark.parametrize("name", ["probability-zarr", "probability-zarr-0.4"])
def test_maps_that_were_written_are_opened_too(name, tmp_path):
    result = in_memory(blobs((2, 2, 3, 20, 30), 3), axes="ztyx")
    FORMATS[name].write(result, tmp_path / "a.zarr")
    found = Segmentation.load(tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.asarray(found.probability), result.probability)
    assert (found.recipe, found.extent, found.axes) == (result.recipe, result.extent, result.axes)


def plain_group(path):
    zarr.open_group(path, mode="w").create_array("0", data=NOISE)


def labels_alone(path):
    FORMATS["labels-zarr"].write(in_memory(BLOBS), path)


def changed(name, value):
    def write(path):
        FORMATS["probability-zarr"].write(in_memory(BLOBS), path)
        group = zarr.open_group(path, mode="r+")
        record = dict(group.attrs["napari_clipseg"])
        group.attrs["napari_clipseg"] = record | {name: {**record[name], **value}}

    return write


@pytest.mark.parametrize(
    ("write", "kind", "message"),
    [
        pytest.param(
            lambda path: None, FileNotFoundError, "There is no folder .*a.zarr", id="gone"
        ),
        pytest.param(Path.mkdir, ValueError, "a.zarr holds no map of a run", id="empty"),
        pytest.param(plain_group, ValueError, "a.zarr holds no map of a run", id="another Zarr"),
        pytest.param(labels_alone, ValueError, "a.zarr holds no map of a run", id="labels"),
        pytest.param(
            changed("recipe", {"threshold": 0.9}),
            ValueError,
            "its hash is another one",
            id="recipe",
        ),
        pytest.param(
            changed("extent", {"height": 7}), ValueError, "was changed after it was", id="shape"
        ),
    ],
)
def test_what_is_no_map_of_a_run_is_refused(write, kind, message, tmp_path):
    write(tmp_path / "a.zarr")
    with pytest.raises(kind, match=message):
        Segmentation.load(tmp_path / "a.zarr")
