"""The scenes that the bundled checkpoint is trained and tested on."""

from __future__ import annotations

import numpy as np
import pytest

from scenes.layout import COLOUR_NAMES, KINDS, SIZE_NAMES, SIZED, STYLES, size_name
from scenes.prompts import plain_wording, prompts_for, wording
from scenes.scenes import make_scene, truth_mask

SEEDS = range(2_500_000, 2_500_012)
SIZES_SAID = ("small", "little", "tiny", "large", "big")


@pytest.mark.parametrize("style", [None, *STYLES])
def test_same_seed_same_scene(style: str | None) -> None:
    one, two = (make_scene(7, style=style) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.instances, two.instances)
    assert (one.kinds, one.colours, one.sizes) == (two.kinds, two.colours, two.sizes)


def test_other_seed_other_scene() -> None:
    assert not np.array_equal(make_scene(7).image, make_scene(8).image)


@pytest.mark.parametrize("shape", [(128, 128), (96, 160), (200, 130)])
def test_arrays_agree_with_the_table(shape: tuple[int, int]) -> None:
    for seed in SEEDS:
        scene = make_scene(seed, shape=shape)
        assert scene.image.shape == (*shape, 3)
        assert scene.image.dtype == np.uint8
        assert scene.instances.shape == shape
        assert scene.instances.max() <= len(scene.kinds)
        assert len(scene.kinds) == len(scene.colours) == len(scene.sizes)
        assert set(scene.kinds) <= set(KINDS)
        assert set(scene.colours) <= set(COLOUR_NAMES)


def test_micrographs_are_gray() -> None:
    image = make_scene(3, style="micrograph").image
    assert np.array_equal(image[..., 0], image[..., 1])
    assert np.array_equal(image[..., 0], image[..., 2])


def test_every_kind_is_drawn_and_seen() -> None:
    seen = {kind: 0 for kind in KINDS}
    for seed in range(2_600_000, 2_600_040):
        scene = make_scene(seed)
        for kind in KINDS:
            seen[kind] += int(truth_mask(scene, kind, None).sum())
    assert min(seen.values()) > 200, seen


def test_a_thing_stands_out_from_the_ground() -> None:
    for seed in SEEDS:
        scene = make_scene(seed, hardness=0.0, style="photo")
        ground = scene.image[scene.instances == 0].mean(axis=0)
        for number in np.unique(scene.instances)[1:]:
            thing = scene.image[scene.instances == number].mean(axis=0)
            assert np.linalg.norm(thing - ground) > 40, (seed, number)


@pytest.mark.parametrize("seed", SEEDS)
def test_prompts_carry_their_truth(seed: int) -> None:
    scene = make_scene(seed)
    prompts = prompts_for(scene, np.random.default_rng(0))
    assert {p.sort for p in prompts} <= {"kind", "colour", "both", "size", "absent"}
    pairs = set(zip(scene.kinds, scene.colours, strict=True))
    for prompt in prompts:
        what = prompt.kind, prompt.colour, prompt.size
        assert np.array_equal(prompt.truth, truth_mask(scene, *what))
        assert (prompt.size is not None) == any(size in prompt.text for size in SIZES_SAID)
        assert prompt.truth.any() == (prompt.sort != "absent")
        if prompt.sort == "both":
            assert (prompt.kind, prompt.colour) in pairs
    kinds = {p.kind: p.truth for p in prompts if p.sort == "kind"}
    for one, truth in kinds.items():
        for other, its in kinds.items():
            assert one == other or not (truth & its).any()


@pytest.mark.parametrize(
    ("kind", "colour", "size", "text"),
    [
        ("rings", None, None, "rings"),
        ("rings", "red", None, "red rings"),
        (None, "red", None, "red things"),
        ("rings", None, "large", "large rings"),
        ("rings", "red", "small", "small red rings"),
    ],
)
def test_plain_wording(kind: str | None, colour: str | None, size: str | None, text: str) -> None:
    assert plain_wording(kind, colour, size) == text


@pytest.mark.parametrize(
    ("kind", "radius", "name"),
    [
        ("nuclei", 5.5, "small"),
        ("nuclei", 7.3, "small"),
        ("nuclei", 9.2, None),
        ("nuclei", 11.2, "large"),
        ("nuclei", 17.0, "large"),
        ("triangles", 8.0, "small"),
        ("triangles", 13.0, "large"),
        ("filaments", 1.7, None),
        ("spots", 1.3, None),
    ],
)
def test_size_name(kind: str, radius: float, name: str | None) -> None:
    assert size_name(kind, radius) == name


def test_every_fifth_scene_has_sizes_with_words() -> None:
    both = 0
    for seed in range(2_600_004, 2_600_104, 5):
        scene = make_scene(seed)
        sizes = zip(scene.kinds, scene.sizes, strict=True)
        names = {kind: set[str | None]() for kind in SIZED}
        for kind, radius in sizes:
            if kind in SIZED:
                names[kind].add(size_name(kind, radius))
        assert None not in set[str | None]().union(*names.values()), seed
        both += any(found == set(SIZE_NAMES) for found in names.values())
        assert any(p.size for p in prompts_for(scene)) == any(
            truth_mask(scene, kind, None).sum() >= 12 for kind in SIZED
        )
    assert both >= 8  # of 20


def test_sizes_are_not_asked_for_where_some_have_no_word() -> None:
    for seed in SEEDS:
        scene = make_scene(seed, two_sizes=False)
        for prompt in (p for p in prompts_for(scene) if p.size):
            fits = zip(scene.kinds, scene.colours, scene.sizes, strict=True)
            for number, (kind, colour, radius) in enumerate(fits, start=1):
                if kind == prompt.kind and prompt.colour in (None, colour):
                    seen = bool((scene.instances == number).any())
                    assert not seen or size_name(kind, radius), (seed, prompt.text)


def test_wordings_vary() -> None:
    rng = np.random.default_rng(0)
    drawn = {wording(rng, "nuclei", "red") for _ in range(200)}
    assert {"red nuclei", "red cells"} <= drawn
    assert any(text.startswith("a photo of a red") for text in drawn)
