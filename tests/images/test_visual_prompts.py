from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_clipseg.images.geometry import outline_mask
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.visual_prompts import Example, visual_prompt
from seeing import Recorded


@st.composite
def images_and_masks(draw):
    shape = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    image = draw(hnp.arrays(np.uint8, (*shape, 3), fill=st.integers(0, 255)))
    mask = np.zeros(shape, bool)
    for _ in range(draw(st.integers(1, 2))):
        first, last = (
            [draw(st.integers(0, n - 1)) for n in shape],
            [draw(st.integers(0, n - 1)) for n in shape],
        )
        mask[tuple(slice(min(p), max(p) + 1) for p in zip(first, last, strict=True))] = True
    return image, mask


def blurred_slowly(image):
    """The whole image under a 15 x 15 Gaussian of sigma 3, edges repeated outwards."""
    weight = np.exp(-(np.arange(-7, 8) ** 2) / (2 * 3.0**2))
    weight /= weight.sum()
    height, width = image.shape[:2]
    wide = np.pad(image.astype(float), ((7, 7), (7, 7), (0, 0)), mode="edge")
    out = np.zeros(image.shape)
    for i, first in enumerate(weight):
        for j, second in enumerate(weight):
            out += first * second * wide[i : i + height, j : j + width]
    return out


def crop(mask):
    """First and last row and column of the object with a tenth of its size around it."""
    bounds = []
    for axis, n in enumerate(mask.shape):
        where = np.flatnonzero(mask.any(axis=1 - axis))
        first, last = int(where.min()), int(where.max())
        context = round((last - first + 1) / 10)
        bounds.append((max(first - context, 0), min(last + context, n - 1)))
    return bounds


def expected(image, mask):
    darkened = np.where(mask[..., None], image, 0.1 * blurred_slowly(image))
    (top, bottom), (left, right) = crop(mask)
    cut = darkened[top : bottom + 1, left : right + 1]
    side = max(cut.shape[:2])
    square = np.zeros((side, side, 3))
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    return square


@given(images_and_masks())
def test_the_papers_recipe(image_and_mask):
    image, mask = image_and_mask
    before = image.copy(), mask.copy()
    prompt = visual_prompt(image, mask)
    wanted = expected(image, mask)
    assert prompt.dtype == np.uint8
    assert prompt.shape == wanted.shape
    np.testing.assert_allclose(prompt, wanted, atol=0.51)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@given(images_and_masks())
def test_the_object_itself_is_not_touched(image_and_mask):
    image, mask = image_and_mask
    image = np.maximum(image, 1)  # the padding is 0, so that each pixel can be found again
    (top, bottom), (left, right) = crop(mask)
    prompt = visual_prompt(image, mask)
    rows, columns = bottom - top + 1, right - left + 1
    above, before = (prompt.shape[0] - rows) // 2, (prompt.shape[1] - columns) // 2
    cut = prompt[above : above + rows, before : before + columns]
    window = slice(top, bottom + 1), slice(left, right + 1)
    np.testing.assert_array_equal(cut[mask[window]], image[window][mask[window]])
    assert cut[~mask[window]].max(initial=0) <= 26  # a tenth of white, rounded up


def test_a_white_ground_has_a_tenth_of_its_light():
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    prompt = visual_prompt(np.full((60, 60, 3), 250, np.uint8), mask)
    assert prompt.shape == (24, 24, 3)  # 20, and a tenth of that on either side
    assert (prompt[2:-2, 2:-2] == 250).all()
    assert (prompt[:2] == 25).all()


def test_what_lies_far_from_the_object_changes_nothing():
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    other = random.integers(0, 256, (100, 100, 3), dtype=np.uint8)
    mask = np.zeros((100, 100), bool)
    mask[40:50, 40:50] = True
    near = slice(40 - 1 - 7, 50 + 1 + 7)  # the object, its context, and the reach of the blur
    other[near, near] = image[near, near]
    np.testing.assert_array_equal(visual_prompt(other, mask), visual_prompt(image, mask))


@pytest.mark.parametrize(
    ("where", "shape"),
    [
        pytest.param((slice(0, 1), slice(0, 1)), (1, 1, 3), id="one pixel in the corner"),
        pytest.param((slice(0, 20), slice(10, 20)), (22, 22, 3), id="at the upper border"),
        pytest.param((slice(30, 50), slice(20, 40)), (22, 22, 3), id="in the lower right corner"),
        pytest.param((slice(0, 50), slice(0, 40)), (50, 50, 3), id="the whole image"),
        pytest.param((slice(7, 8), slice(0, 40)), (40, 40, 3), id="a line"),
    ],
)
def test_the_prompt_is_a_square_around_the_object(where, shape):
    image = np.full((50, 40, 3), 200, np.uint8)
    mask = np.zeros((50, 40), bool)
    mask[where] = True
    prompt = visual_prompt(image, mask)
    assert prompt.shape == shape
    assert np.count_nonzero(prompt[..., 0] == 200) == mask.sum()


IMAGE, MASK = np.zeros((5, 6, 3), np.uint8), np.ones((5, 6), bool)
BAD = {
    "nothing marked": (IMAGE, ~MASK, "covers no pixel"),
    "another size": (IMAGE, MASK.T, "(6, 5)"),
    "gray": (IMAGE[..., 0], MASK, "wanted uint8 of shape (height, width, 3)"),
    "RGBA": (np.zeros((5, 6, 4), np.uint8), MASK, "(5, 6, 4)"),
    "floats": (IMAGE / 255, MASK, "float64"),
}


@pytest.mark.parametrize(("image", "mask", "says"), BAD.values(), ids=BAD)
def test_bad_references_are_refused(image, mask, says):
    with pytest.raises(ValueError, match="reference") as caught:
        visual_prompt(image, mask)
    assert says in str(caught.value)


SCENE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
GRAY = Appearance(contrast=(0, 255))


def boxes():
    """Rectangles with corners off the centers of pixels, some beyond the image."""
    places = st.integers(-20, 100).map(lambda at: at + 0.3)
    return st.tuples(places, places, places, places).filter(
        lambda box: box[0] != box[2] and box[1] != box[3]
    )


@given(boxes(), st.booleans())
def test_an_example_is_the_prompt_of_the_whole_plane(box, slanted):
    top, left, bottom, right = box
    outline = np.array([(top, left), (top, right), (bottom, right + 3.1 * slanted), (bottom, left)])
    recorded = Recorded(SCENE)
    mask = outline_mask(SCENE.shape[:2], outline)
    example = Example(recorded, outline, appearance=GRAY)
    if not mask.any():
        with pytest.raises(ValueError, match=r"covers no pixel of its image\. Draw it over"):
            example.read()
        return
    (got,) = example.read()
    np.testing.assert_array_equal(got, visual_prompt(SCENE, mask))
    rows, columns = (np.flatnonzero(recorded.read.any(axis=(1 - axis, 2))) for axis in (0, 1))
    for read, low, high in ((rows, top, bottom), (columns, left, right)):
        reach = 12 + 0.1 * abs(high - low) + 3.1 * slanted  # context, blur, and rounding
        assert read.min() >= min(low, high) - reach
        assert read.max() <= max(low, high) + reach


def test_an_example_of_a_plane_and_channels():
    stack = np.random.default_rng(1).integers(0, 256, (3, 4, 30, 40), dtype=np.uint8)
    outline = np.array([(5.5, 5.5), (5.5, 20.5), (18.5, 20.5)])
    appearance = Appearance(contrast=(0, 255), channels=[2, 0])
    example = Example(
        as_source(stack, axes="czyx"), [outline], plane={"z": 3}, appearance=appearance
    )
    image = np.dstack([stack[2, 3], stack[0, 3], np.zeros_like(stack[0, 3])])
    (got,) = example.read()
    np.testing.assert_array_equal(got, visual_prompt(image, outline_mask((30, 40), outline)))


PLANES = {
    "by name": {"t": 1, "z": 2},
    "in order": (1, 2),
    "from the end": {"z": -1, "t": -1},
    "numpy numbers": np.array([1, 2]),
}


@pytest.mark.parametrize("plane", PLANES.values(), ids=PLANES)
def test_without_a_region_the_whole_plane_is_the_example(plane):
    stack = np.random.default_rng(1).integers(0, 256, (2, 3, 20, 30), dtype=np.uint8)
    (got,) = Example(stack, plane=plane, appearance=GRAY).read()
    np.testing.assert_array_equal(got, np.dstack([stack[1, 2]] * 3))


def test_an_axis_with_one_plane_may_be_left_out():
    assert Example(np.zeros((1, 4, 8, 9)), plane={"z": 3}).plane == (0, 3)
    assert Example(np.zeros((1, 1, 8, 9))).plane == (0, 0)


REGIONS = {
    "two corners": [(10, 20), (14, 30)],
    "the other two": [(14, 20), (10, 30)],
    "an array": np.array([(10, 20), (14, 30)]),
    "between pixels": [(9.6, 20.4), (14.4, 29.6)],
    "an outline": [(9.5, 19.5), (9.5, 30.5), (14.5, 30.5), (14.5, 19.5)],
    "a list of one": [[(10, 20), (14, 30)]],
}


@pytest.mark.parametrize("regions", REGIONS.values(), ids=REGIONS)
def test_a_rectangle_covers_the_pixels_of_its_corners(regions):
    mask = np.zeros(SCENE.shape[:2], bool)
    mask[10:15, 20:31] = True
    (got,) = Example(SCENE, regions).read()
    np.testing.assert_array_equal(got, visual_prompt(SCENE, mask))


def test_each_region_is_an_example():
    triangle = [(30, 30), (30, 50), (50, 30)]
    both = Example(SCENE, [[(10, 20), (14, 30)], triangle]).read()
    alone = [Example(SCENE, one).read()[0] for one in ([(10, 20), (14, 30)], triangle)]
    for got, wanted in zip(both, alone, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_layer_is_an_example_as_it_is_shown():
    from napari.layers import Image

    layer = Image(SCENE[..., 0], contrast_limits=(0, 255), colormap="gray_r")
    (got,) = Example(layer).read()
    np.testing.assert_array_equal(got, np.dstack([255 - SCENE[..., 0]] * 3))


STACK = np.zeros((2, 5, 8, 9))
BAD_EXAMPLES = {
    "no plane": ({"plane": ()}, "planes along {'t': 2, 'z': 5}. Give one index for each axis"),
    "one of two": ({"plane": {"z": 1}}, "Got the plane {'z': 1} of the reference"),
    "too many": ({"plane": (0, 1, 2)}, "such as plane={'t': 0, 'z': 0}"),
    "no such axis": ({"plane": {"t": 0, "z": 0, "c": 0}}, "planes along {'t': 2, 'z': 5}"),
    "beyond the end": ({"plane": (0, 5)}, "Got the plane (0, 5)"),
    "beyond the start": ({"plane": (-3, 0)}, "Got the plane (-3, 0)"),
    "one corner": ({"regions": [(1, 2)]}, "has shape (1, 2); wanted (corners, 2)"),
    "corners in 3D": ({"regions": [(1, 2, 3), (4, 5, 6)]}, "has shape (2, 3)"),
    "corners nowhere": ({"regions": [(1, 2), (np.nan, 6)]}, "wanted finite numbers"),
    "corners of 1e300": ({"regions": [(1, 2), (1e300, 6)]}, "numbers of pixels, at most 1e+09"),
}


@pytest.mark.parametrize(("options", "says"), BAD_EXAMPLES.values(), ids=BAD_EXAMPLES)
def test_bad_examples_are_refused_when_they_are_made(options, says):
    with pytest.raises(ValueError, match="reference") as caught:
        Example(STACK, **{"plane": (0, 0)} | options)
    assert says in str(caught.value)


def test_an_example_of_what_is_no_image_is_refused():
    with pytest.raises(TypeError, match="complex128"):
        Example(np.ones((4, 4), complex))


LEVELS = [np.full((4096 >> i, 4096 >> i), 100 + i, np.uint8) for i in range(5)]


@pytest.mark.parametrize(
    ("side", "level"), [(300, 0), (1020, 0), (1100, 1), (2100, 2), (3300, 2), (None, 3)], ids=str
)
def test_a_large_example_is_read_from_a_level_with_pixels_enough(side, level):
    corner = np.array([(-1, -1), (-1, 1), (1, 1)])
    outline = None if side is None else 2048 + side / 2 * corner
    (got,) = Example(LEVELS, outline, appearance=GRAY).read()
    assert got.max() == 100 + level
    if side is not None:
        assert got.shape[0] == pytest.approx(1.2 * side / 2**level, rel=0.01)


def test_an_example_of_a_level_lies_where_it_does_in_the_image():
    coarse = np.random.default_rng(0).integers(0, 256, (1024, 1024), dtype=np.uint8)
    levels = [Recorded(coarse.repeat(2, axis=0).repeat(2, axis=1)), coarse]
    (top, left), (bottom, right) = (400.2, 601), (1600.8, 1801)
    outline = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    rows, columns = np.ogrid[:1024, :1024]
    # The center of a pixel lies between those of the four under it.
    down, across = 2 * rows + 0.5, 2 * columns + 0.5
    mask = (top < down) & (down < bottom) & (left < across) & (across < right)
    (got,) = Example(levels, outline, appearance=GRAY).read()
    np.testing.assert_array_equal(got, visual_prompt(np.dstack([coarse] * 3), mask))
    assert not levels[0].read.any()


def test_nothing_is_read_before_it_is_needed():
    recorded = Recorded(SCENE[..., 0])
    example = Example(recorded, [(3, 3), (9, 9)])
    assert not recorded.read.any()
    example.read()
    assert recorded.read.any()


def test_an_example_without_area_is_refused_before_anything_is_read():
    recorded = Recorded(SCENE[..., 0])
    example = Example(recorded, np.array([(3.0, 3.0), (3.0, 9.0), (3.0, 5.0)]))
    with pytest.raises(ValueError, match=r"encloses no area\. Draw"):
        example.read()
    assert not recorded.read.any()
