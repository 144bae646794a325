"""Labels beside their image, in its own OME-Zarr group."""

from __future__ import annotations

import re

import numpy as np
import pytest
import zarr

from exported import CASES, STACK, TWO, made_of
from napari_clipseg.files.formats import add_labels_to_zarr, recipe_of
from napari_clipseg.images.io.ome_zarr import create_ome_zarr

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5"])


def image_of(path, shape, version, sizes=None, axes="zyx"):
    create_ome_zarr(
        path,
        shape,
        "uint8",
        axes[-len(shape) :],
        scale=(1.0,) * len(shape),
        translate=(0.0,) * len(shape),
        unit="micrometer",
        metadata={},
        version=version,
        sizes=sizes,
    )
    return path


def listed(path, version):
    attributes = dict(zarr.open_group(path / "labels", mode="r").attrs)
    return attributes["labels"] if version == "0.4" else attributes["ome"]["labels"]


@VERSIONS
@pytest.mark.parametrize("sizes", [None, [(40, 50), (20, 25), (10, 13)], [(40, 50), (10, 12)]])
def test_labels_have_the_levels_of_their_image(version, sizes, tmp_path):
    image = image_of(tmp_path / "image.zarr", (3, 40, 50), version, sizes)
    result = made_of(np.kron(STACK, np.ones((10, 10), int)), prompts=("a", "b"))
    path = add_labels_to_zarr(image, "cells", result)
    assert path == image / "labels" / "cells"
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    np.testing.assert_array_equal(group["0"][:], result.labels)
    wanted = sizes or [(40, 50)]
    assert [group[str(i)].shape[1:] for i in range(len(wanted))] == wanted
    assert str(len(wanted)) not in group
    holder = dict(group.attrs) if version == "0.4" else dict(group.attrs)["ome"]
    assert holder["image-label"]["source"] == {"image": "../../"}
    assert recipe_of(path) == result.recipe


@VERSIONS
def test_several_labels_are_listed(version, tmp_path):
    image = image_of(tmp_path / "image.zarr", TWO.shape, version)
    before = {one: one.read_bytes() for one in image.rglob("*") if one.is_file()}
    for name in ("cells", "Zellkerne ü"):
        add_labels_to_zarr(image, name, CASES["2-D"])
    assert listed(image, version) == ["cells", "Zellkerne ü"]
    assert sorted(one.name for one in (image / "labels").iterdir() if one.is_dir()) == [
        "Zellkerne ü",
        "cells",
    ]
    for one, content in before.items():
        assert one.read_bytes() == content  # the image itself is as it was


@VERSIONS
def test_labels_of_a_region_lie_where_it_is(version, tmp_path):
    image = image_of(tmp_path / "image.zarr", (40, 90), version, [(40, 90), (20, 45)])
    path = add_labels_to_zarr(image, "cells", CASES["a region"])
    group = zarr.open_group(path, mode="r")
    holder = dict(group.attrs) if version == "0.4" else dict(group.attrs)["ome"]
    first, second = holder["multiscales"][0]["datasets"]
    assert first["coordinateTransformations"][1]["translation"] == [3, 70]
    assert second["coordinateTransformations"][0]["scale"] == [2, 2]


@pytest.mark.filterwarnings("ignore:Consolidated metadata")  # those that the test makes
@VERSIONS
def test_readers_of_consolidated_metadata_find_them(version, tmp_path):
    image = image_of(tmp_path / "image.zarr", TWO.shape, version)
    zarr.consolidate_metadata(image)
    add_labels_to_zarr(image, "cells", CASES["2-D"])
    group = zarr.open_consolidated(image)
    np.testing.assert_array_equal(group["labels/cells/0"][:], CASES["2-D"].labels)


@VERSIONS
def test_what_fails_leaves_no_labels(version, tmp_path, monkeypatch):
    image = image_of(tmp_path / "image.zarr", TWO.shape, version)
    add_labels_to_zarr(image, "first", CASES["2-D"])

    def full(*arguments):
        raise OSError("No space left on device")

    module = "napari_clipseg.images.io.pyramid.write_coarser_labels"
    monkeypatch.setattr(module, full)
    with pytest.raises(OSError, match="No space"):
        add_labels_to_zarr(image, "second", CASES["2-D"])
    assert listed(image, version) == ["first"]
    assert [one.name for one in (image / "labels").iterdir() if one.is_dir()] == ["first"]


NAMES = ["", "a/b", "a\\b", "..", ".hidden", "__private"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_no_folder_has(name, tmp_path):
    image = image_of(tmp_path / "image.zarr", TWO.shape, "0.5")
    with pytest.raises(ValueError, match=re.escape(f"Got {name!r} as the name of labels; wanted")):
        add_labels_to_zarr(image, name, CASES["2-D"])


def test_labels_of_that_name_are_not_overwritten(tmp_path):
    image = image_of(tmp_path / "image.zarr", TWO.shape, "0.5")
    add_labels_to_zarr(image, "cells", CASES["2-D"])
    with pytest.raises(FileExistsError, match="cells exists and is not overwritten"):
        add_labels_to_zarr(image, "cells", CASES["2-D"])


def test_a_folder_that_is_no_image(tmp_path):
    with pytest.raises(ValueError, match="holds no OME-Zarr image; wanted a folder whose metadata"):
        add_labels_to_zarr(tmp_path, "cells", CASES["2-D"])
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nothing; wanted that of"):
        add_labels_to_zarr(tmp_path / "nothing", "cells", CASES["2-D"])
