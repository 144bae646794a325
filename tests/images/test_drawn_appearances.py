"""Any appearance of any image: 8-bit RGB, as it is asked for; or refused."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cases import colour_images, gray_images, opened, some_finite
from drawing import examples, refusal
from napari_clipseg.images.rendering import Appearance, resolve

numbers = st.floats() | st.sampled_from([0, 1, 255, 65535, 1e300, -1e300, 5e-324])
pairs = st.tuples(numbers, numbers)


@st.composite
def appearances(draw):
    """Fields of an appearance; what is impossible is among them."""
    fields = {}
    for name, values in {
        "contrast": st.sampled_from(["auto", "dtype", "full"])
        | pairs
        | st.lists(pairs, max_size=3),
        "percentiles": st.tuples(*[st.floats(-10, 110)] * 2) | pairs,
        "gamma": st.none() | st.floats() | st.floats(0.1, 5),
        "invert": st.booleans(),
        "channels": st.none() | st.lists(st.integers(-1, 4), max_size=4),
        "colormap": st.none()
        | st.sampled_from(["gray", "red"])
        | hnp.arrays(np.uint8, st.tuples(st.integers(0, 5), st.integers(2, 4))),
    }.items():
        if draw(st.booleans()):
            fields[name] = draw(values)
    return fields


@examples(300)
@given(image=gray_images() | colour_images(), fields=appearances(), channels=st.booleans())
def test_any_appearance_is_shown_or_refused(image, fields, channels):
    options = {"axes": "cyx"} if channels and image.ndim == 3 else {}
    appearance, said = refusal(lambda: Appearance(**fields), ValueError)
    if said:
        assert "wanted" in said
        return
    with opened(image, **options) as reader:
        rendering, said = refusal(lambda: resolve(reader, appearance), ValueError)
        if said:
            assert any(words in said for words in ("wanted", "finite", "no channel"))
            return
        pixels = reader.read(0, (), channels=rendering.channels)
        shown = rendering.apply(pixels)
        again = resolve(reader, rendering.appearance)
    assert shown.dtype == np.uint8
    assert shown.shape == (*pixels.shape[:2], 3)
    # In numbers it is the same appearance, of this image and of its parts.
    np.testing.assert_array_equal(again.apply(pixels), shown)
    np.testing.assert_array_equal(rendering.apply(pixels[:1, -1:]), shown[:1, -1:])
    if not options and not some_finite(image):
        assert not isinstance(appearance.contrast, str) or image.ndim == 3


@examples(100)
@given(image=gray_images(), limits=pairs, gamma=st.floats(0.05, 20))
def test_brighter_pixels_are_never_darker(image, limits, gamma):
    appearance, said = refusal(lambda: Appearance(contrast=limits, gamma=gamma), ValueError)
    if said:
        return
    with opened(image) as reader:
        rendering = resolve(reader, appearance)
        pixels = reader.read(0, (), channels=rendering.channels)[..., 0]
        shown = rendering.apply(pixels[..., None])[..., 0]
    order = np.argsort(pixels[~np.isnan(pixels)] if pixels.dtype.kind == "f" else pixels, None)
    values = (shown[~np.isnan(pixels)] if pixels.dtype.kind == "f" else shown).ravel()[order]
    assert (np.diff(values.astype(int)) >= 0).all()
