"""A decoder fitted to whole masks: what it learns, what it writes, what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_clipseg import fine_tune, segment
from napari_clipseg.engine import CheckpointError, CLIPSegForImageSegmentation
from napari_clipseg.engine.loading import load
from napari_clipseg.teaching.fine_tuning import HELD_OUT
from painted import iou, scene

SCENES = [scene(seed) for seed in range(4)]
IMAGES = [image for image, _ in SCENES]
MASKS = [masks[0].astype(np.uint8) for _, masks in SCENES]
WORD = "blorp"  # means nothing to the parent


@pytest.fixture(scope="module")
def parent():
    return load("demo", device="cpu")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, parent):
    decoder = {name: x.clone() for name, x in parent.decoder.state_dict().items()}
    output = tmp_path_factory.mktemp("tuned") / "red disks"
    found = fine_tune(IMAGES, MASKS, WORD, output, model=parent, epochs=12)
    for name, before in decoder.items():  # those who use the parent notice nothing
        assert torch.equal(parent.decoder.state_dict()[name], before)
    return found


def test_it_finds_in_a_new_image_what_the_parent_did_not(tuned):
    image, masks = scene(9)
    before = iou(segment(image, WORD, model="demo").labels > 0, masks[0])
    after = iou(segment(image, WORD, model=tuned.folder).labels > 0, masks[0])
    assert after > before + 0.3
    assert after > 0.6


def test_it_tells_what_held_out_images_say(tuned):
    assert tuned.held_out == (f"image {HELD_OUT - 1}",)
    assert tuned.after > tuned.before + 0.3
    assert 1 <= tuned.epochs <= 12


def test_the_folder_is_a_checkpoint_that_names_its_parent(tuned, parent):
    engine = load(tuned.folder, device="cpu")
    config = json.loads((tuned.folder / "config.json").read_text())
    record = json.loads((tuned.folder / "fine_tuning.json").read_text())
    assert config["parent"] == record["parent"] == {"model": "demo", "weights": parent.weights}
    assert engine.weights != parent.weights
    assert record["prompts"] == [WORD]
    assert [one["name"] for one in record["images"]] == [f"image {n}" for n in range(1, 5)]
    assert record["iou_after"] == tuned.after
    again = CLIPSegForImageSegmentation.from_pretrained(tuned.folder)
    before = CLIPSegForImageSegmentation.from_pretrained("demo")
    moved = {
        name
        for name, tensor in before.state_dict().items()
        if not torch.equal(tensor, again.state_dict()[name])
    }
    assert moved
    assert all(name.startswith("decoder.") and ".reduces." not in name for name in moved)
    vectors = [one.embed([WORD]) for one in (engine, parent)]
    np.testing.assert_array_equal(*vectors)


def test_a_parent_that_finds_more_is_kept(tmp_path, parent):
    wrong = [1 - mask for mask in MASKS]
    # What is held out shows the thing, what is trained on shows all else.
    wrong[HELD_OUT - 2] = MASKS[HELD_OUT - 2]
    found = fine_tune(IMAGES, wrong, "red disks", tmp_path / "out", model=parent, epochs=2)
    assert found.after == found.before
    assert found.epochs == 0


def test_two_prompts_in_a_stack_and_tiles(tmp_path, parent):
    stack = np.stack([IMAGES[0], IMAGES[1]])
    mask = np.stack([masks[0] + 2 * masks[1] for _, masks in SCENES[:2]])
    found = fine_tune(
        [stack], [mask], ["red", "blue"], tmp_path / "out", model=parent, detail=64, epochs=1
    )
    assert found.before is found.after is None  # one image: none is held out
    record = json.loads((found.folder / "fine_tuning.json").read_text())
    assert len(record["images"][0]["tiles"]) == 8
    assert segment(stack, ["red", "blue"], model=found.folder, axes="zyxs").labels.shape == (
        2,
        96,
        96,
    )


def test_labels_of_objects_are_masks_of_one_prompt(tmp_path, parent):
    objects = MASKS[0].astype(np.int32) * 7
    found = fine_tune(IMAGES[:1], [objects], "red", tmp_path / "out", model=parent, epochs=1)
    assert found.epochs == 1


def test_stopped_it_writes_nothing(tmp_path, parent):
    class StoppedError(Exception):
        """Raised by a step."""

    def step(message):
        if message == "Writing the checkpoint":
            raise StoppedError

    with pytest.raises(StoppedError):
        fine_tune(IMAGES[:1], MASKS[:1], "red", tmp_path / "out", model=parent, epochs=1, step=step)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"masks": MASKS[:2]}, ValueError, "Got 4 images and 2 masks; wanted one mask for each"),
        ({"images": [], "masks": []}, ValueError, "Got 0 images and 0 masks"),
        ({"masks": [m * 0 for m in MASKS]}, ValueError, "The masks show nothing"),
        ({"masks": [m * 0.5 for m in MASKS]}, TypeError, "is float64; wanted whole numbers"),
        ({"masks": [m[1:] for m in MASKS]}, ValueError, r"has shape \(95, 96\); wanted \(96, 96\)"),
        (
            {"prompts": ["a", "b"], "masks": [m * 3 for m in MASKS]},
            ValueError,
            "has the value 3; wanted 0 to 2, as there are 2 prompts",
        ),
        ({"prompts": " "}, ValueError, "blank|empty"),
        ({"epochs": 0}, ValueError, "epochs is 0; wanted a whole number from 1 on"),
    ],
    ids=["masks", "no images", "no thing", "floats", "shape", "values", "blank", "epochs"],
)
def test_what_cannot_be_is_refused(tmp_path, parent, changes, error, words):
    given = {"images": IMAGES, "masks": MASKS, "prompts": "red", "epochs": 1, "model": parent}
    given |= changes
    with pytest.raises(error, match=words):
        fine_tune(output=tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_not_touched(tmp_path, parent):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(CheckpointError, match="exists already"):
        fine_tune(IMAGES, MASKS, "red", tmp_path, model=parent)
    assert (tmp_path / "mine").read_text() == "x"
