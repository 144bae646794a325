"""Images that scientists have, by name; and how to draw others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

RAMP = np.arange(12 * 20).reshape(12, 20)


def _with(image, value, *where):
    image = image.copy()
    image[where] = value
    return image


def _frozen(image):
    image.setflags(write=False)
    return image


GRAY = {
    "bool": RAMP % 3 == 0,
    "uint8": RAMP.astype(np.uint8),
    "int8 with negatives": (RAMP % 256 - 128).astype(np.int8),
    "uint16": (RAMP * 257).astype(np.uint16),
    "uint16 big-endian": RAMP.astype(">u2"),
    "int16": (RAMP - 100).astype(np.int16),
    "int32 extremes": _with(RAMP.astype(np.int32), np.iinfo(np.int32).min, 0, 0),
    "uint32": RAMP.astype(np.uint32) * 17_895_697,
    "int64 extremes": np.array([[np.iinfo(np.int64).min, 0, np.iinfo(np.int64).max]]),
    "uint64 extremes": np.array([[0, 2**63, 2**64 - 1]], np.uint64),
    "float16 extremes": np.array([[-65504, 0, 65504]], np.float16),
    "float32 extremes": np.array([[np.finfo("f4").min, 0, np.finfo("f4").max]], np.float32),
    "float64 extremes": np.array([[np.finfo("f8").min, 0, np.finfo("f8").max]]),
    "float64 smallest": np.array([[0, np.finfo("f8").smallest_subnormal]]),
    "float32 0 to 1": (RAMP / RAMP.max()).astype(np.float32),
    "float64 tiny range": 1e6 + RAMP * 1e-6,
    "a hole of NaN": _with(RAMP.astype(np.float32), np.nan, slice(3, 6), slice(4, 9)),
    "infinities": _with(_with(RAMP / 7, np.inf, 0, 0), -np.inf, 0, 1),
    "one finite pixel": _with(np.full((9, 7), np.nan), 3.5, 4, 4),
    "constant": np.full((8, 8), 1000, np.uint16),
    "one hot pixel": _with(np.zeros((40, 40), np.uint16), 65535, 5, 5),
    "one pixel": np.array([[7]], np.uint8),
    "one row": RAMP.reshape(1, -1).astype(np.float32),
    "one column": RAMP.reshape(-1, 1).astype(np.uint8),
    "100:1 strip": np.arange(4 * 400).reshape(4, 400).astype(np.uint16),
    "every other pixel of another": RAMP.astype(np.uint8)[::2, ::-2],
    "transposed": RAMP.astype(np.float32).T,
    "read-only": _frozen(RAMP.astype(np.uint8)),
}
COLOUR = {
    "RGB uint8": np.dstack([RAMP, RAMP[::-1], RAMP[:, ::-1]]).astype(np.uint8),
    "RGB uint8 read-only": _frozen(np.dstack([RAMP] * 3).astype(np.uint8)),
    "RGB uint16": np.dstack([RAMP * 270] * 3).astype(np.uint16),
    "RGB int64": np.dstack([RAMP.astype(np.int64) * 2**55] * 3),
    "RGB bool": np.dstack([RAMP % 2 == 0] * 3),
    "RGB float16": np.dstack([RAMP / 240] * 3).astype(np.float16),
    "RGB float32 beyond 0 to 1": np.dstack([RAMP / 100 - 1] * 3).astype(np.float32),
    "RGB float64 extremes": np.full((2, 2, 3), np.finfo("f8").max),
    "RGB with NaN": _with(np.dstack([RAMP / 240] * 3), np.nan, 2, 3, 1),
    "RGBA uint8": np.dstack([RAMP] * 4).astype(np.uint8),
    "RGBA, transparency NaN": _with(np.dstack([RAMP / 240] * 4), np.nan, ..., 3),
    "RGB one pixel": np.array([[[255, 0, 128]]], np.uint8),
    "RGB strip": np.zeros((3, 300, 3), np.uint8),
}
IMAGES = GRAY | COLOUR


def named(cases):
    """Turn a table of named cases into pytest's parameters."""
    return [pytest.param(case, id=name) for name, case in cases.items()]


def opened(image, **options):
    """A reader of an image."""
    from napari_clipseg.images.io.source import as_source

    return as_source(image, **options).open()


def dtypes():
    """Draw a type of real numbers."""
    return st.one_of(
        hnp.boolean_dtypes(),
        hnp.unsigned_integer_dtypes(),
        hnp.integer_dtypes(),
        hnp.floating_dtypes(sizes=(16, 32, 64)),
    )


def gray_images(side=12):
    """Draw gray images of any type; floats with NaN and infinities among them."""
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=side)
    return hnp.arrays(dtypes(), shapes)


def colour_images(side=8):
    """Draw RGB and RGBA images of any type."""
    sizes = st.tuples(st.integers(1, side), st.integers(1, side), st.sampled_from((3, 4)))
    return hnp.arrays(dtypes(), sizes)


def some_finite(image):
    """Whether a pixel of the image has finite values, transparency aside."""
    values = image if image.ndim == 2 else image[..., :3].transpose(2, 0, 1)
    finite = np.isfinite(values)
    return bool((finite if image.ndim == 2 else finite.all(axis=0)).any())
