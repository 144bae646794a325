from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from drawing import examples
from napari_clipseg.images.io import ome_zarr as module
from napari_clipseg.images.io.ome_metadata import is_ome_zarr, read_ome_zarr
from napari_clipseg.images.io.ome_zarr import create_ome_zarr, write_coarser, write_coarser_labels
from napari_clipseg.images.io.source import as_source


def create(path, shape=(2, 30, 50), dtype="float32", axes="cyx", **options):
    defaults = {
        "scale": (1.0,) * len(shape),
        "translate": (0.0,) * len(shape),
        "unit": "pixel",
        "metadata": {},
    }
    return create_ome_zarr(path, shape, dtype, axes, **(defaults | options))


def metadata(path):
    return zarr.open_group(path, mode="r").attrs.asdict()["ome"]["multiscales"][0]


def group_with(multiscale, shape=(2, 8, 18), **arrays):
    group = zarr.open_group(zarr.storage.MemoryStore())
    for name, array in ({"0": np.zeros(shape)} | arrays).items():
        group.create_array(name, data=array)
    datasets = [{"path": name} for name in ("0", *arrays)]
    group.attrs["multiscales"] = [{"datasets": datasets, **multiscale}]
    return group


def test_a_new_image_is_read_back_as_it_was_described(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SMALLEST", 16)
    path = tmp_path / "map.zarr"
    create(
        path,
        (3, 2, 31, 50),
        "uint8",
        "tcyx",
        scale=(2.0, 1.0, 0.5, 0.25),
        translate=(7.0, 0.0, 10.0, 20.0),
        unit="micrometer",
        metadata={"napari_clipseg": {"model": "demo"}},
    )
    group = zarr.open_group(path, mode="r")
    assert is_ome_zarr(group)
    assert group.attrs["napari_clipseg"] == {"model": "demo"}
    assert group.attrs["ome"]["version"] == "0.5"
    source = as_source(group)
    assert source.axes == ("t", "c", "y", "x")
    assert (source.spacing, source.unit) == ((0.5, 0.25), "micrometer")
    assert [source.shape_of(i) for i in range(3)] == [(31, 50), (16, 25), (8, 13)]
    assert source.dtype == np.uint8
    image = metadata(path)
    assert [axis.get("type") for axis in image["axes"]] == ["time", "channel", "space", "space"]
    assert [axis.get("unit") for axis in image["axes"]] == [None, None, *["micrometer"] * 2]
    steps = [one["coordinateTransformations"] for one in image["datasets"]]
    assert [[step["type"] for step in made] for made in steps] == [["scale", "translation"]] * 3
    assert steps[2][0]["scale"] == [2, 1, 2, 1]
    # The center of a pixel of level 2 is that of the 4 x 4 pixels under it.
    assert steps[2][1]["translation"] == [7, 0, 10 + 1.5 * 0.5, 20 + 1.5 * 0.25]


def test_pixels_have_no_unit_and_other_axes_no_type(tmp_path):
    create(tmp_path / "map.zarr", (1, 2, 3, 4), axes=["c", "axis 0", "y", "x"])
    axes = metadata(tmp_path / "map.zarr")["axes"]
    assert axes[1] == {"name": "axis 0"}
    assert axes[2] == {"name": "y", "type": "space"}


def test_chunks_are_parts_of_one_plane(tmp_path):
    (fine, *_) = create(tmp_path / "map.zarr", (2, 3, 700, 40), axes="czyx")
    assert fine.chunks == (1, 1, 512, 40)
    assert fine.nchunks_initialized == 0  # what was not written takes no room


def test_an_empty_folder_may_be_there_before(tmp_path):
    path = tmp_path / "map.zarr"
    path.mkdir()
    create(path)
    with pytest.raises(FileExistsError, match=r"map\.zarr exists and is not overwritten\. Choose"):
        create(path)


def test_a_file_is_not_overwritten(tmp_path):
    path = tmp_path / "map.zarr"
    path.write_text("of somebody")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        create(path)
    assert path.read_text() == "of somebody"


def test_without_zarr_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'napari-clipseg\[zarr\]'"):
        create(tmp_path / "map.zarr")
    assert not list(tmp_path.iterdir())


def coarse_slowly(fine):
    """Means of 2 x 2 pixels; the last row and column are repeated where they are odd ones out."""
    fine = np.pad(fine.astype(float), [(0, n % 2) for n in fine.shape], mode="edge")
    return (fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) / 4


@examples(25)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["float32", "float16", "uint8"]),
    st.integers(0, 99),
)
def test_each_level_holds_the_means_of_the_one_before(height, width, dtype, seed):
    random = np.random.default_rng(seed)
    shapes = [(height, width)]
    for _ in range(3):
        shapes.append(tuple(-(-n // 2) for n in shapes[-1]))
    levels = [np.zeros((2, *shape), dtype) for shape in shapes]
    levels[0][1] = random.random(shapes[0]) * (255 if dtype == "uint8" else 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 3)  # several strips
        write_coarser(levels, (1,))
    for fine, coarse in pairwise(levels):
        assert not coarse[0].any()  # another plane
        atol = {"float32": 1e-6, "float16": 1e-3, "uint8": 0.5}[dtype]
        np.testing.assert_allclose(coarse[1], coarse_slowly(fine[1]), atol=atol)


def test_axes_of_old_versions():
    assert read_ome_zarr(group_with({}, (1, 2, 1, 8, 18)))["axes"] == tuple("tczyx")
    assert read_ome_zarr(group_with({"axes": ["z", "y", "x"]}))["axes"] == tuple("zyx")


def test_transformations_of_level_and_image_are_multiplied():
    made = [{"type": "scale", "scale": [3, 0.5, 0.25]}]
    group = group_with({"axes": ["z", "y", "x"], "coordinateTransformations": made})
    image = dict(group.attrs["multiscales"][0])
    translation = {"type": "translation", "translation": [9, 9, 9]}
    image["datasets"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [1, 2, 2]},
        translation,
    ]
    group.attrs["multiscales"] = [image]
    assert as_source(group).spacing == (1, 0.5)
    # The level's translation is scaled with it.
    assert as_source(group).translation == (4.5, 2.25)


def test_axes_may_have_long_names():
    named = [{"name": name} for name in ("Time", "Y", "X")]
    source = as_source(group_with({"axes": named}))
    assert (source.axes, source.unit) == (("t", "y", "x"), "pixel")


def test_an_image_without_rows_is_refused():
    with pytest.raises(ValueError, match="'y' for rows"):
        as_source(group_with({"axes": ["t", "lat", "lon"]}))


def test_what_is_no_ome_zarr_image():
    assert not is_ome_zarr(zarr.open_group(zarr.storage.MemoryStore()))
    assert not is_ome_zarr(zarr.zeros((2, 2)))
    assert not is_ome_zarr(np.zeros((2, 2)))


def test_version_0_4_is_zarr_2_and_read_back_alike(tmp_path):
    options = {"scale": (1.0, 0.5, 0.25), "translate": (0.0, 3.0, 4.0), "unit": "um"}
    for version in ("0.4", "0.5"):
        path = tmp_path / version
        create(path, (2, 31, 50), "uint16", "zyx", version=version, **options)[0][:] = 7
        group = zarr.open_group(path, mode="r")
        assert group.metadata.zarr_format == {"0.4": 2, "0.5": 3}[version]
        source = as_source(group)
        assert (source.axes, source.spacing) == (("z", "y", "x"), (0.5, 0.25))
        assert (source.translation, source.unit) == ((3, 4), "micrometer")
        assert (np.asarray(source.levels[0]) == 7).all()
    old = dict(zarr.open_group(tmp_path / "0.4", mode="r").attrs)
    assert "ome" not in old
    assert old["multiscales"][0]["version"] == "0.4"
    new = zarr.open_group(tmp_path / "0.5", mode="r")["0"]
    assert new.metadata.dimension_names == ("z", "y", "x")  # the specification wants them


@pytest.mark.parametrize(
    ("sizes", "scales"),
    [
        ([(31, 50), (16, 25), (8, 13)], [(1, 1), (2, 2), (4, 4)]),  # halves, rounded up
        ([(31, 50), (15, 25)], [(1, 1), (2, 2)]),  # rounded down
        ([(31, 50), (10, 50)], [(1, 1), (3, 1)]),
        ([(31, 50), (20, 20)], [(1, 1), (1.55, 2.5)]),
    ],
    ids=str,
)
def test_levels_of_given_sizes(sizes, scales, tmp_path):
    levels = create(tmp_path / "map.zarr", (2, 31, 50), "uint8", "zyx", sizes=sizes)
    assert [level.shape[1:] for level in levels] == sizes
    steps = [
        one["coordinateTransformations"] for one in metadata(tmp_path / "map.zarr")["datasets"]
    ]
    assert [tuple(step[0]["scale"][1:]) for step in steps] == scales


@examples(40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(1, 4))
def test_coarser_labels_are_labels_that_are_there(height, width, down, across):
    store = zarr.open_group(zarr.storage.MemoryStore())
    labels = np.arange(height * width, dtype=np.uint16).reshape(1, height, width)
    fine = store.create_array("0", data=labels)
    shape = (1, -(-height // down), -(-width // across))
    coarse = store.create_array("1", shape=shape, dtype="u2", fill_value=0)
    write_coarser_labels([fine, coarse], (0,))
    for (row, column), label in np.ndenumerate(coarse[0]):
        at = np.array(divmod(int(label), width))
        # It lies under the pixel of the coarse level.
        middle = (np.array([row, column]) + 0.5) * (height / shape[1], width / shape[2])
        assert (np.abs(at + 0.5 - middle) <= 0.5 + 1e-9).all()
