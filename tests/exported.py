"""Results as files are written of them, by name; and outlines filled again."""

from __future__ import annotations

import math

import numpy as np
import pandas
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_clipseg.files.formats import FORMATS, beside, write_beside
from napari_clipseg.images.io.extent import Extent
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.recipe import Recipe
from napari_clipseg.results import Segmentation


def made_of(
    classes, *, prompts=("a",), negative=(), axes=None, instances=True, lead=None, **extent
):
    """A result whose classes are these: 0 for background, k for the k-th prompt."""
    classes = np.asarray(classes)
    count = len(prompts) + len(negative)
    maps = np.stack([classes == k for k in range(1, count + 1)]).astype(np.float32) * 0.75
    planes = classes.shape[:-2]
    lies = {
        "axes": lead or (("t", "z")[-len(planes) :] if planes else ()),
        "planes_shape": planes,
        "planes": tuple(np.ndindex(*planes)),
        "height": classes.shape[-2],
        "width": classes.shape[-1],
    }
    lies = Extent(**(lies | extent))
    recipe = Recipe(
        list(prompts),
        negative_prompts=list(negative),
        threshold=0.5,
        instances=InstanceOptions() if instances else None,
        weights=f"sha256:{'5' * 64}",
    )
    return Segmentation(maps, 0.5, recipe, lies, axes or (*lies.axes, "y", "x"))


def pixels(*rows):
    """An image drawn in characters: a dot for background, a digit for a class."""
    return np.array([[0 if one == "." else int(one) for one in row] for row in rows])


TWO = pixels("11..2", "11..2", "....2", ".1...")
STACK = np.stack([TWO, TWO[::-1], TWO * 0])
RING = pixels(".....", ".111.", ".1.1.", ".111.", ".....")
PINCHED = pixels("1111", "1.11", "11.1", "1111")
CORNER = pixels("1..", ".1.", "..1")
BUSY = np.random.default_rng(0).integers(0, 3, (9, 11))

CASES = {
    "2-D": made_of(TWO, prompts=("a", "b")),
    "a stack": made_of(STACK, prompts=("a", "b")),
    "a stack in time": made_of(np.stack([STACK, STACK[::-1]]), prompts=("a", "b")),
    "an image with channels": made_of(TWO, prompts=("a", "b"), axes=("c", "y", "x")),
    "a hole": made_of(RING),
    "holes that touch at a corner": made_of(PINCHED),
    "an object in a hole": made_of(np.pad(RING, 1, constant_values=1)),
    "pixels that touch at a corner": made_of(CORNER),
    "objects that touch at a corner": made_of(pixels("1.", ".2"), prompts=("a", "b")),
    "one pixel": made_of([[0, 0], [0, 1]]),
    "one pixel that is the image": made_of([[1]]),
    "the whole image": made_of(np.ones((3, 4), int)),
    "objects at the border": made_of(pixels("1.1", "...", "1.1")),
    "no objects": made_of(np.zeros((4, 5), int)),
    "a stack without objects": made_of(np.zeros((2, 4, 5), int)),
    "anisotropic pixels": made_of(TWO, prompts=("a", "b"), spacing=(0.5, 0.25), unit="um"),
    "nanometers": made_of(TWO, prompts=("a", "b"), spacing=(65.0, 65.0), unit="nanometer"),
    "an unknown unit": made_of(TWO, prompts=("a", "b"), spacing=(2.0, 2.0), unit="cubit"),
    "names in other scripts": made_of(TWO, prompts=("Zellkern ü", "細胞 🔬")),
    "names that XML lacks": made_of(TWO, prompts=("bell \a", 'quote " & <tag>')),
    "several prompts": made_of(BUSY, prompts=("a", "b"), negative=("c",)),
    "labels of prompts": made_of(BUSY, prompts=("a", "b"), instances=False),
    "a region": made_of(TWO, prompts=("a", "b"), origin=(3.0, 70.0)),
    "a coarser level": made_of(TWO, prompts=("a", "b"), factor=(2.0, 2.0), origin=(0.5, 0.5)),
    "a level of odd size": made_of(RING, factor=(1.8, 1.6), origin=(0.4, 0.3)),
    "planes backwards": made_of(STACK, prompts=("a", "b"), planes=((4,), (2,), (0,))),
    "an axis of another name": made_of(
        STACK, prompts=("a", "b"), axes=("y", "angle", "x"), lead=("angle",)
    ),
    "wider than a tile": made_of(np.kron(TWO, np.ones((70, 110), int)), prompts=("a", "b")),
}


def filled(shape, rings):
    """The pixels whose centers lie within an odd number of rings, ``(corners, 2)`` of x and y."""
    inside = np.zeros(shape, bool)
    rows, columns = (np.arange(length) + 0.5 for length in shape)
    for ring in rings:
        ring = np.asarray(ring, float)
        for (x, y), (to_x, to_y) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if x == to_x:
                spanned = (rows > min(y, to_y)) & (rows < max(y, to_y))
                inside ^= spanned[:, None] & (columns > x)[None]
            else:
                assert y == to_y, "an edge that is no edge of pixels"
    return inside


def on_map(ring, extent):
    """Corners in pixels of the image, x and y, as corners of pixels of the map."""
    factor, origin = np.asarray(extent.factor)[::-1], np.asarray(extent.origin)[::-1]
    places = (np.asarray(ring, float) - (origin + 0.5 - factor / 2)) / factor
    whole = np.rint(places)
    np.testing.assert_allclose(places, whole, atol=1e-4)
    return whole


def image_of(result):
    """An image for a result: under each pixel of its map other values."""
    extent = result.extent
    ends = [
        math.ceil((at - (factor - 1) / 2) + length * factor - 1e-9)
        for at, factor, length in zip(
            extent.origin, extent.factor, (extent.height, extent.width), strict=True
        )
    ]
    lengths = dict(zip("yx", ends, strict=True)) | {"c": 2}
    for axis, name in enumerate(extent.axes):
        lengths[name] = 1 + max(plane[axis] for plane in extent.planes)
    shape = [lengths[name] for name in result.axes]
    fine = np.random.default_rng(0).integers(0, 1000, shape).astype(np.uint16)
    if extent.factor == (1, 1):
        return fine
    sizes = {"y": extent.height, "x": extent.width}
    return [fine, fine[tuple(slice(sizes.get(name)) for name in result.axes)]]


def written(name, result, folder, **options):
    path = folder / f"cells{FORMATS[name].suffix}"
    FORMATS[name].write(result, path, **options)
    if FORMATS[name].beside:
        write_beside(result, beside(path))
    assert sorted(folder.iterdir()) == sorted({path, *([beside(path)] * FORMATS[name].beside)})
    return path


def table_read(name, path):
    if name == "csv":
        return pandas.read_csv(path, keep_default_na=False, na_values=["nan"])
    return pandas.read_parquet(path)


def small_labels():
    """Draw label images of every small shape; labels may be large, and have gaps."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
    return shapes.flatmap(
        lambda shape: hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 1, 2, 70_000]))
    )
