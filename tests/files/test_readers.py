"""Images of files: axes, physical sizes, levels; what is read when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from evaluate.mixed import GOOD
from napari_clipseg.files import readers, tiff
from napari_clipseg.files.readers import read_image

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def pixels(*shape, dtype=np.uint8):
    return RNG.integers(0, 255, shape).astype(dtype)


def write(path, shape, **options):
    image = pixels(*shape)
    tifffile.imwrite(path, image, **options)
    return image


@pytest.mark.parametrize(
    ("shape", "options", "axes"),
    [
        pytest.param((20, 30), {}, "yx", id="gray"),
        pytest.param((20, 30, 3), {"photometric": "rgb"}, "yxs", id="RGB"),
        pytest.param((20, 30, 2), {"planarconfig": "contig"}, "yxc", id="two samples"),
        pytest.param((4, 20, 30), {"photometric": "minisblack"}, "zyx", id="pages without names"),
        pytest.param((2, 4, 20, 30), {"photometric": "minisblack"}, "tzyx", id="two axes without"),
        pytest.param(
            (4, 20, 30, 3), {"photometric": "rgb"}, "zyxs", id="pages in color without names"
        ),
        pytest.param((2, 20, 30), {"metadata": {"axes": "CYX"}, "ome": True}, "cyx", id="OME"),
        pytest.param(
            (3, 2, 20, 30), {"metadata": {"axes": "TCYX"}, "imagej": True}, "tcyx", id="ImageJ"
        ),
        pytest.param(
            (2, 3, 20, 30),
            {"metadata": {"axes": "TZYX"}, "photometric": "minisblack"},
            "tzyx",
            id="tifffile's own",
        ),
    ],
)
def test_axes_of_tiff(shape, options, axes):
    image = write("a.tif", shape, **options)
    source = read_image(Path("a.tif"))
    assert "".join(source.axes) == axes
    assert source.name == "a.tif"
    assert source.in_memory
    np.testing.assert_array_equal(source.levels[0], image)


@pytest.mark.parametrize(
    ("options", "spacing", "unit"),
    [
        pytest.param({}, (1.0, 1.0), "pixel", id="plain"),
        pytest.param({"resolution": (72, 72)}, (1.0, 1.0), "pixel", id="dots of a printer"),
        pytest.param(
            {"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}},
            (0.5, 0.25),
            "micrometer",
            id="OME",
        ),
        pytest.param(
            {
                "ome": True,
                "metadata": {
                    "PhysicalSizeX": 2,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 2,
                    "PhysicalSizeYUnit": "nm",
                },
            },
            (2.0, 2.0),
            "nanometer",
            id="OME in nanometers",
        ),
        pytest.param(
            {"imagej": True, "resolution": (4, 2), "metadata": {"unit": "um"}},
            (0.5, 0.25),
            "micrometer",
            id="ImageJ",
        ),
        pytest.param(
            {"imagej": True, "resolution": (4, 2), "metadata": {"unit": "\\u00B5m"}},
            (0.5, 0.25),
            "micrometer",
            id="ImageJ's micron",
        ),
        pytest.param({"imagej": True, "resolution": (4, 2)}, (1.0, 1.0), "pixel", id="no unit"),
    ],
)
def test_physical_sizes_of_tiff(options, spacing, unit):
    write("a.tif", (20, 30), **options)
    source = read_image(Path("a.tif"))
    assert (source.spacing, source.unit) == (spacing, unit)


def test_levels_of_a_pyramid():
    image = pixels(64, 64)
    with tifffile.TiffWriter("a.ome.tif") as file:
        file.write(image, subifds=1, tile=(16, 16))
        file.write(image[::2, ::2], subfiletype=1, tile=(16, 16))
    source = read_image(Path("a.ome.tif"))
    assert [level.shape for level in source.levels] == [(64, 64), (32, 32)]


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (16, 16)}], ids=str)
def test_large_images_are_read_in_parts(options, monkeypatch):
    monkeypatch.setattr(tiff, "AT_ONCE", 100)
    monkeypatch.setattr(readers, "AT_ONCE", 100)
    image = write("a.tif", (3, 40, 50), photometric="minisblack", **options)
    np.save("a.npy", image)
    for name in ("a.tif", "a.npy"):
        source = read_image(Path(name))
        assert not source.in_memory
        with source.open() as reader:
            part = reader.read(0, (1,), slice(5, 20), slice(30, 50))
        np.testing.assert_array_equal(part[..., 0], image[1, 5:20, 30:50])


@pytest.mark.parametrize(("suffix", "kind", "write"), GOOD, ids=[one[0] for one in GOOD])
def test_headers_say_what_the_image_is(suffix, kind, write, monkeypatch):
    path = Path(f"a{suffix}")
    write(path, pixels(40, 30, 3) if kind == "color" else pixels(40, 30))
    whole = read_image(path)
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", None)
    monkeypatch.setattr(Image.Image, "load", None)
    headers = read_image(path, headers=True)
    assert (headers.axes, headers.shape) == (whole.axes, whole.shape)
    assert (headers.spacing, headers.unit) == (whole.spacing, whole.unit)


def test_what_bioformats2raw_wrote():
    group = zarr.open_group("a.zarr", mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    inner = group.create_group("0")
    inner.create_array("0", data=pixels(20, 30))
    inner.attrs["multiscales"] = [
        {"version": "0.4", "axes": ["y", "x"], "datasets": [{"path": "0"}]}
    ]
    assert read_image(Path("a.zarr")).shape == (20, 30)


def test_what_imageio_reads():
    Image.fromarray(pixels(20, 30, 3)).save("a.bmp")
    assert read_image(Path("a.bmp")).axes == ("y", "x", "s")


def test_a_codec_that_is_missing_is_named(monkeypatch):
    write("a.tif", (20, 30))

    def asarray(*_, **__):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", asarray)
    with pytest.raises(ValueError, match="python -m pip install imagecodecs"):
        read_image(Path("a.tif"))
