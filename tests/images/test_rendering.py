from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cases import COLOUR, GRAY, IMAGES, colour_images, gray_images, named, opened, some_finite
from napari_clipseg.images import contrast as module
from napari_clipseg.images.contrast import SAMPLED_PIXELS
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.rendering import Appearance, Rendering, resolve
from seeing import Recorded

COLOUR_RANGE = {"u1": 255, "u2": 65535, "i8": 2**63 - 1, "b1": 1, "f2": 1, "f4": 1, "f8": 1}
CHANNELS = np.stack([np.full((4, 5), value, np.uint8) for value in (10, 20, 30, 40)])


def shade(value, low, high):
    """The exact brightness of one value as float64 tells it apart, 0 to 255, slowly."""
    if np.isnan(value):
        return Fraction(0)
    if np.isinf(value):
        return Fraction(255 if value > 0 else 0)
    value, low, high = (Fraction(float(x)) for x in (value, low, high))
    if high <= low:
        return Fraction(255 if value > high else 0)
    return 255 * min(max((value - low) / (high - low), Fraction(0)), Fraction(1))


def assert_shades(shown, values, low, high):
    for got, value in zip(shown.ravel().tolist(), values.ravel(), strict=True):
        # Half a step for rounding, and what float32 cannot tell apart.
        assert abs(got - shade(value, low, high)) <= Fraction(6, 10), (got, value, low, high)


def show(image, axes=None, **appearance):
    """The shown of a whole 2D image."""
    source = as_source(image, axes=axes)
    rendering = resolve(source.open(), Appearance(**appearance))
    return rendering.apply(source.open().read(0, (), channels=rendering.channels))


def limits(image, **options):
    (one,) = resolve(opened(image, **options), Appearance()).limits
    return one


@pytest.mark.parametrize("image", named(IMAGES))
def test_every_image_becomes_8_bit_rgb(image):
    before = image.copy()
    shown = show(image)
    assert shown.shape == (*image.shape[:2], 3)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("image", named(GRAY))
def test_gray_is_stretched_between_the_contrast_limits(image):
    shown = show(image)
    assert (shown == shown[..., :1]).all()
    assert_shades(shown[..., 0], image, *limits(image))


@given(gray_images())
def test_any_gray_is_stretched_between_the_contrast_limits(image):
    assume(some_finite(image))
    low, high = limits(image)
    numbers = image[np.isfinite(image)].astype(np.float64)
    assert numbers.min() <= low <= high <= numbers.max()
    assert_shades(show(image)[..., 0], image, low, high)


@given(gray_images(), st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6))
def test_any_limits_may_be_given(image, low, width):
    high = low + width
    assume(np.isfinite(high))
    assert_shades(show(image, contrast=(low, high))[..., 0], image, low, high)


@pytest.mark.parametrize("image", named(COLOUR))
def test_colour_keeps_its_range(image):
    high = COLOUR_RANGE[image.dtype.str[1:]]
    assert_shades(show(image), image[..., :3], 0, high)


@given(colour_images())
def test_any_colour_becomes_8_bit_rgb(image):
    before = image.copy()
    shown = show(image)
    high = np.iinfo(image.dtype).max if image.dtype.kind in "ui" else 1
    assert_shades(shown, image[..., :3], 0, high)
    np.testing.assert_array_equal(image, before)


def test_8_bit_colour_is_not_touched():
    image = COLOUR["RGB uint8"]
    np.testing.assert_array_equal(show(image), image)


@pytest.mark.parametrize(
    ("contrast", "shades"),
    [
        ((0, 10), [0, 128, 255, 255]),
        ((5, 10), [0, 0, 255, 255]),
        ((-10, 10), [128, 191, 255, 255]),
        ((10, 10), [0, 0, 0, 255]),  # all that is above the one value is white
        (np.array([0, 10]), [0, 128, 255, 255]),
    ],
    ids=str,
)
@pytest.mark.parametrize("by", ["appearance", "source"])
def test_given_contrast_limits_win(contrast, shades, by):
    image = np.array([[0, 5, 10, 11]], np.uint8)
    if by == "appearance":
        source, appearance = as_source(image), Appearance(contrast=contrast)
    else:
        source, appearance = as_source(image, contrast_limits=tuple(contrast)), Appearance()
    rendering = resolve(source.open(), appearance)
    assert rendering.limits == (tuple(contrast),)
    shown = rendering.apply(source.open().read(0, ()))[0, :, 0].tolist()
    assert np.abs(np.subtract(shown, shades)).max() <= 1


def test_what_is_asked_for_wins_over_what_the_layer_shows():
    source = as_source(np.arange(6).reshape(2, 3), contrast_limits=(0, 1))
    assert resolve(source.open(), Appearance(contrast=(2, 4))).limits == ((2, 4),)


def test_a_few_hot_and_dead_pixels_do_not_set_the_contrast():
    image = np.linspace(100, 200, 10_000).reshape(100, 100)
    image[0, 0], image[50, 50] = -1e9, 1e9
    low, high = limits(image)
    assert 100 <= low < 101
    assert 199 < high <= 200


def test_the_percentiles_are_of_the_finite_pixels():
    image = np.arange(1001.0).reshape(7, 143)
    image[3, 3:9] = np.nan, np.inf, -np.inf, np.nan, np.inf, -np.inf
    wanted = np.percentile(image[np.isfinite(image)], (0.2, 99.8))
    assert limits(image) == pytest.approx(tuple(wanted))
    source = as_source(image)
    (other,) = resolve(source.open(), Appearance(percentiles=(10, 50))).limits
    assert other == pytest.approx(tuple(np.percentile(image[np.isfinite(image)], (10, 50))))


@pytest.mark.parametrize(
    ("ground", "values", "shades"),
    [(0, [50, 100], [128, 255]), (100, [50, 0], [128, 0]), (50, [0, 100], [0, 255])],
    ids=["on black", "on white", "on gray"],
)
def test_a_few_pixels_on_a_flat_ground_are_seen_as_they_are(ground, values, shades):
    image = np.full((40, 40), ground, np.uint16)
    image[5, 5], image[30, 7] = values
    assert limits(image) == (0, 100)
    assert show(image)[[5, 30], [5, 7], 0].tolist() == shades


def test_of_large_images_a_regular_sample_is_enough():
    image = np.random.default_rng(0).random((2100, 2100), dtype=np.float32)
    assert image.size > 4 * SAMPLED_PIXELS
    image[1::2] = 100  # every second row is passed over
    assert limits(image) == pytest.approx((0.002, 0.998), abs=5e-4)


def test_numbers_between_the_sampled_pixels_are_found():
    image = np.full((2400, 2400), np.nan, np.float32)
    image[1, 1], image[1, 3] = 3, 5
    assert limits(image) == pytest.approx((3.004, 4.996))


def test_of_a_lazy_image_only_parts_are_read(monkeypatch):
    monkeypatch.setattr(module, "SAMPLED_SIDE", 8)
    image = np.random.default_rng(0).random((20, 300, 200)).astype(np.float32)
    recorded = Recorded(image)
    (sampled,) = resolve(opened(recorded), Appearance()).limits
    read = recorded.read
    assert read.any(axis=(1, 2)).sum() == 5  # planes, the first and the last among them
    assert read[0].any()
    assert read[-1].any()
    assert read.sum() == 5 * 6 * 6 * 8 * 8
    assert read[0, :8, :8].all()  # from corner to corner
    assert read[0, -8:, -8:].all()
    assert sampled == pytest.approx((0.002, 0.998), abs=5e-3)


def test_of_a_lazy_pyramid_the_coarsest_level_is_read():
    fine, coarse = Recorded(np.zeros((80, 60), np.uint8)), Recorded(np.full((40, 30), 7, np.uint8))
    assert resolve(opened([fine, coarse]), Appearance()).limits == ((7, 7),)
    assert not fine.read.any()


@pytest.mark.parametrize(
    "appearance", [Appearance(contrast=(0, 1)), Appearance(contrast="dtype")], ids=["given", "type"]
)
def test_where_the_contrast_is_known_nothing_is_read(appearance):
    recorded = Recorded(np.zeros((8, 9), np.uint16))
    resolve(opened(recorded), appearance)
    resolve(opened(recorded, contrast_limits=(0, 5)), Appearance())
    assert not recorded.read.any()


def test_the_contrast_is_that_of_the_planes_of_the_run():
    stack = np.stack([np.full((4, 5), value) for value in (0, 100, 200)])
    stack[:, 0, 0] += 10
    source = as_source(stack)
    (one,) = resolve(source.open(), Appearance(), [(1,)]).limits
    assert one == pytest.approx((100, 110), abs=1)
    (every,) = resolve(source.open(), Appearance()).limits
    assert every == pytest.approx((0, 210), abs=2)


def test_an_image_without_a_finite_pixel_is_refused():
    image = np.full((3, 3), np.nan)
    image[0] = -np.inf
    with pytest.raises(ValueError, match=r"no finite pixel.* Choose another"):
        resolve(opened(image), Appearance())
    with pytest.raises(ValueError, match=r"^None of the pixels .* is finite\. Give the values"):
        resolve(opened(Recorded(image)), Appearance())


TYPE_RANGES = {
    "bool": (0, 1),
    "uint8": (0, 255),
    "int8": (-128, 127),
    "uint16": (0, 65535),
    "int16": (-(2**15), 2**15 - 1),
    "float16": (0, 1),
    "float64": (0, 1),
}


@pytest.mark.parametrize(("dtype", "wanted"), TYPE_RANGES.items(), ids=TYPE_RANGES)
def test_the_range_of_the_type(dtype, wanted):
    source = as_source(np.ones((2, 2), dtype), contrast_limits=(3, 4))
    assert resolve(source.open(), Appearance(contrast="dtype")).limits == (wanted,)


def test_gamma_brightens_what_is_dark():
    image = np.array([[0, 64, 255]], np.uint8)
    shown = show(image, contrast=(0, 255), gamma=0.5)[0, :, 0]
    np.testing.assert_array_equal(shown, np.rint(255 * np.sqrt(image[0] / 255)))


def test_inversion_leaves_what_is_no_number_black():
    image = np.array([[0, 0.25, 1, np.nan, np.inf, -np.inf]])
    shown = show(image, contrast=(0, 1), invert=True)[0, :, 0]
    assert shown.tolist() == [255, 191, 0, 0, 0, 255]


def test_colors_are_inverted_and_brightened_one_by_one():
    image = np.array([[[0, 100, 255]]], np.uint8)
    assert show(image, invert=True).tolist() == [[[255, 155, 0]]]
    assert show(image, gamma=2).tolist() == [[[0, 39, 255]]]


@pytest.mark.parametrize(
    ("channels", "colors"),
    [
        (None, [10, 20, 30]),
        ([3], [40, 40, 40]),
        ([2, 0], [30, 10, 0]),
        ((3, 1, 1), [40, 20, 20]),
        (range(1, 4), [20, 30, 40]),
    ],
    ids=str,
)
def test_channels_become_colors(channels, colors):
    shown = show(CHANNELS, "cyx", contrast=(0, 255), channels=channels)
    assert (shown == colors).all()


def test_two_channels_are_red_and_green():
    shown = show(CHANNELS[:2], "cyx", contrast=(0, 255))
    assert (shown == (10, 20, 0)).all()


def test_each_channel_has_limits_of_its_own():
    ramps = np.stack([np.linspace(0, 1, 20), np.linspace(100, 300, 20)]).reshape(2, 4, 5)
    resolved = resolve(opened(ramps, axes="cyx"), Appearance()).limits
    assert resolved[0] == pytest.approx((0, 1), abs=0.01)
    assert resolved[1] == pytest.approx((100, 300), abs=1)
    shown = show(CHANNELS, "cyx", contrast=[(0, 10), (0, 40), (0, 300)])
    assert (shown == (255, 128, 26)).all()


def test_only_the_channels_that_are_seen_are_looked_at():
    recorded = Recorded(CHANNELS)
    resolve(opened(recorded, axes="cyx"), Appearance(channels=[2]))
    assert recorded.read.any(axis=(1, 2)).tolist() == [False, False, True, False]


def test_gray_is_coloured_with_a_colormap():
    fire = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 255]], np.uint8)
    image = np.array([[0, 128, 255]], np.uint8)
    shown = show(image, contrast=(0, 255), colormap=fire)
    assert shown.tolist() == [[[0, 0, 0], [255, 0, 0], [255, 255, 255]]]


def test_a_colormap_of_256_colors_keeps_them_all():
    table = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    image = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(show(image, contrast=(0, 255), colormap=table)[0], table)


FIRE = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 255]], np.uint8)
OWN = {
    "gamma": ({"gamma": 2.0}, {}, [0, 64, 255]),
    "another gamma": ({"gamma": 2.0}, {"gamma": 0.5}, [0, 181, 255]),
    "no gamma": ({"gamma": 2.0}, {"gamma": 1}, [0, 128, 255]),
    "colormap": ({"colormap": 255 - FIRE}, {}, [255, 0, 0]),
    "another colormap": ({"colormap": FIRE}, {"colormap": 255 - FIRE}, [255, 0, 0]),
    "gray": ({"colormap": FIRE}, {"colormap": "gray"}, [0, 128, 255]),
    "inverted": ({"colormap": 255 - FIRE}, {"invert": True}, [0, 0, 255]),
}


@pytest.mark.parametrize(("own", "given", "red"), OWN.values(), ids=OWN)
def test_an_image_is_shown_as_it_says_unless_asked_otherwise(own, given, red):
    plain = as_source(np.array([[0, 128, 255]], np.uint8), contrast_limits=(0, 255))
    source = replace(plain, **own)
    rendering = resolve(source.open(), Appearance(**given))
    assert rendering.apply(source.open().read(0, ()))[0, :, 0].tolist() == red


def test_the_colormap_of_a_layer_is_for_one_channel_alone():
    source = replace(as_source(CHANNELS, axes="cyx"), colormap=FIRE)
    assert resolve(source.open(), Appearance()).colormap is None
    assert resolve(source.open(), Appearance(channels=[1])).colormap is FIRE
    colors = as_source(COLOUR["RGB uint8"])
    assert resolve(colors.open(), Appearance(colormap=FIRE)).colormap is None


def test_what_is_no_number_is_black_in_every_colormap():
    image = np.array([[0, np.nan, 1]])
    shown = show(image, contrast=(0, 1), colormap=255 - FIRE)
    assert shown[0, :, 0].tolist() == [255, 0, 0]


IDENTITY = {
    "gray": (GRAY["uint16"], None, {}),
    "floats": (GRAY["a hole of NaN"], None, {"gamma": 0.5, "invert": True}),
    "percentiles": (GRAY["uint16"], None, {"percentiles": (10, 50)}),
    "range of the type": (CHANNELS, "cyx", {"contrast": "dtype"}),
    "a pair": (GRAY["int16"], None, {"contrast": (3, 9)}),
    "channels": (CHANNELS, "cyx", {}),
    "chosen channels": (CHANNELS, "cyx", {"channels": [3, 1]}),
    "one pair for three": (CHANNELS, "cyx", {"contrast": (0, 50)}),
    "a colormap": (GRAY["uint16"], None, {"colormap": FIRE}),
    "gray asked for": (GRAY["uint16"], None, {"colormap": "gray"}),
    "RGB": (COLOUR["RGB uint8"], None, {"gamma": 2}),
    "RGB floats": (COLOUR["RGB float16"], None, {}),
    "RGB in a range": (COLOUR["RGB uint16"], None, {"contrast": (5, 5000)}),
}


@pytest.mark.parametrize(("image", "axes", "options"), IDENTITY.values(), ids=IDENTITY)
def test_the_appearance_of_a_rendering_gives_that_rendering(image, axes, options):
    source = as_source(image, axes=axes)
    if not source.rgb:
        source = replace(source, gamma=1.5, colormap=255 - FIRE)
    with source.open() as reader:
        rendering = resolve(reader, Appearance(**options))
        fixed = rendering.appearance
        again = resolve(reader, fixed)
        assert again == rendering
        assert again.appearance == fixed
        pixels = reader.read(0, (), channels=rendering.channels)
        np.testing.assert_array_equal(again.apply(pixels), rendering.apply(pixels))


def test_with_a_fixed_appearance_nothing_is_read():
    recorded = Recorded(np.arange(72.0).reshape(8, 9))
    fixed = resolve(opened(recorded), Appearance()).appearance
    recorded.read[:] = False
    resolve(opened(recorded), fixed)
    assert not recorded.read.any()


DIFFERENT = [
    Appearance(),
    Appearance(contrast="dtype"),
    Appearance(contrast=(0, 1)),
    Appearance(contrast=[(0, 1), (0, 2)]),
    Appearance(percentiles=(1, 99)),
    Appearance(gamma=1),
    Appearance(invert=True),
    Appearance(channels=[0]),
    Appearance(channels=[0, 1]),
    Appearance(colormap="gray"),
    Appearance(colormap=FIRE),
    Appearance(colormap=255 - FIRE),
]


def test_appearances_are_equal_if_their_values_are():
    for i, one in enumerate(DIFFERENT):
        for j, other in enumerate(DIFFERENT):
            assert (one == other) == (i == j)
    assert Appearance(contrast=[0, 1], channels=range(2), colormap=FIRE.copy()) == Appearance(
        contrast=np.array([0, 1]), channels=(0, 1), colormap=FIRE
    )
    assert Appearance() != "auto"
    assert Rendering(((0, 1),)) != Rendering(((0, 2),))
    assert Rendering(((0, 1),), colormap=FIRE) == Rendering(((0, 1),), colormap=FIRE.copy())


BAD_APPEARANCES = {
    "percentiles beyond 100": ({"percentiles": (0, 101)}, "0 <= low < high <= 100"),
    "percentiles turned": ({"percentiles": (90, 10)}, "The percentiles are 90 and 10"),
    "percentiles of NaN": ({"percentiles": (np.nan, 10)}, "The percentiles are nan"),
    "gamma of 0": ({"gamma": 0}, "wanted a number above 0, such as 0.7"),
    "gamma of NaN": ({"gamma": np.nan}, "Gamma is nan"),
    "another contrast": ({"contrast": "best"}, "The contrast is 'best'; wanted 'auto', 'dtype'"),
    "reversed limits": (
        {"contrast": (200, 10)},
        "The contrast is (200, 10); wanted finite values, black not above white. To exchange "
        "them: invert=True.",
    ),
    "reversed limits of one channel": ({"contrast": [(0, 1), (2, 1)]}, "black not above white"),
    "limits of NaN": ({"contrast": (np.nan, 10)}, "wanted finite values"),
    "limits of infinity": ({"contrast": (0, np.inf)}, "wanted finite values"),
    "limits of text": ({"contrast": ("a", "b")}, "is ('a', 'b'); wanted (black, white), or one"),
    "one limit": ({"contrast": 5}, "The contrast is 5; wanted (black, white), or one such pair"),
    "no limits": ({"contrast": []}, "The contrast is []; wanted (black, white)"),
    "no channels": ({"channels": []}, "Got 0 channels; wanted one, or up to three"),
    "four channels": ({"channels": [0, 1, 2, 3]}, "Got 4 channels"),
    "a colormap's name": ({"colormap": "fire"}, "is 'fire'; wanted 'gray', or uint8 of shape"),
    "a list": ({"colormap": [[0, 0, 0]]}, "is [[0, 0, 0]]; wanted 'gray', or uint8"),
    "a colormap of floats": ({"colormap": np.zeros((5, 3))}, "float64 of shape (5, 3); wanted"),
    "an empty colormap": (
        {"colormap": np.zeros((0, 3), np.uint8)},
        "uint8 of shape (0, 3); wanted uint8 of shape (colors, 3), of at least one color",
    ),
    "an RGBA colormap": ({"colormap": np.zeros((5, 4), np.uint8)}, "uint8 of shape (colors, 3)"),
}
UNFIT = {
    "no such channel": ({"channels": [4]}, "There is no channel 4; the image has 4"),
    "a channel from the end": ({"channels": [-1]}, "There is no channel -1"),
    "limits of two for three": ({"contrast": [(0, 1), (0, 2)]}, "one such pair for each of the 3"),
    "three numbers": ({"contrast": (0, 1, 2)}, "wanted (black, white)"),
}


@pytest.mark.parametrize(("options", "says"), BAD_APPEARANCES.values(), ids=BAD_APPEARANCES)
def test_bad_appearances_are_refused_with_the_cure(options, says):
    with pytest.raises(ValueError, match="wanted") as caught:
        Appearance(**options)
    assert says in str(caught.value)


@pytest.mark.parametrize(("options", "says"), UNFIT.values(), ids=UNFIT)
def test_appearances_that_do_not_fit_the_image_are_refused(options, says):
    with pytest.raises(ValueError, match=r"image|contrast") as caught:
        resolve(opened(CHANNELS, axes="cyx"), Appearance(**options))
    assert says in str(caught.value)
