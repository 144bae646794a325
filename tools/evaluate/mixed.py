"""A folder of mixed images, some of them bad: what folders of a lab hold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

from napari_clipseg.sample_data import load_sample

Pixels = NDArray[Any]


def write_ome_zarr(path: Path, image: Pixels) -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.create_array("0", data=image)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    scale = [{"type": "scale", "scale": [0.5, 0.5]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}


def write_ome_tiff(path: Path, image: Pixels) -> None:
    sizes = {f"PhysicalSize{axis}": 0.5 for axis in "XY"}
    sizes |= {f"PhysicalSize{axis}Unit": "µm" for axis in "XY"}
    tifffile.imwrite(path, image, metadata={"axes": "YX", **sizes}, compression="zlib")


def write_imagej(path: Path, image: Pixels) -> None:
    resolution = (2.0, 2.0)
    about = {"unit": "um", "axes": "YX"}
    tifffile.imwrite(path, image, imagej=True, resolution=resolution, metadata=about)


# What a name ends in, and how such a file is written; gray unless it says color.
GOOD: tuple[tuple[str, str, Callable[[Path, Pixels], Any]], ...] = (
    (".tif", "color", lambda path, image: tifffile.imwrite(path, image, photometric="rgb")),
    (".tiff", "uint16", lambda path, image: tifffile.imwrite(path, image.astype(np.uint16) * 200)),
    (".ome.tif", "gray", write_ome_tiff),
    ("_ij.tif", "gray", write_imagej),
    (".png", "color", lambda path, image: Image.fromarray(image).save(path)),
    (".jpg", "color", lambda path, image: Image.fromarray(image).save(path)),
    (".npy", "float", lambda path, image: np.save(path, image / np.float32(255))),
    (".zarr", "gray", write_ome_zarr),
)


def truncated(path: Path, image: Pixels) -> None:
    """Write the first half of a file."""
    if path.suffix == ".png":
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, compression="zlib")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD: tuple[tuple[str, Callable[[Path, Pixels], Any]], ...] = (
    ("empty.tif", lambda path, _: path.write_bytes(b"")),
    ("truncated.tif", truncated),
    ("cut off.png", truncated),
    ("a text.tif", lambda path, _: path.write_text("no image")),
    ("words.png", lambda path, _: path.write_text("no image")),
    ("objects.npy", lambda path, _: np.save(path, np.array([{}, None], object))),
    ("complex.npy", lambda path, image: np.save(path, image * 1j)),
    ("not a number.npy", lambda path, _: np.save(path, np.full((30, 40), np.nan))),
    ("nothing.zarr", lambda path, _: path.mkdir()),
)
if sys.platform != "win32":  # where links need rights of their own
    BAD = (*BAD, ("gone.tif", lambda path, _: path.symlink_to(path.with_name("nowhere.tif"))))


def write_mixed(folder: Path, good: int, bad: int) -> None:
    """Write images of all kinds into a folder and three folders in it, and some other files."""
    sample = load_sample("shapes").image
    rng = np.random.default_rng(0)
    for i in range(good):
        suffix, kind, write = GOOD[i % len(GOOD)]
        place = folder / ("", "a", "b", "b/c")[i % 4]
        place.mkdir(parents=True, exist_ok=True)
        top, left = rng.integers(0, 200, 2)
        image = sample[top : top + rng.integers(60, 160), left : left + rng.integers(60, 160)]
        gray = kind != "color"
        write(place / f"image {i}{suffix}", image[..., 1] if gray else np.ascontiguousarray(image))
    for name, write in BAD[:bad]:
        write(folder / name, sample[:60, :60, 1])
    (folder / "notes.txt").write_text("no image")
    (folder / "Thumbs.db").write_bytes(b"no image")
