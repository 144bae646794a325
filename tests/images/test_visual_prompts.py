from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from evaluate.visual_prompts import PROCESSOR, authors_cut, authors_prompt
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


MIDDLE = 255 * np.array([0.485, 0.456, 0.406])


def mirrored(image, radius):
    """More rows and columns around an image, mirrored at the centers of its outer pixels."""
    rows, columns = (np.arange(-radius, n + radius) for n in image.shape[:2])
    inside = []
    for at, n in ((rows, image.shape[0]), (columns, image.shape[1])):
        turn = max(2 * (n - 1), 1)
        inside.append(np.minimum(at % turn, turn - at % turn) if n > 1 else np.zeros_like(at))
    return image[np.ix_(*inside)].astype(float)


def blurred_slowly(image, scale):
    """The whole image under a Gaussian of sigma 3 and radius 7, both scaled."""
    radius = int(7 * scale + 0.5)
    weight = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * (3 * scale) ** 2))
    weight /= weight.sum()
    height, width = image.shape[:2]
    wide = mirrored(image, radius)
    out = np.zeros(image.shape)
    for i, first in enumerate(weight):
        for j, second in enumerate(weight):
            out += first * second * wide[i : i + height, j : j + width]
    return out


def crop(mask):
    """First row and column of the object with a tenth of its size around it, and those after."""
    bounds = []
    for axis, n in enumerate(mask.shape):
        where = np.flatnonzero(mask.any(axis=1 - axis))
        first, after = int(where.min()), int(where.max()) + 1
        context = 0.1 * (after - first)
        bounds.append((int(max(first - context, 0)), int(min(after + context, n))))
    return bounds


def expected(image, mask):
    scale = min(*mask.shape, (mask.sum() / 0.05) ** 0.5) / 352
    faded = MIDDLE + 0.1 * (blurred_slowly(image, scale) - MIDDLE)
    (top, bottom), (left, right) = crop(mask)
    cut = np.where(mask[..., None], image, faded)[top:bottom, left:right]
    side = max(cut.shape[:2])
    square = np.tile(MIDDLE, (side, side, 1))
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    return square


@given(images_and_masks())
def test_the_authors_recipe(image_and_mask):
    image, mask = image_and_mask
    before = image.copy(), mask.copy()
    prompt = visual_prompt(image, mask)
    wanted = expected(image, mask)
    assert prompt.dtype == np.uint8
    assert prompt.shape == wanted.shape
    np.testing.assert_allclose(prompt, wanted, atol=0.51)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@given(
    st.tuples(st.integers(60, 352), st.integers(60, 352)),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=10)
def test_the_prompt_is_what_the_authors_make_of_a_normalized_image(size, place, seed):
    """On 352 pixels, where nothing is resized: the order of the steps makes no difference."""
    image = np.random.default_rng(seed).integers(0, 256, (352, 352, 3), dtype=np.uint8)
    mask = np.zeros((352, 352), bool)
    top, left = (round(share * (352 - n)) for share, n in zip(place, size, strict=True))
    mask[top : top + size[0], left : left + size[1]] = True
    if mask.mean() < 0.05:
        mask[:80, :80] = True
    normalized = PROCESSOR(image)["pixel_values"][0]
    wanted = authors_cut(normalized, torch.from_numpy(mask).float())
    got = PROCESSOR(visual_prompt(image, mask), do_resize=False)["pixel_values"][0]
    assert got.shape == wanted.shape
    step = 1 / 255 / min(PROCESSOR.image_std)  # of a uint8
    assert (got - wanted).abs().max() < 0.51 * step


@pytest.mark.parametrize("shape", [(352, 352), (512, 512), (300, 300), (704, 704)], ids=str)
def test_the_prompt_of_any_size_is_nearly_that_of_the_authors(shape):
    rows, columns = np.indices(shape) / shape[0]
    image = np.stack([np.sin(9 * rows), np.cos(7 * columns), np.sin(8 * (rows + columns))], 2)
    image = np.uint8(127.5 + 127.5 * image)
    mask = (rows - 0.4) ** 2 + (columns - 0.5) ** 2 < 0.2**2
    got = PROCESSOR(visual_prompt(image, mask))["pixel_values"][0].flatten()
    wanted = authors_prompt(image, mask).flatten()
    assert torch.cosine_similarity(got, wanted, dim=0) > 0.99


def test_the_padding_is_nothing_to_the_model():
    mask = np.zeros((50, 60), bool)
    mask[20:25] = True
    prompt = visual_prompt(np.full((50, 60, 3), 255, np.uint8), mask)
    seen = PROCESSOR(prompt, do_resize=False)["pixel_values"][0]
    assert seen.shape == (3, 60, 60)
    assert seen[:, 0].abs().max() < 0.51 / 255 / min(PROCESSOR.image_std)


@given(images_and_masks())
def test_the_object_itself_is_not_touched(image_and_mask):
    image, mask = image_and_mask
    (top, bottom), (left, right) = crop(mask)
    prompt = visual_prompt(image, mask)
    rows, columns = bottom - top, right - left
    above, before = (prompt.shape[0] - rows) // 2, (prompt.shape[1] - columns) // 2
    cut = prompt[above : above + rows, before : before + columns]
    window = slice(top, bottom), slice(left, right)
    np.testing.assert_array_equal(cut[mask[window]], image[window][mask[window]])
    faded = np.abs(cut[~mask[window]] - MIDDLE)
    assert faded.max(initial=0) <= 16  # a tenth of what is farthest from gray, rounded up


def test_a_white_ground_keeps_a_tenth_of_its_contrast():
    mask = np.zeros((60, 60), bool)
    mask[20:40, 20:40] = True
    prompt = visual_prompt(np.full((60, 60, 3), 250, np.uint8), mask)
    assert prompt.shape == (24, 24, 3)  # 20, and a tenth of that on either side
    assert (prompt[2:-2, 2:-2] == 250).all()
    assert (prompt[:2] == [136, 130, 118]).all()


def test_what_lies_far_from_the_object_changes_nothing():
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (400, 400, 3), dtype=np.uint8)
    other = random.integers(0, 256, (400, 400, 3), dtype=np.uint8)
    mask = np.zeros((400, 400), bool)
    mask[100:300, 100:300] = True
    near = slice(100 - 20 - 8, 300 + 20 + 8)  # the object, its context, and the reach of the blur
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
        # Context, blur (its square is at most 80 wide), and rounding.
        reach = 6 + 7 * 80 / 352 + 0.1 * abs(high - low) + 3.1 * slanted
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


LEVELS = [np.full((4096 >> i, 4096 >> i), 200 + i, np.uint8) for i in range(5)]


@pytest.mark.parametrize(
    ("side", "level"), [(300, 0), (1020, 0), (1100, 1), (2100, 2), (3300, 2), (None, 3)], ids=str
)
def test_a_large_example_is_read_from_a_level_with_pixels_enough(side, level):
    corner = np.array([(-1, -1), (-1, 1), (1, 1)])
    outline = None if side is None else 2048 + side / 2 * corner
    (got,) = Example(LEVELS, outline, appearance=GRAY).read()
    assert got.max() == 200 + level
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
