"""Detail, planes, objects and edges in the dock: each as `segment` gives it."""

import threading

import numpy as np
import pytest

from napari_clipseg import Recipe, segment
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.labels.instances import InstanceOptions

pytestmark = pytest.mark.window(False)


@pytest.fixture
def large():
    """An image that is larger than the small checkpoint's square, so that tiles differ."""
    return np.random.default_rng(0).integers(0, 255, (230, 300), dtype=np.uint8)


@pytest.fixture
def stack():
    return np.random.default_rng(1).integers(0, 255, (3, 40, 60), dtype=np.uint8)


def wanted(image, dock, **options):
    limits = {"refine_edges": True, **options}
    return segment(image, "nuclei", model=dock.model.value, **limits)


def test_fine_tiles(viewer, dock, run, large):
    viewer.add_image(large, contrast_limits=(0, 255))
    dock.run_options.detail.value = "fine"
    run(text="nuclei")
    layer = viewer.layers[-2]
    same = viewer.layers[0]
    np.testing.assert_allclose(
        layer.data, wanted(same, dock, detail="fine").probability[0], atol=1e-5
    )
    assert not np.allclose(layer.data, wanted(same, dock).probability[0], atol=1e-3)


def test_the_map_as_the_model_gives_it(viewer, dock, run, large):
    viewer.add_image(large, contrast_limits=(0, 255))
    dock.run_options.refine_edges.value = False
    run(text="nuclei")
    raw = wanted(viewer.layers[0], dock, refine_edges=False).probability[0]
    np.testing.assert_allclose(viewer.layers[-2].data, raw, atol=1e-5)
    assert not np.allclose(raw, wanted(viewer.layers[0], dock).probability[0], atol=1e-3)


def test_planes_are_chosen_for_stacks_alone(viewer, dock, large, stack):
    flat = viewer.add_image(large)
    deep = viewer.add_image(stack)
    dock.image.value = flat
    assert not dock.run_options.planes.visible
    dock.image.value = deep
    assert dock.run_options.planes.visible


def test_all_planes_of_a_stack(viewer, dock, run, stack):
    layer = viewer.add_image(stack, contrast_limits=(0, 255), scale=(3, 0.5, 0.5))
    dock.image.value = layer
    dock.run_options.planes.value = "all of them"
    run(text="nuclei")
    probability, labels = viewer.layers[-2:]
    assert probability.data.shape == labels.data.shape == stack.shape
    for i in range(len(stack)):
        one = wanted(layer, dock, planes={"z": i})
        np.testing.assert_allclose(probability.data[i], one.probability[0, 0], atol=1e-5)
    np.testing.assert_allclose(probability.extent.world, layer.extent.world)
    assert labels.metadata["napari_clipseg"]["plane"] == "all"


def test_one_label_an_object_and_back(viewer, dock, run, large):
    viewer.add_image(large, contrast_limits=(0, 255))
    run(text="nuclei")
    labels = viewer.layers[-1]
    # So that there are several objects, on whatever the random checkpoint answers.
    dock.results.threshold.value = round(float(np.median(viewer.layers[-2].data)), 2)
    by_prompt = labels.data.copy()
    dock.results.objects.value = True
    found = wanted(
        viewer.layers[0],
        dock,
        threshold=dock.results.threshold.value,
        instances=InstanceOptions(split="distance", link=True, min_size=None),
    )
    assert viewer.layers[-1] is labels or viewer.layers[-1] == labels
    np.testing.assert_array_equal(labels.data, found.labels)
    assert f"{found.labels.max()} objects" in dock.status.value
    dock.results.objects.value = False
    np.testing.assert_array_equal(labels.data, by_prompt)


def test_objects_are_measured_once_the_threshold_rests(viewer, dock, run, qtbot, large):
    viewer.add_image(large, contrast_limits=(0, 255), scale=(0.5, 0.5))
    dock.results.objects.value = True
    run(text="nuclei")
    labels = viewer.layers[-1]
    dock.results.threshold.value = round(float(np.median(viewer.layers[-2].data)), 2)
    qtbot.waitUntil(lambda: len(labels.features) == labels.data.max(), timeout=10_000)
    table = labels.features.set_index("index")
    for number in (1, labels.data.max()):
        assert table["area"][number] == (labels.data == number).sum() * 0.25
        assert table["prompt"][number] == "nuclei"


def test_what_was_done_before_a_stop_is_kept(viewer, dock, qtbot, stack, monkeypatch):
    layer = viewer.add_image(stack, contrast_limits=(0, 255))
    dock.image.value = layer
    dock.run_options.planes.value = "all of them"
    encode, seen, stopped = Engine.encode, [], threading.Event()

    def encode_then_stop(self, images, **options):
        seen.append(len(images))
        if len(seen) == 2:  # the second plane
            stopped.wait(30)
        return encode(self, images, **options)

    dock.prompt.set_lines("nuclei")
    qtbot.waitUntil(lambda: dock.estimate.last is not None, timeout=30_000)  # it encodes, too
    monkeypatch.setattr(Engine, "encode", encode_then_stop)
    dock.run()
    qtbot.waitUntil(lambda: len(seen) == 2, timeout=30_000)
    dock.cancel()
    stopped.set()
    qtbot.waitUntil(lambda: dock.run_button.enabled, timeout=30_000)
    assert "Stopped; what was done is shown" in dock.status.value
    probability = viewer.layers[-2]
    assert probability.data[0].any()
    assert not probability.data[2].any()
    assert probability.metadata["napari_clipseg"]["complete"] is False


def test_within_an_outline(viewer, dock, run, large):
    layer = viewer.add_image(large, contrast_limits=(0, 255), scale=(0.5, 0.5), translate=(3, 4))
    box = np.array([[20, 30], [20, 129], [89, 129], [89, 30]])
    outline = np.array([layer.data_to_world(corner) for corner in box])
    region = viewer.add_shapes([outline], name="here")
    dock.image.value = layer
    dock.run_options.region.value = region
    run(text="nuclei")
    probability, labels = viewer.layers[-2:]
    found = wanted(layer, dock, region=box)
    np.testing.assert_allclose(probability.data, found.probability[0], atol=1e-5)
    assert probability.data.shape == labels.data.shape == (70, 100)
    np.testing.assert_allclose(probability.data_to_world((0, 0)), layer.data_to_world((20, 30)))
    np.testing.assert_allclose(Recipe.of(labels).region, box)


def test_an_outline_without_area(viewer, dock, run, told, large):
    viewer.add_image(large, contrast_limits=(0, 255))
    region = viewer.add_shapes([[[0, 0], [9, 9]]], shape_type="line", name="here")
    dock.run_options.region.value = region
    run(text="nuclei")
    assert "'here' has no shape that encloses an area" in told()
    assert len(viewer.layers) == 2


def test_a_line_with_a_minus_is_a_negative_prompt(viewer, dock, run, large):
    layer = viewer.add_image(large, contrast_limits=(0, 255))
    run(text="nuclei\n- red rings\n-")
    probability, labels = viewer.layers[-2:]
    found = wanted(
        layer, dock, negative_prompts=["red rings"], threshold=dock.results.threshold.value
    )
    assert [x.name for x in viewer.layers[1:]] == ["large · nuclei", "large · nuclei · labels"]
    np.testing.assert_allclose(probability.data, found.probability[0], atol=1e-5)
    np.testing.assert_array_equal(labels.data, found.labels)
    assert Recipe.of(labels).negative_prompts == ("red rings",)
    # Below every probability a pixel is labelled unless the other prompt wins it.
    dock.results.threshold.value = 0
    np.testing.assert_array_equal(labels.data == 0, found.probability[1] > found.probability[0])


def test_only_negative_prompts(viewer, dock, run, told, large):
    viewer.add_image(large)
    run(text="- debris")
    assert "There is no prompt yet" in told()


# Planes and channels: what is asked for, without a window


@pytest.fixture
def model():
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def options(model, qtbot):
    from napari_clipseg.widgets.options import OptionsBox

    options = OptionsBox(model)
    for widget in vars(options).values():
        if hasattr(widget, "native"):
            qtbot.addWidget(widget.native)
    return options


def test_which_planes(model, options):
    layer = model.add_image(np.zeros((4, 5, 8, 9)), contrast_limits=(0, 1))  # t, z
    model.dims.set_point((0, 1), (2, 3))
    options.show_for(layer)
    assert options.planes.choices == (
        "the one shown",
        "all t",
        "all z",
        "all of them",
        "a range of t",
        "a range of z",
    )
    everything = slice(None)
    for chosen, between, wanted in (
        ("the one shown", "", {"t": 2, "z": 3}),
        ("all t", "", {"t": everything, "z": 3}),
        ("all z", "", {"t": 2, "z": everything}),
        ("all of them", "", None),
        ("a range of z", "1-3", {"t": 2, "z": slice(1, 4)}),
        ("a range of t", " 2 ", {"t": slice(2, 3), "z": 3}),
    ):
        options.planes.value = chosen
        options.range.value = between
        assert options.fields(layer)["planes"] == wanted, chosen
        assert Recipe("x", **options.fields(layer))
    options.planes.value = "a range of z"
    for wrong in ("", "3-1", "0-5", "a", "1-2-3", "-1"):
        options.range.value = wrong
        with pytest.raises(ValueError, match="wanted first and last plane, from 0 to 4"):
            options.fields(layer)
    flat = model.add_image(np.zeros((8, 9)))
    options.show_for(flat)
    assert options.planes.value == "the one shown"
    assert options.fields(flat)["planes"] is None


def test_a_stack_that_is_shown_from_another_side_is_refused(model, options):
    layer = model.add_image(np.zeros((4, 8, 9)), name="cells", contrast_limits=(0, 1))
    options.show_for(layer)
    for order, fits in (((0, 1, 2), True), ((0, 2, 1), True), ((1, 0, 2), False)):
        model.dims.order = order
        if fits:
            assert options.fields(layer)["planes"] == {"z": 1}
        else:
            with pytest.raises(ValueError, match="shows 'cells' from another side"):
                options.fields(layer)
    options.planes.value = "all of them"
    assert options.fields(layer)["planes"] is None


def test_which_channels(model, options):
    layer = model.add_image(
        np.zeros((4, 8, 9)), contrast_limits=(0, 1), axis_labels=("c", "y", "x")
    )
    model.dims.set_point(0, 2)
    options.show_for(layer)
    for chosen, wanted in (
        ("first three as colors", None),
        ("the one shown", (2,)),
        ("only channel 3", (3,)),
    ):
        options.channels.value = chosen
        appearance = options.fields(layer)["appearance"]
        assert (appearance and appearance.channels) == wanted, chosen
    options.show_for(model.add_image(np.zeros((8, 9))))
    assert options.channels.choices == ("first three as colors", "the one shown", "only channel 0")
