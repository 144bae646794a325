from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases import COLOUR, GRAY, IMAGES, colour_images, gray_images, named, some_finite
from drawing import examples
from kinds import SIDE, WHITE, image, shades, table
from napari_clipseg.engine.prompts import Average, Blend
from napari_clipseg.images.edges import refine
from napari_clipseg.images.edges.refine import refine_edges
from napari_clipseg.images.io.source import as_source
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.labels.threshold import otsu_threshold, semantic_labels
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.plans import plan, preview
from napari_clipseg.recipe import Recipe
from napari_clipseg.segmentation import segment, segment_steps
from seeing import Recorded, Seeing, brightness

RGB = COLOUR["RGB uint8"]
EXAMPLE = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
PLAIN = Appearance(contrast=(0, 255))
NOISE = np.random.default_rng(1).integers(0, 256, (4, 24, 54), dtype=np.uint8)
ROWS = {name: row for name, *row in table()}


def all_finite(image):
    finite = np.isfinite(image)
    return finite if image.ndim == 2 else finite[..., :3].all(axis=2)


def check(result, image, prompts):
    assert result.probability.shape == (prompts, *image.shape[:2])
    assert result.probability.dtype == np.float32
    assert ((result.probability >= 0) & (result.probability <= 1)).all()
    assert (result.probability[:, ~all_finite(image)] == 0).all()
    assert result.labels.dtype == np.int32
    wanted = semantic_labels(result.probability, result.threshold)
    np.testing.assert_array_equal(result.labels, wanted)


def run(steps):
    """All progress of a run, and its result."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


# Any image


@pytest.mark.parametrize(
    ("kind", "axes", "dtype", "planes", "shape", "map_type"), ROWS.values(), ids=ROWS
)
def test_any_kind_of_image_gives_its_map(kind, axes, dtype, planes, shape, map_type, tmp_path):
    array = image(axes, dtype)
    given_image, options = kind(array, axes, tmp_path)
    white = 1 if dtype == "bool" else WHITE
    result = segment(
        given_image,
        ["red", "green", "blue"],
        model=Seeing(SIDE),
        appearance=Appearance(contrast=(0, white)),
        dtype=map_type,
        **options,
    )
    assert result.extent.axes == tuple(planes)
    assert result.probability.shape == (3, *shape)
    assert result.probability.dtype == map_type
    assert result.labels.shape == shape
    assert result.labels.dtype == np.int32
    probability = result.probability.astype(float) / (255 if map_type == "uint8" else 1)
    # What each type cannot tell apart, where the logistic function is flattest.
    atol = {"float32": 0.01, "float16": 3, "uint8": 10}[map_type]
    np.testing.assert_allclose(brightness(probability), shades(planes, axes, dtype), atol=atol)


@pytest.mark.parametrize("image", named(IMAGES))
def test_any_image_is_segmented(image, engine):
    before = image.copy()
    result = segment(image, ["red rings", "nuclei"], model=engine)
    check(result, image, prompts=2)
    np.testing.assert_array_equal(image, before)


@examples(50)
@given(image=gray_images(40) | colour_images(40), threshold=st.none() | st.floats(0, 1))
def test_any_size_and_type_is_segmented(image, threshold):
    before, engine = image.copy(), Seeing(16, patch=4)
    if some_finite(image):
        result = segment(image, "red rings", model=engine, threshold=threshold)
        check(result, image, prompts=1)
        assert result.threshold == (0.5 if threshold is None else threshold)
    else:
        with pytest.raises(ValueError, match="no finite pixel"):
            segment(image, "red rings", model=engine)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("image", named(GRAY))
def test_an_image_of_any_type_is_an_example(image, engine):
    before = image.copy()
    check(segment(RGB, [image], model=engine), RGB, prompts=1)
    np.testing.assert_array_equal(image, before)


def test_pixels_that_are_no_numbers_have_probability_0():
    channels = np.ones((2, 12, 12), np.float32)
    channels[0, 3, 4], channels[1, 5] = np.nan, np.inf
    options = {"model": Seeing(12), "axes": "cyx"}
    both = segment(channels, "x", **options).probability[0]
    first = segment(channels, "x", appearance=Appearance(channels=[0]), **options).probability[0]
    assert (both == 0).sum() == 13
    assert (first == 0).sum() == 1


@pytest.mark.parametrize("colors", [False, True], ids=["gray", "RGB"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_masked_pixels_have_probability_0_and_the_others_their_own(dtype, lazy, colors):
    import dask.array

    image = NOISE[0].astype(dtype)
    image = np.dstack([image] * 3) if colors else image
    mask = np.zeros(image.shape, bool)
    mask[3:9, 10:30] = True
    given_image = np.ma.array(image, mask=mask)
    if lazy:
        given_image = dask.array.from_array(given_image, chunks=9)
    options = {"model": Seeing(36), "axes": "yxs" if colors else "yx", "detail": 20}
    options["appearance"] = Appearance(contrast=(0, 255))
    result = segment(given_image, "x", **options)
    assert not result.probability[0, 3:9, 10:30].any()
    plain = np.where(mask, 0, image).astype(dtype)
    wanted = segment(plain, "x", **options).probability
    kept = ~mask.reshape(24, 54, -1).any(axis=2)
    np.testing.assert_array_equal(result.probability[0, kept], wanted[0, kept])
    auto = segment(given_image, "x", **{**options, "appearance": None}).recipe.appearance
    whole = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    seen = image[~mask] if not colors else np.array([0, whole])
    assert np.ravel(auto.contrast)[-1] == pytest.approx(seen.max(), abs=1)


def test_an_image_that_is_masked_all_over_is_refused():
    with pytest.raises(ValueError, match="no finite pixel"):
        segment(np.ma.masked_all((12, 12), np.uint8), "x", model=Seeing(12))


def test_of_a_lazy_image_only_the_tiles_planes_and_region_are_read():
    import dask.array

    computed = set()

    def block(block_info=None):
        computed.add(block_info[None]["chunk-location"])
        return np.zeros((1, 10, 10), np.uint8)

    lazy = dask.array.map_blocks(block, chunks=((1,) * 6, (10,) * 9, (10,) * 9), dtype=np.uint8)
    options = {"planes": {"z": slice(2, 4)}, "region": [(20, 40), (49, 69)], "appearance": PLAIN}
    result = segment(lazy, "x", model=Seeing(), detail=12, **options)
    assert result.probability.shape == (1, 2, 30, 30)
    assert computed == {(z, y, x) for z in (2, 3) for y in (2, 3, 4) for x in (4, 5, 6)}


def test_of_a_lazy_pyramid_only_the_level_that_is_needed_is_read():
    fine, coarse = (Recorded(np.zeros((side, side), np.uint8)) for side in (4096, 1024))
    result = segment([fine, coarse], "x", model=Seeing())
    assert result.probability.shape == (1, 1024, 1024)
    assert not fine.read.any()
    assert coarse.read.all()


# The answers


def test_the_probability_is_the_engines_answer(engine):
    # Of the model's own size, so that nothing is resized.
    image = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    prompts = ["red rings", EXAMPLE]
    logits = engine.decode(engine.encode([image]), engine.embed(prompts))[0]
    result = segment(image, prompts, model=engine)
    np.testing.assert_allclose(result.probability, 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (96, 96), (31, 47)], ids=str)
@pytest.mark.parametrize("detail", ["whole", "fine"])
def test_the_answer_lies_on_the_image(shape, detail):
    image = np.zeros(shape)
    height, width = shape
    image[height // 5 : height // 2, width // 2 : width * 3 // 4] = 1
    labels = segment(image, "what is bright", model=Seeing(48, patch=8), detail=detail).labels
    assert np.mean(labels != image) < 0.03
    assert np.mean(labels[:, ::-1] != image) > 0.1
    assert np.mean(labels[::-1] != image) > 0.1


def test_what_was_asked_for_is_kept(engine):
    result = segment(RGB, [" red rings\n", EXAMPLE, "nuclei"], model=engine, threshold=1)
    assert result.prompt_names == ("red rings", "image prompt 2", "nuclei")
    assert result.recipe.model == engine.name
    assert type(result.threshold) is float


def test_white_space_around_a_text_does_not_matter(engine):
    padded, plain = (segment(RGB, [p], model=engine) for p in (" red rings\n", "red rings"))
    np.testing.assert_array_equal(padded.probability, plain.probability)


@pytest.mark.parametrize("prompts", ["red rings", EXAMPLE], ids=["text", "array"])
def test_one_prompt_needs_no_list(prompts, engine):
    alone, listed = (segment(RGB, p, model=engine) for p in (prompts, [prompts]))
    np.testing.assert_array_equal(alone.probability, listed.probability)


def test_prompts_may_come_from_a_generator(engine):
    assert len(segment(RGB, (p for p in ("a", "b")), model=engine).probability) == 2


def test_a_prompt_has_the_same_answer_among_others(engine):
    prompts = ["dog", EXAMPLE, Average(["dog", EXAMPLE]), Blend("dog", EXAMPLE, 0.3)]
    together = segment(RGB, prompts, model=engine).probability
    for i, prompt in enumerate(prompts):
        alone = segment(RGB, prompt, model=engine).probability[0]
        np.testing.assert_allclose(together[i], alone, atol=1e-5)


def test_a_model_can_be_named_by_its_folder(checkpoint, engine):
    by_folder = segment(RGB, "dog", model=checkpoint("small"))
    np.testing.assert_allclose(
        by_folder.probability, segment(RGB, "dog", model=engine).probability, atol=1e-4
    )


def test_tiles_of_the_real_engine_are_blended(engine):
    image = np.random.default_rng(1).integers(0, 256, (150, 170, 3), dtype=np.uint8)
    result = segment(image, ["dog", EXAMPLE], model=engine, detail=Detail("fine", overview=0.3))
    check(result, image, prompts=2)
    one = segment(image, ["dog", EXAMPLE], model=engine)
    assert np.abs(result.probability - one.probability).max() > 1e-4


# Fields


def test_planes_are_segmented_one_by_one():
    planes = {"t": slice(None, None, -1), "z": 1}
    stack = NOISE.reshape(2, 2, 24, 54)
    result = segment(stack, "x", model=Seeing(36), axes="tzyx", planes=planes, appearance=PLAIN)
    assert result.extent.planes == ((1, 1), (0, 1))
    np.testing.assert_allclose(
        brightness(result.probability[0]), stack[::-1, 1:2].astype(float), atol=0.01
    )


def test_a_rectangle_is_segmented_where_it_lies():
    engine = Seeing(36)
    result = segment(NOISE[0], "x", model=engine, region=[(3, 5), (11, 20)], appearance=PLAIN)
    assert result.probability.shape == (1, 9, 16)
    assert result.extent.origin == (3, 5)
    cut = segment(NOISE[0, 3:12, 5:21], "x", model=engine, appearance=PLAIN)
    np.testing.assert_array_equal(result.probability, cut.probability)


def test_beyond_an_outline_nothing_is_found():
    triangle = [(2.5, 4.5), (18.5, 4.5), (18.5, 40.5)]
    options = {"model": Seeing(36), "appearance": PLAIN}
    result = segment(NOISE[0], "x", region=triangle, **options)
    box = segment(NOISE[0], "x", region=[(3, 5), (18, 40)], **options)
    rows, columns = np.ogrid[:16, :36]
    inside = (columns + 0.5) / 36 < (rows + 0.5) / 16
    np.testing.assert_array_equal(result.probability[0], np.where(inside, box.probability[0], 0))


def test_the_map_of_a_level_knows_where_it_lies():
    source = as_source([NOISE[0], NOISE[0][::2, ::2]], spacing=(0.5, 0.25), unit="mm")
    result = segment(source, "x", model=Seeing(), level=1)
    assert result.probability.shape == (1, 12, 27)
    assert (result.extent.factor, result.extent.origin) == ((2, 2), (0.5, 0.5))
    assert (result.extent.spacing, result.extent.unit) == ((1, 0.5), "mm")


def test_contrast_is_the_same_for_all_tiles_and_planes():
    stack = np.zeros((3, 40, 60), np.uint16)
    stack[1], stack[2, :, 30:] = 500, 1000
    result = segment(stack, "x", model=Seeing(), detail=12)
    seen = brightness(result.probability[0])
    np.testing.assert_allclose(seen[0], 0, atol=0.01)
    np.testing.assert_allclose(seen[1], 128, atol=0.6)
    np.testing.assert_allclose(seen[2, :, 45:], 255, atol=0.01)


def test_the_model_sees_the_channels_and_colours_that_are_asked_for():
    engine, channels = Seeing(36), NOISE[:3]
    appearance = Appearance(channels=[2, 0], invert=True, contrast=(0, 255))
    maps = segment(channels, "xyz", model=engine, axes="cyx", appearance=appearance).probability
    (seen,) = engine.images
    np.testing.assert_array_equal(seen[..., 0], 255 - channels[2])
    np.testing.assert_array_equal(seen[..., 1], 255 - channels[0])
    assert not seen[..., 2].any()
    assert maps.shape == (1, 24, 54)


def test_negative_prompts_come_last_and_win_pixels():
    image = np.zeros((12, 12, 3), np.uint8)
    image[:, :8, 0], image[:, 4:, 1] = 200, 250  # red, and green that is stronger
    result = segment(image, "red", model=Seeing(12), negative_prompts="green", threshold=0.6)
    assert result.recipe.prompts == ("red",)
    assert result.recipe.negative_prompts == ("green",)
    assert len(result.probability) == 2
    assert (result.labels == [1] * 4 + [0] * 8).all()


def test_hysteresis_and_objects():
    image = np.zeros((20, 20), np.uint8)
    image[2:6, 2:6], image[2:6, 6:9] = 250, 150  # a bright thing, and what hangs on to it
    image[12:16, 2:6] = 150  # not bright enough alone
    image[12:16, 12:16] = 250
    result = segment(
        image,
        "x",
        model=Seeing(20),
        appearance=PLAIN,
        threshold=0.9,
        low_threshold=0.6,
        instances=InstanceOptions(),
    )
    assert result.labels.max() == 2
    assert (result.labels[2:6, 2:9] == 1).all()
    assert (result.labels[12:16, 12:16] == 2).all()
    assert np.count_nonzero(result.labels) == 28 + 16
    assert result.objects["area"].tolist() == [28, 16]


def test_edges_are_refined_on_request():
    image = NOISE[0].astype(np.float32)
    image[5, 5] = np.nan
    plain, refined = (
        segment(
            image, "x", model=Seeing(12, patch=4), refine_edges=refine, dtype="float16"
        ).probability
        for refine in (False, True)
    )
    assert refined.dtype == np.float16
    assert np.abs(refined.astype(float) - plain).max() > 0.01
    assert refined[0, 5, 5] == 0


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("detail", [12, Detail("fine", overview=0.3), Detail(20, shift=0.4)])
def test_edges_refined_in_tiles_are_bit_equal_to_those_of_the_whole_map(
    detail, batch_size, monkeypatch
):
    options = {"model": Seeing(16, patch=4, batch_size=batch_size), "appearance": PLAIN}
    image = NOISE[0]
    plain = segment(image, ["x", "y"], detail=detail, **options).probability
    radius = max(1, round(plan(image, detail=detail, **options).patch_pixels / 2))
    wanted = refine_edges(plain, np.dstack([image] * 3), radius=radius)
    monkeypatch.setattr(refine, "STRIP_PIXELS", 54 * 5)
    refined = segment(image, ["x", "y"], detail=detail, refine_edges=True, **options).probability
    np.testing.assert_array_equal(refined, np.where(plain > 0, wanted, 0))


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("name", ["map.npy", "map.zarr"])
def test_a_map_in_a_file_is_that_in_memory(name, dtype, tmp_path):
    options = {"model": Seeing(), "axes": "tyx", "detail": 20, "dtype": dtype}
    in_memory = segment(NOISE, ["x", "y"], **options)
    in_file = segment(NOISE, ["x", "y"], output=tmp_path / name, **options)
    assert in_file.path == tmp_path / name
    # Bands of files are others, and rounded otherwise.
    atol = {"float32": 1e-6, "float16": 5e-4, "uint8": 1}[dtype]
    np.testing.assert_allclose(
        np.asarray(in_file.probability), in_memory.probability, atol=atol, rtol=0
    )
    labels = semantic_labels(np.asarray(in_file.probability), 0.5)
    np.testing.assert_array_equal(np.asarray(in_file.labels), labels)
    assert type(in_file.labels) is (np.ndarray if name == "map.npy" else type(in_file.probability))


# What the model sees


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"detail": Detail(20, overlap=0.5)},
        {"detail": Detail(30, overview=0.2), "appearance": Appearance(gamma=0.6, invert=True)},
        {"planes": {"z": slice(1, 3)}, "region": [(3, 4), (20, 40)], "detail": "fine"},
    ],
    ids=["whole", "tiles", "overview", "region"],
)
def test_the_preview_is_exactly_what_the_engine_sees(fields):
    engine = Seeing(16, patch=8)
    segment(NOISE, "x", model=engine, **fields)
    made = plan(NOISE, model=engine, **fields)
    previews = [
        preview(NOISE, model=engine, tile=tile, plane=plane, **fields)
        for plane in range(len(made.extent.planes))
        for tile in range(len(made.tiles_of_plane))
    ]
    assert len(previews) == len(engine.images) == made.tile_count
    for shown, seen in zip(previews, engine.images, strict=True):
        np.testing.assert_array_equal(shown, seen)


def test_a_preview_is_a_copy():
    image = np.zeros((16, 16, 3), np.uint8)
    shown = preview(image, model=Seeing(16))
    shown += 1
    assert not image.any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tile": 1}, "There is no tile 1; the plan has 1, from 0"),
        ({"tile": -1}, "There is no tile -1"),
        ({"plane": 4}, "There is no plane 4; the plan has 4, from 0"),
    ],
)
def test_there_is_no_preview_of_what_is_not_in_the_plan(options, says):
    with pytest.raises(IndexError, match=says):
        preview(NOISE, model=Seeing(), **options)


# Batches


@pytest.mark.parametrize("batch_size", [1, 3, 4, 32])
def test_tiles_are_streamed_across_planes_in_the_engines_batches(batch_size):
    engine, single = Seeing(batch_size=batch_size), Seeing()
    result = segment(NOISE, ["x", "y"], model=engine)
    assert [len(batch) for batch in engine.batches] == {
        1: [1] * 4,
        3: [3, 1],
        4: [4],
        32: [4],
    }[batch_size]
    alone = segment(NOISE, ["x", "y"], model=single)
    np.testing.assert_array_equal(result.probability, alone.probability)


@pytest.mark.parametrize("output", [None, "map.npy", "map.zarr"])
@pytest.mark.parametrize("detail", [Detail(12, overlap=0.3, overview=0.2), Detail("fine")])
def test_the_batch_size_does_not_change_the_map(detail, output, tmp_path):
    maps = []
    for size in (1, 5, 64):
        path = output and tmp_path / f"{size}-{output}"
        engine = Seeing(16, patch=4, batch_size=size)
        made = segment(NOISE, "x", model=engine, detail=detail, output=path)
        maps.append(np.asarray(made.probability))
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])


@pytest.mark.parametrize("stop", [False, True], ids=["to its end", "stopped"])
def test_readers_are_closed_when_a_run_ends(stop, monkeypatch):
    from napari_clipseg.images.io import source as module

    closed = []
    close = module.Reader.close
    monkeypatch.setattr(module.Reader, "close", lambda self: closed.append(1) or close(self))
    steps = segment_steps(as_source(NOISE), Recipe("x"), engine=Seeing())
    for _ in range(3):
        next(steps)
    assert not closed
    if stop:
        steps.close()
    else:
        run(steps)
    assert closed == [1]


# Progress, and runs that are stopped


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"planes": {"z": 0}}, [0, 1, 2]),
        ({"detail": Detail(24, overlap=0), "planes": {"z": 0}}, [0, 1, 2, 3, 4]),
        ({"detail": Detail(12, overlap=0, overview=1), "planes": {"z": 0}}, [0, 1, *range(2, 13)]),
    ],
    ids=["planes", "whole", "one row of tiles", "tiles and an overview"],
)
def test_progress_rises_step_by_step(fields, steps):
    engine = Seeing()
    seen, result = run(segment_steps(as_source(NOISE), Recipe(["x", "y"], **fields), engine=engine))
    assert [step.done for step in seen] == steps
    assert {step.total for step in seen[1:]} == {2 + len(engine.images)}
    assert all(step.done < step.total for step in seen)
    assert len({step.message for step in seen}) == len(seen)
    assert [step.partial is None for step in seen] == [True, True] + [False] * (len(seen) - 2)
    assert result.complete
    np.testing.assert_array_equal(
        result.probability, segment(NOISE, ["x", "y"], model=Seeing(), **fields).probability
    )


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_run_can_be_stopped_between_any_steps(after, engine, monkeypatch):
    called = []
    for name in ("embed", "encode", "decode"):
        real = getattr(engine, name)

        def spy(*args, _name=name, _real=real, **options):
            called.append(_name)
            return _real(*args, **options)

        monkeypatch.setattr(engine, name, spy)
    steps = segment_steps(as_source(NOISE), Recipe("dog"), engine=engine)
    for _ in range(after + 1):
        next(steps)
    steps.close()
    assert called == ["embed", "encode", "decode"][: [0, 0, 1, 3][after]]
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.parametrize("output", [None, "map.npy", "map.zarr"])
def test_what_a_stopped_run_has_done_is_kept(output, tmp_path):
    fields = {"detail": Detail(12, overlap=0), "appearance": PLAIN}
    whole = segment(NOISE, "x", model=Seeing(), **fields)
    path = output and tmp_path / output
    steps = segment_steps(as_source(NOISE), Recipe("x", **fields), engine=Seeing(), output=path)
    a_row = 5  # tiles
    for _ in range(2 + 5 * a_row + 1):  # two planes of two rows of tiles, and a row of the third
        progress = next(steps)
    partial = progress.partial
    steps.close()
    assert not partial.complete
    done = np.asarray(partial.probability)
    np.testing.assert_array_equal(done[:, :2], whole.probability[:, :2])
    assert not done[:, 3].any()
    if output is None:  # files get whole bands only
        np.testing.assert_array_equal(done[:, 2, :12], whole.probability[:, 2, :12])
    assert not done[:, 2, 12:].any()
    assert partial.labels.shape == (4, 24, 54)


@pytest.mark.parametrize("stop", [False, True], ids=["to its end", "stopped"])
def test_an_ome_zarr_says_whether_it_is_complete(stop, tmp_path):
    import zarr

    recipe = Recipe("x", detail=Detail(12, overlap=0))
    steps = segment_steps(NOISE, recipe, engine=Seeing(), output=tmp_path / "map.zarr")
    if stop:
        for _ in range(4):
            next(steps)
        steps.close()
    else:
        run(steps)
    group = zarr.open_group(tmp_path / "map.zarr", mode="r")
    record = group.attrs["napari_clipseg"]
    assert record["complete"] is not stop
    assert record["dtype"] == "float32"
    assert Recipe.of(group).detail == recipe.detail


def test_labels_of_a_part_are_those_of_what_is_done_so_far():
    source = as_source(np.full((3, 12, 12), 255, np.uint8))
    steps = segment_steps(source, Recipe("x", appearance=PLAIN), engine=Seeing(12))
    counts = [np.count_nonzero(step.partial.labels) for step in steps if step.partial]
    assert counts == [0, 144, 288]


def test_importing_it_imports_no_torch():
    code = (
        "import sys, napari_clipseg.segmentation; "
        "heavy = {'torch', 'napari', 'tokenizers', 'transformers', 'zarr', 'dask', 'xarray'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("output", [None, "map.zarr"], ids=["memory", "file"])
def test_otsu_finds_a_threshold_for_each_prompt(output, engine, tmp_path):
    path = None if output is None else tmp_path / output
    prompts = ["red rings", "nuclei"]
    result = segment(RGB, prompts, model=engine, threshold="otsu", output=path)
    maps = np.asarray(result.probability)
    wanted = [otsu_threshold(one) for one in maps]
    assert list(result.threshold) == wanted
    assert wanted[0] != wanted[1]
    np.testing.assert_array_equal(np.asarray(result.labels), semantic_labels(maps, wanted))


def two_shades(low, high):
    image = np.full((12, 12), low, np.uint8)
    image[:6] = high
    return image


# The checkpoint's own threshold is 0.5; Otsu's lies between what the two shades give.
LOW = {
    "above the checkpoint's": (two_shades(170, 250), 0.7),
    "above Otsu's": (two_shades(20, 60), 0.4),
    "an all-black image": (two_shades(0, 0), 0.3),
    "a white one": (two_shades(255, 255), 0.3),
}


@pytest.mark.parametrize(("image", "low"), LOW.values(), ids=LOW)
@pytest.mark.parametrize("output", [None, "map.zarr"], ids=["memory", "file"])
def test_a_low_threshold_is_at_most_what_otsu_finds(image, low, output, tmp_path):
    path = None if output is None else tmp_path / output
    options = {"model": Seeing(12), "appearance": PLAIN, "threshold": "otsu", "output": path}
    result = segment(image, "x", low_threshold=low, **options)
    (high,) = result.threshold
    maps = np.asarray(result.probability)
    wanted = semantic_labels(maps, high, low_threshold=min(low, high))
    np.testing.assert_array_equal(np.asarray(result.labels), wanted)
    assert result.recipe.low_threshold == low
    assert result.relabel(low_threshold=0.99).labels.shape == (12, 12)
    partial = segment_steps(
        as_source(image), result.recipe.replace(weights=None), engine=Seeing(12)
    )
    *_, last = partial
    assert last.partial.labels.shape == (12, 12)


def test_another_word_for_a_threshold_is_refused_before_the_model_is_loaded(tmp_path):
    with pytest.raises(ValueError, match="The threshold is 'auto'; wanted 'otsu'"):
        segment(RGB, "dog", model=tmp_path, threshold="auto")
