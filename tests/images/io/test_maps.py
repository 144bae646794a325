from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from napari_clipseg.images.io.maps import create_map
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.tiling.planning import make_plan

TYPES = ("float32", "float16", "uint8")
OUTPUT = {"memory": None, "a memory map": "map.npy", "OME-Zarr": "map.zarr"}
RANDOM = np.random.default_rng(0)


def planned(shape=(8, 18), axes="yx", **options):
    made = as_source(np.zeros(shape, np.uint8), axes=axes, spacing=(0.5, 0.25), unit="micrometer")
    return make_plan(made, side=16, **options)


def created(folder, output, dtype="float32", shape=(2, 5, 30, 40), axes="tzyx", **options):
    plan = planned(shape, axes, **{"maps": 3} | options)
    path = output and folder / output
    return create_map(plan.extent, plan.maps, output=path, dtype=dtype), plan


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("output", OUTPUT.values(), ids=OUTPUT)
def test_what_is_written_is_there(output, dtype, tmp_path):
    written, plan = created(tmp_path, output, dtype)
    values = RANDOM.random((3, 2, 5, 30, 40)).astype(np.float32)
    assert written.data.shape == values.shape == plan.shape
    assert written.data.dtype == dtype
    for at in np.ndindex(2, 5):
        for rows in (slice(0, 13), slice(13, 30)):
            written.write(at, rows, values[(slice(None), *at, rows)])
        written.end_plane(at)
    scale, atol = (255, 0.5) if dtype == "uint8" else (1, 1e-3 if dtype == "float16" else 0)
    np.testing.assert_allclose(np.asarray(written.data), values * scale, atol=atol)


@pytest.mark.parametrize("output", OUTPUT.values(), ids=OUTPUT)
def test_what_was_not_written_is_0(output, tmp_path):
    written, _ = created(tmp_path, output)
    written.write((1, 2), slice(3, 5), np.ones((3, 2, 40), np.float32))
    values = np.asarray(written.data)
    assert values[:, 1, 2, 3:5].all()
    assert values.sum() == 3 * 2 * 40


def test_in_uint8_255_stands_for_certainty(tmp_path):
    written, _ = created(tmp_path, None, "uint8", (1, 3), "yx", maps=1)
    written.write((), slice(0, 1), np.array([[[0, 0.5, 1]]], np.float32))
    assert written.data.tolist() == [[[0, 128, 255]]]


def test_a_memory_map_can_be_opened_by_numpy(tmp_path):
    written, _ = created(tmp_path, "map.npy", "float16")
    written.write((0, 0), slice(0, 30), np.ones((3, 30, 40), np.float32))
    written.end_plane((0, 0))
    opened = np.load(tmp_path / "map.npy", mmap_mode="r")
    assert (opened.shape, opened.dtype) == ((3, 2, 5, 30, 40), np.float16)
    assert opened[:, 0, 0].all()
    assert not opened[:, 1].any()


ORDERS = {
    "yx": ("yx", (), "cyx"),
    "planes": ("zyx", (1,), "czyx"),
    "time first": ("ztyx", (2, 1), "tczyx"),
    "time alone": ("tyx", (1,), "tcyx"),
    "other names": ("ptyx", (1, 1), "tcpyx"),
}


@pytest.mark.parametrize(("axes", "at", "in_file"), ORDERS.values(), ids=ORDERS)
def test_axes_of_ome_zarr_are_time_channel_space(axes, at, in_file, tmp_path):
    lengths = {"z": 3, "t": 2, "p": 4, "y": 8, "x": 18}
    shape = tuple(lengths[name] for name in axes)
    written, plan = created(tmp_path, "map.zarr", shape=shape, axes=axes, maps=2)
    values = RANDOM.random((2, 8, 18)).astype(np.float32)
    written.write(at, slice(0, 8), values)
    written.end_plane(at)
    assert written.data.shape == plan.shape == (2, *shape)
    np.testing.assert_array_equal(written.data[(slice(None), *at)].compute(), values)
    back = as_source(zarr.open_group(tmp_path / "map.zarr", mode="r"))
    assert "".join(back.axes) == in_file
    assert back.channels == 2
    places = dict(zip(axes, at, strict=False))
    plane = [places[name] for name in back.plane_axes]
    read = back.open().read(0, plane, channels=(0, 1))
    np.testing.assert_array_equal(read, np.moveaxis(values, 0, -1))


def test_ome_zarr_knows_where_the_map_lies(tmp_path):
    fine = np.zeros((7, 64, 128), np.uint8)
    source = as_source(
        [fine, fine[:, ::2, ::2]], axes="zyx", spacing=(0.5, 0.25), unit="micrometer"
    )
    plan = make_plan(
        source,
        side=16,
        level=1,
        region=[(20, 40), (41, 99)],
        planes={"z": slice(2, 7, 2)},
    )
    create_map(plan.extent, plan.maps, output=tmp_path / "map.zarr", metadata={"asked": "nuclei"})
    group = zarr.open_group(tmp_path / "map.zarr", mode="r")
    scale, translation = group.attrs["ome"]["multiscales"][0]["datasets"][0][
        "coordinateTransformations"
    ]
    # Level 1 has pixels of 1 x 0.5 micrometers; its row 10 is rows 20 and 21.
    assert (plan.rows, plan.columns) == (slice(10, 21), slice(20, 50))
    assert scale["scale"] == [1, 2, 1, 0.5]
    assert translation["translation"] == [0, 2, 20.5 * 0.5, 40.5 * 0.25]
    assert group.attrs["asked"] == "nuclei"
    assert as_source(group).unit == "micrometer"


def placed(path, level=0):
    """Scale and translation of a level of an OME-Zarr image, as its attributes say."""
    image = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"][0]
    scale, translation = image["datasets"][level]["coordinateTransformations"]
    return scale["scale"], translation["translation"]


def test_a_map_lies_where_its_image_does(tmp_path):
    shape = (40, 60)
    image = zarr.open_group(zarr.storage.MemoryStore())
    image.create_array("0", data=np.zeros(shape, np.uint8))
    transformations = [
        {"type": "scale", "scale": [0.5, 0.25]},
        {"type": "translation", "translation": [100, 200]},
    ]
    dataset = {"path": "0", "coordinateTransformations": transformations}
    image.attrs["multiscales"] = [{"axes": ["y", "x"], "datasets": [dataset]}]
    source = as_source(image)
    plan = make_plan(source, side=16, region=[(10, 10), (30, 50)])
    create_map(plan.extent, plan.maps, output=tmp_path / "map.zarr")
    assert placed(tmp_path / "map.zarr") == ([1, 0.5, 0.25], [0, 105, 202.5])
    back = as_source(zarr.open_group(tmp_path / "map.zarr", mode="r"))
    assert (back.spacing, back.translation) == ((0.5, 0.25), (105, 202.5))
    # ... and so does the map of a map.
    again = make_plan(back, side=16, region=[(2, 4), (8, 8)])
    create_map(again.extent, again.maps, output=tmp_path / "again.zarr")
    assert placed(tmp_path / "again.zarr")[1][-2:] == [106, 203.5]


BACKWARDS = {
    "all": ({"z": slice(None, None, -1)}, [0, 0], [1, 1]),
    "every second": ({"z": range(4, -1, -2)}, [0, 0], [1, 2]),
    "two axes": ({"z": slice(3, 0, -1), "t": slice(None, None, -1)}, [0, 1], [1, 1]),
    "one": ({"z": range(3, 2, -1)}, [0, 3], [1, 1]),
}


@pytest.mark.parametrize(("planes", "starts", "steps"), BACKWARDS.values(), ids=BACKWARDS)
def test_planes_asked_for_backwards_lie_forwards_in_a_file(planes, starts, steps, tmp_path):
    written, plan = created(tmp_path, "map.zarr", planes=planes, maps=1)
    for at, plane in zip(np.ndindex(*plan.extent.planes_shape), plan.extent.planes, strict=True):
        value = 10 * plane[0] + plane[1]  # that of the plane in the image
        written.write(at, slice(0, 30), np.full((1, 30, 40), value, np.float32))
        written.end_plane(at)
    # The map has its planes in the order that was asked for.
    numbers = np.asarray(written.data)[0, ..., 0, 0].ravel()
    assert numbers.tolist() == [10 * t + z for t, z in plan.extent.planes]
    # The file has them in that of the image.
    scale, translation = placed(tmp_path / "map.zarr")
    assert (scale[0], scale[2]) == tuple(steps)
    assert (translation[0], translation[2]) == tuple(starts)
    stored = zarr.open_group(tmp_path / "map.zarr", mode="r")["0"][:, 0, :, 0, 0]
    wanted = [
        [10 * (starts[0] + i * steps[0]) + starts[1] + j * steps[1] for j in range(stored.shape[1])]
        for i in range(stored.shape[0])
    ]
    np.testing.assert_array_equal(stored, wanted)


def test_a_map_in_a_file_has_a_pyramid_of_means(tmp_path):
    written, _ = created(tmp_path, "map.zarr", shape=(700, 530), axes="yx", maps=2)
    values = RANDOM.random((2, 700, 530)).astype(np.float32)
    for start in (0, 512):
        written.write((), slice(start, min(700, start + 512)), values[:, start : start + 512])
    written.end_plane(())
    group = zarr.open_group(tmp_path / "map.zarr", mode="r")
    assert sorted(group.array_keys()) == ["0", "1"]
    means = values.reshape(2, 350, 2, 265, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(group["1"][:], means, atol=1e-6)
    assert written.data.chunksize == (1, 512, 512)


BAD = {
    "another type": ({"dtype": "float64"}, ValueError, "'float64' for the map; wanted one of"),
    "another format": ({"output": "map.tif"}, ValueError, "ends in .zarr (OME-Zarr) or .npy"),
    "no suffix": ({"output": "map"}, ValueError, "cannot be written into"),
}


@pytest.mark.parametrize(("options", "error", "says"), BAD.values(), ids=BAD)
def test_bad_outputs_are_refused_with_the_cure(options, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = planned()
    with pytest.raises(error) as caught:
        create_map(plan.extent, plan.maps, **options)
    assert says in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["map.npy", "map.zarr"])
def test_nothing_is_overwritten(name, tmp_path):
    path = tmp_path / name
    plan = planned()
    create_map(plan.extent, plan.maps, output=path)
    before = sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match=r"exists and is not overwritten\. Choose another"):
        create_map(plan.extent, plan.maps, output=str(path))
    assert sorted((p, p.stat().st_mtime_ns) for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("dtype", "fits"), [("float32", False), ("float16", False), ("uint8", True)]
)
def test_a_map_that_would_not_fit_is_refused_beforehand(dtype, fits, monkeypatch):
    import psutil

    plan = planned((1000, 1000), maps=2)
    free = SimpleNamespace(available=4_000_001)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    if fits:
        assert create_map(plan.extent, plan.maps, dtype=dtype).data.nbytes == 2_000_000
        return
    with pytest.raises(MemoryError) as caught:
        create_map(plan.extent, plan.maps, dtype=dtype)
    for said in ("2 x 1000 x 1000", "output='map.zarr'", "dtype='uint8'", "a region, or fewer"):
        assert said in str(caught.value)


def test_a_map_in_a_file_needs_no_memory(tmp_path, monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=0))
    for name in ("map.npy", "map.zarr"):
        created(tmp_path, name)


def test_without_zarr_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    plan = planned()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'napari-clipseg\[zarr\]'"):
        create_map(plan.extent, plan.maps, output=tmp_path / "map.zarr")
    create_map(plan.extent, plan.maps, output=tmp_path / "map.npy")  # needs none
