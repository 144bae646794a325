from __future__ import annotations

import json

import numpy as np
import pytest

import napari_clipseg
from napari_clipseg import LearnedPrompt, Recipe, segment, teach
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.loading import load
from napari_clipseg.images.rendering import Appearance
from painted import SIDE, hurried, iou, paint, scene

IMAGE, MASKS = scene()
STROKES = paint(MASKS)


@pytest.fixture(scope="module", autouse=True)
def in_a_hurry():
    with hurried():
        yield


@pytest.fixture(scope="module")
def demo():
    return load("demo", device="cpu")


@pytest.fixture(scope="module")
def learned(demo):
    return teach(IMAGE, STROKES, model=demo, classes=["red disks"])


def found_by(learned, image, engine, **fields):
    return segment(image, learned, model=engine, **fields).labels > 0


def test_a_thing_is_learned_and_what_is_like_it_elsewhere_is_found(learned, demo):
    found = found_by(learned, IMAGE, demo)
    assert iou(found, MASKS[0]) > 0.8
    assert not found[MASKS[1]].mean() > 0.1
    other, masks = scene(seed=1)
    assert iou(found_by(learned, other, demo), masks[0]) > 0.7


def test_the_same_strokes_teach_the_same(learned, demo):
    again = teach(IMAGE, STROKES, model=demo, classes=["red disks"])
    first, second = (one.to_bytes() for one in (learned, again))
    a, b = (LearnedPrompt.from_bytes(one) for one in (first, second))
    for one, other in zip(a.classes[0].network, b.classes[0].network, strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_what_is_recorded(learned, demo):
    assert learned.names == ("red disks",)
    assert learned.model == "demo"
    assert learned.weights == demo.weights
    assert 0 <= learned.score <= 1
    record = json.loads(json.dumps(learned.record))
    (image,) = record["images"]
    assert image["shape"] == [SIDE, SIDE, 3]
    assert sum(record["weights"][0].values()) == pytest.approx(1)
    assert record["values"] == [2]


def test_a_saved_prompt_answers_the_same(learned, demo, tmp_path):
    path = tmp_path / "disks.safetensors"
    learned.save(path)
    assert path.stat().st_size < 2**20
    again = LearnedPrompt.load(path)
    before, after = (segment(IMAGE, one, model=demo).probability for one in (learned, again))
    np.testing.assert_array_equal(before, after)
    assert again.record == learned.record
    assert again.score == learned.score


def test_beside_words_and_as_what_is_not_wanted(learned, demo):
    alone = segment(IMAGE, learned, model=demo).probability[0]
    word = segment(IMAGE, "blue nuclei", model=demo).probability[0]
    both = segment(IMAGE, ["blue nuclei", learned], negative_prompts=[learned], model=demo)
    np.testing.assert_array_equal(both.probability[0], word)
    np.testing.assert_array_equal(both.probability[1], alone)
    np.testing.assert_array_equal(both.probability[2], alone)
    assert both.recipe.prompt_names == ("blue nuclei", "red disks")


def test_a_recipe_holds_all_that_a_learned_prompt_needs(learned, demo):
    result = segment(IMAGE, learned, model=demo)
    again = Recipe.from_dict(json.loads(json.dumps(result.recipe.to_dict())))
    np.testing.assert_array_equal(segment(IMAGE, again, model=demo).probability, result.probability)
    assert again.prompt_names == ("red disks",)


def test_several_classes_give_a_map_each(demo):
    strokes = paint(MASKS, classes=(0, 1))
    both = teach(IMAGE, strokes, model=demo, classes={2: "red", 3: "blue"})
    result = segment(IMAGE, both, model=demo)
    assert result.probability.shape[0] == 2
    assert result.recipe.prompt_names == ("red", "blue")
    for label, mask in enumerate(MASKS, start=1):
        assert iou(result.labels == label, mask) > 0.7


def test_in_a_stack_of_which_some_planes_are_painted(demo):
    stack = np.stack([scene(seed)[0] for seed in range(3)])
    strokes = np.zeros(stack.shape[:3], np.uint8)
    strokes[1] = paint(scene(1)[1])
    learned = teach(stack, strokes, model=demo, axes="zyxs")
    result = segment(stack, learned, model=demo, axes="zyxs")
    for seed, labels in enumerate(result.labels):
        assert iou(labels > 0, scene(seed)[1][0]) > 0.6


def test_several_images_and_one_with_background_alone(demo):
    empty = np.random.default_rng(5).normal(110, 8, IMAGE.shape).astype(np.uint8)
    background = np.zeros(IMAGE.shape[:2], np.uint8)
    background[10:80:20, 10:60] = 1
    learned = teach([IMAGE, empty], [STROKES, background], model=demo)
    assert found_by(learned, empty, demo).mean() < 0.01
    assert len(learned.record["images"]) == 2


def test_teaching_goes_on_from_a_saved_prompt(learned, demo, tmp_path):
    learned.save(tmp_path / "a.safetensors")
    before = LearnedPrompt.load(tmp_path / "a.safetensors")
    other, masks = scene(seed=3)
    after = before.teach(other, paint(masks), model=demo)
    assert len(after.record["images"]) == 2
    assert after.names == ("red disks",)
    for image, mask in ((IMAGE, MASKS[0]), (other, masks[0])):
        assert iou(found_by(after, image, demo), mask) > 0.7
    more = after.teach(other, paint(masks), model=demo)
    assert len(more.record["images"]) == 3


def test_tiles_and_bands_give_what_the_whole_gives(demo, monkeypatch):
    """Filtered pixels do not depend on the part that is read at once."""
    learned = teach(IMAGE, STROKES, model=demo, detail=64)
    whole = segment(IMAGE, learned, model=demo, detail=64).probability
    monkeypatch.setattr("napari_clipseg.images.tiling.mosaic.BAND", 16)
    np.testing.assert_array_equal(segment(IMAGE, learned, model=demo, detail=64).probability, whole)


def test_into_a_file(learned, demo, tmp_path):
    memory = segment(IMAGE, learned, model=demo).probability
    file = segment(IMAGE, learned, model=demo, output=tmp_path / "map.npy").probability
    np.testing.assert_array_equal(np.asarray(file), memory)


def test_channels_that_the_model_does_not_see_are_judged_by(demo):
    """The fourth channel alone tells the disks from the ground."""
    rng = np.random.default_rng(2)
    image = rng.normal(100, 10, (4, SIDE, SIDE))
    image[3] += 100 * MASKS[0]
    image = image.clip(0, 255).astype(np.uint8)
    learned = teach(image, STROKES, model=demo, axes="cyx")
    assert learned.image_channels == 4
    found = segment(image, learned, model=demo, axes="cyx").labels > 0
    assert iou(found, MASKS[0]) > 0.7
    with pytest.raises(ValueError, match="by 4 channels, and the image has 3"):
        segment(IMAGE, learned, model=demo)


def test_a_gray_image_is_judged_by_one_channel(demo):
    gray, masks = scene(channels=1)
    learned = teach(gray, paint(masks), model=demo)
    assert learned.image_channels == 1
    assert iou(found_by(learned, gray, demo), masks[0]) > 0.7
    # What was taught on colors takes gray for colors without any.
    in_color = teach(IMAGE, STROKES, model=demo)
    assert segment(gray, in_color, model=demo).probability.shape == (1, *gray.shape)


def test_an_image_of_another_scale_of_values_is_rendered_alike(demo):
    gray, masks = scene(channels=1)
    learned = teach(gray, paint(masks), model=demo)
    wide = gray.astype(np.uint16) * 200 + 37
    assert iou(found_by(learned, wide, demo), masks[0]) > 0.7


def test_it_begins_with_the_prompt_that_is_given(demo):
    start = teach(IMAGE, STROKES, model=demo, prompt="red nuclei")
    np.testing.assert_array_equal(start.classes[0].vectors[0], demo.embed(["red nuclei"])[0])
    many = paint(MASKS, classes=(0, 1))
    each = teach(IMAGE, many, model=demo, prompt=["red nuclei", "blue nuclei"])
    np.testing.assert_array_equal(
        np.stack([one.vectors[0] for one in each.classes]),
        demo.embed(["red nuclei", "blue nuclei"]),
    )


def test_pixels_that_are_not_finite_do_not_count(demo):
    image = IMAGE.astype(np.float32) / 255
    hole = STROKES.copy()
    image[:20, :30] = np.nan
    hole[:20, :30] = 2  # painted on nothing
    learned = teach(image, hole, model=demo, appearance=Appearance(contrast=(0, 1)), axes="yxs")
    assert len(learned.record["images"]) == 1
    assert (segment(image, learned, model=demo, axes="yxs").probability[0, :20, :30] == 0).all()


ONE_SIDE = np.where(STROKES == 2, STROKES, 0)
CASES = {
    "only background": (
        {"strokes": np.where(STROKES == 1, STROKES, 0)},
        ValueError,
        "Only background is painted",
    ),
    "only the thing": ({"strokes": ONE_SIDE}, ValueError, "Only what you look for is painted"),
    "a list of images": (
        {"image": [IMAGE, IMAGE], "strokes": STROKES},
        ValueError,
        "Got 2 images and 1 strokes",
    ),
    "too many names": ({"classes": ["a", "b"]}, ValueError, "Got 2 names of classes"),
    "no name for a value": ({"classes": {3: "a"}}, ValueError, "no name for the value 2"),
    "a text as names": ({"classes": "red"}, TypeError, "wanted a list of names"),
    "too many prompts": ({"prompt": ["a", "b", "c"]}, ValueError, "Got 3 prompts to begin with"),
    "images of other channels": (
        {"image": [IMAGE, IMAGE[..., 0]], "strokes": [STROKES, STROKES]},
        ValueError,
        r"Got images with \[1, 3\] channels",
    ),
    "all NaN": (
        {"image": np.where(STROKES > 0, np.nan, IMAGE[..., 0].astype(float))},
        ValueError,
        "All painted pixels of image 1 are NaN",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_taught_says_why(name, demo):
    given, kind, message = CASES[name]
    with pytest.raises(kind, match=message):
        teach(**{"image": IMAGE, "strokes": STROKES, "model": demo, **given})


def test_one_pixel_a_side_is_enough_to_answer_and_too_few_for_a_score(demo):
    strokes = np.zeros_like(STROKES)
    strokes[tuple(np.argwhere(STROKES == 2)[0])] = 2
    strokes[tuple(np.argwhere(STROKES == 1)[0])] = 1
    learned = teach(IMAGE, strokes, model=demo)
    assert learned.score is None
    assert np.isfinite(segment(IMAGE, learned, model=demo).probability).all()


def test_strokes_without_a_difference_score_low(demo):
    """Noise, and strokes by chance: there is nothing to learn, and the score says so."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    strokes = np.zeros(image.shape, np.uint8)
    for number, row in enumerate(range(4, 92, 8)):
        strokes[row, 10:80] = 1 + number % 2
    assert teach(image, strokes, model=demo).score < 0.6


def test_another_checkpoint_is_refused(learned, engine):
    with pytest.raises(CheckpointError, match="was taught with the model 'demo'"):
        segment(IMAGE, learned, model=engine)
    with pytest.raises(CheckpointError, match="Choose the model that it was taught with"):
        teach(IMAGE, STROKES, model=engine, prompt=learned)


def test_going_on_needs_the_painted_pixels_and_known_classes(learned, demo):
    (split,) = learned.split()
    with pytest.raises(ValueError, match="has no painted pixels to go on from"):
        teach(IMAGE, STROKES, model=demo, prompt=split)
    with pytest.raises(ValueError, match="have the value 3, which the learned prompt does not"):
        teach(IMAGE, np.where(STROKES == 2, 3, STROKES), model=demo, prompt=learned)


def test_nothing_of_the_engine_is_changed(demo):
    before = segment(IMAGE, "red nuclei", model=demo).probability
    state = {name: value.clone() for name, value in demo.decoder.state_dict().items()}
    teach(IMAGE, STROKES, model=demo)
    assert all((value == state[name]).all() for name, value in demo.decoder.state_dict().items())
    assert all(one.grad is None for one in demo.decoder.parameters())
    np.testing.assert_array_equal(segment(IMAGE, "red nuclei", model=demo).probability, before)


def test_the_public_names():
    assert napari_clipseg.teach is teach
    assert napari_clipseg.LearnedPrompt is LearnedPrompt
