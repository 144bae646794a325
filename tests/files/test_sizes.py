"""Spacing along z and names of channels: read from each format, and written into each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from napari.layers import Image

from exported import STACK, made_of, table_read, written
from napari_clipseg import as_source, segment
from napari_clipseg.files.formats import FORMATS
from napari_clipseg.files.formats.layers import read_layers
from napari_clipseg.files.plugin_readers import source_of_layers
from napari_clipseg.files.readers import read_image
from napari_clipseg.results import Segmentation

ZYX = np.zeros((3, 8, 9), np.uint8)
CZYX = np.zeros((2, 3, 8, 9), np.uint8)
XY = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}


def in_ome_tiff(image, **metadata):
    axes = "CZYX"[-image.ndim :]
    tifffile.imwrite("a.ome.tif", image, ome=True, metadata={"axes": axes, **metadata})
    return read_image(Path("a.ome.tif"))


def in_imagej(unit, **metadata):
    about = {"axes": "ZYX", "unit": unit, **metadata}
    tifffile.imwrite("a.tif", ZYX, imagej=True, resolution=(4, 4), metadata=about)
    return read_image(Path("a.tif"))


def in_zarr(version, units, scale, translation=None, omero=None):
    group = zarr.open_group("a.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
    image = CZYX if len(scale) == 4 else ZYX
    group.create_array("0", data=image)
    axes = [{"name": name} for name in "czyx"[-len(scale) :]]
    for one, unit in zip(axes, units, strict=True):
        one.update({"unit": unit} if unit else {})
    steps = [{"type": "scale", "scale": scale}]
    steps += [{"type": "translation", "translation": translation}] if translation else []
    levels = [{"path": "0", "coordinateTransformations": steps}]
    about = {"multiscales": [{"axes": axes, "datasets": levels}]}
    about |= {} if omero is None else {"omero": omero}
    group.attrs.update(about if version == "0.4" else {"ome": {"version": version, **about}})
    return read_image(Path("a.zarr"))


def on_layer(**options):
    return as_source(Image(ZYX, **options))


def of_plugin(image=ZYX, **options):
    return source_of_layers([(image, options, "image")])


UM = (None, "micrometer", "micrometer", "micrometer")
LABELS = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
MICRONS = {"units": ("um", "um", "um"), "scale": (2, 0.25, 0.25)}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("read", "z"),
    [
        pytest.param(lambda: in_ome_tiff(ZYX, **XY, PhysicalSizeZ=2.0), (2, 0), id="OME-TIFF"),
        pytest.param(
            lambda: in_ome_tiff(ZYX, **XY, PhysicalSizeZ=2e3, PhysicalSizeZUnit="nm"),
            (2, 0),
            id="OME-TIFF, z in nanometers",
        ),
        pytest.param(
            lambda: in_ome_tiff(ZYX, **XY, PhysicalSizeZ=2.0, PhysicalSizeZUnit="reference frame"),
            (None, 0),
            id="OME-TIFF, z in another unit",
        ),
        pytest.param(lambda: in_ome_tiff(ZYX, **XY), (None, 0), id="OME-TIFF without z"),
        pytest.param(lambda: in_ome_tiff(ZYX, PhysicalSizeZ=2.0), (None, 0), id="z alone"),
        pytest.param(lambda: in_imagej("um", spacing=2.0), (2, 0), id="ImageJ"),
        pytest.param(lambda: in_imagej("um", spacing=2), (2, 0), id="ImageJ, whole number"),
        pytest.param(lambda: in_imagej("um", spacing=0.0), (None, 0), id="ImageJ, no spacing"),
        pytest.param(lambda: in_imagej("pixel", spacing=2.0), (None, 0), id="ImageJ in pixels"),
        pytest.param(lambda: in_zarr("0.4", UM[1:], [2, 1, 1], [9, 0, 0]), (2, 9), id="OME-Zarr"),
        pytest.param(lambda: in_zarr("0.5", UM, [1, 2, 1, 1], [0, 9, 0, 0]), (2, 9), id="with c"),
        pytest.param(
            lambda: in_zarr("0.5", ["nanometer", *UM[2:]], [2e3, 1, 1], [9e3, 0, 0]),
            (2, 9),
            id="OME-Zarr, z in nanometers",
        ),
        pytest.param(
            lambda: in_zarr("0.5", [None, *UM[2:]], [2, 1, 1], [9, 0, 0]),
            (None, 0),
            id="OME-Zarr, z without its unit",
        ),
        pytest.param(
            lambda: in_zarr("0.5", [None] * 3, [2, 1, 1]), (2, 0), id="OME-Zarr without units"
        ),
        pytest.param(
            lambda: on_layer(scale=(2, 1, 1), translate=(9, 0, 0), units=("um",) * 3),
            (2, 9),
            id="a layer",
        ),
        pytest.param(
            lambda: on_layer(scale=(2e3, 1, 1), units=("nm", "um", "um")),
            (2, 0),
            id="in nanometers",
        ),
        pytest.param(
            lambda: on_layer(scale=(2, 1, 1), units=("pixel", "um", "um")), (None, 0), id="pixels"
        ),
        pytest.param(
            lambda: on_layer(scale=(-2, 1, 1), translate=(9, 0, 0)), (2, 0), id="mirrored"
        ),
        pytest.param(
            lambda: on_layer(scale=(2, 1, 1), axis_labels=("t", "y", "x")), (None, 0), id="time"
        ),
        pytest.param(lambda: of_plugin(**MICRONS, translate=(9, 0, 0)), (2, 9), id="a plugin"),
        pytest.param(
            lambda: of_plugin(scale=(2e3, 1, 1), units=("nm", "um", "um")), (2, 0), id="its units"
        ),
        pytest.param(lambda: of_plugin(scale=(0.25, 0.25)), (None, 0), id="a plugin without z"),
        pytest.param(lambda: as_source(ZYX, z_spacing=2), (2, 0), id="an argument"),
        pytest.param(
            lambda: as_source(as_source(ZYX, z_spacing=2), axes="zyx"), (2, 0), id="a source"
        ),
        pytest.param(
            lambda: as_source(on_layer(scale=(2, 1, 1)), spacing=(1, 1), unit="um"),
            (None, 0),
            id="in pixels, and another unit is given",
        ),
        pytest.param(
            lambda: as_source(of_plugin(**MICRONS), spacing=(250, 250), unit="nm"),
            (2000, 0),
            id="in another unit, which is given",
        ),
        pytest.param(lambda: as_source(ZYX), (None, 0), id="an array"),
    ],
)
def test_spacing_along_z_is_read(read, z):
    source = read()
    assert (source.z_spacing, source.z_translation) == pytest.approx(z)


@pytest.mark.parametrize(
    ("read", "names"),
    [
        pytest.param(
            lambda: in_ome_tiff(CZYX, Channel={"Name": ["DAPI", "GFP"]}),
            ("DAPI", "GFP"),
            id="OME-TIFF",
        ),
        pytest.param(
            lambda: in_ome_tiff(ZYX, Channel={"Name": ["405"]}), ("405",), id="one channel"
        ),
        pytest.param(lambda: in_ome_tiff(CZYX), ("", ""), id="OME-TIFF without names"),
        pytest.param(
            lambda: in_ome_tiff(np.zeros((8, 9, 3), np.uint8), axes="YXS", Channel={"Name": "a"}),
            (),
            id="colors",
        ),
        pytest.param(
            lambda: in_zarr("0.4", UM, [1, 1, 1, 1], omero=LABELS), ("DAPI", "GFP"), id="0.4"
        ),
        pytest.param(
            lambda: in_zarr("0.5", UM, [1, 1, 1, 1], omero=LABELS), ("DAPI", "GFP"), id="0.5"
        ),
        pytest.param(
            lambda: in_zarr("0.5", UM, [1, 1, 1, 1], omero={"channels": [{}, 7]}),
            ("", ""),
            id="OME-Zarr without names",
        ),
        pytest.param(
            lambda: in_zarr("0.5", UM, [1, 1, 1, 1], omero={"channels": [{"label": "DAPI"}]}),
            (),
            id="too few",
        ),
        pytest.param(lambda: in_zarr("0.5", UM, [1, 1, 1, 1], omero=[]), (), id="odd metadata"),
        pytest.param(
            lambda: of_plugin(CZYX, channel_axis=0, name=["DAPI", "GFP"]),
            ("DAPI", "GFP"),
            id="a plugin",
        ),
        pytest.param(lambda: of_plugin(CZYX, channel_axis=0, name="cells"), (), id="one name"),
        pytest.param(
            lambda: as_source(CZYX, axes="czyx", channel_names=["a", "b"]), ("a", "b"), id="given"
        ),
        pytest.param(
            lambda: as_source(as_source(CZYX, axes="czyx", channel_names="ab"), axes="tzyx"),
            (),
            id="channels that were none",
        ),
    ],
)
def test_names_of_channels_are_read(read, names):
    assert read().channel_names == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"z_spacing": 0}, "Got the z spacing 0; wanted the distance of", id="zero"),
        pytest.param({"z_spacing": np.inf}, "Got the z spacing inf", id="infinite"),
        pytest.param(
            {"channel_names": ["a", "b"]},
            r"Got the channel names \('a', 'b'\); wanted 1, one for each channel",
            id="names",
        ),
    ],
)
def test_what_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        as_source(ZYX, **options)


PLANES = {"forwards": ((0,), (1,), (2,)), "every other one, backwards": ((4,), (2,), (0,))}
PIXELS = ("labels-tiff", "probability-tiff", "labels-zarr", "labels-zarr-0.4", "probability-zarr")


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("planes", PLANES)
def test_spacing_along_z_goes_into_each_format(planes, name, tmp_path):
    place = {"spacing": (0.5, 0.25), "unit": "um", "z_spacing": 2.0, "z_translation": 10.0}
    result = made_of(STACK, prompts=("a", "b"), planes=PLANES[planes], **place)
    path = written(name, result, tmp_path)
    source = read_image(path)
    assert (source.spacing, source.unit) == ((0.5, 0.25), "micrometer")
    assert source.z_spacing == (2 if planes == "forwards" else 4)
    assert source.z_translation == (0 if name.endswith("tiff") else 10)
    first, last = result.extent.planes[0][0], result.extent.plane_steps[0]
    for data, options, kind in read_layers(path):
        assert (data.shape, kind) == (
            STACK.shape,
            name.partition("-")[0].replace("probability", "image"),
        )
        assert options["scale"] == (2 * last, 0.5, 0.25)
        assert options["translate"] == (10 + 2 * first, 0, 0)
        assert options["units"] == ("micrometer",) * 3


@pytest.mark.parametrize("name", ["labels-tiff", "labels-zarr"])
def test_without_it_planes_lie_one_apart(name, tmp_path):
    path = written(name, made_of(STACK, prompts=("a", "b"), unit="um"), tmp_path)
    assert read_image(path).z_spacing is None
    ((_, options, _),) = read_layers(path)
    assert (options["scale"], options["units"]) == ((1, 1, 1), ("pixel", *["micrometer"] * 2))


def test_a_run_carries_it_into_its_map_and_its_labels():
    source = as_source(ZYX, spacing=(0.5, 0.25), unit="um", z_spacing=2)
    result = segment(source, "nuclei", planes={"z": slice(1, 3)}, output="map.zarr")
    FORMATS["labels-tiff"].write(result, Path("a.ome.tif"))
    assert [read_image(Path(name)).z_spacing for name in ("map.zarr", "a.ome.tif")] == [2, 2]
    assert read_image(Path("map.zarr")).z_translation == 2
    layer = Image(ZYX, scale=(7, 0.5, 0.25))  # where results lie is the affair of the layer
    assert result.to_layers(layer)[0][1]["scale"].tolist() == [7, 0.5, 0.25]


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        pytest.param(("DAPI", "488, green"), ["DAPI", "488, green"], id="names"),
        pytest.param(("DAPI", "DAPI"), ["0", "1"], id="twice the same"),
        pytest.param(("DAPI", ""), ["0", "1"], id="one without"),
        pytest.param(None, ["0", "1"], id="not known"),
    ],
)
@pytest.mark.parametrize("table", ["csv", "parquet"])
def test_intensities_are_called_by_the_names_of_channels(table, names, columns, tmp_path):
    result = made_of([[1, 0, 1]], axes=("c", "y", "x"))
    assert isinstance(result, Segmentation)
    image = as_source(np.arange(6).reshape(2, 1, 3), axes="cyx", channel_names=names)
    found = table_read(table, written(table, result, tmp_path, image=image))
    means = [name for name in found if name.startswith("intensity_mean")]
    assert means == [f"intensity_mean-{one}" for one in columns]
    assert found[means[1]].tolist() == [3, 5]
