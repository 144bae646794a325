"""Objects over the whole grid of options: what holds whatever is chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label

from drawing import examples
from napari_clipseg.images.labels.instances import InstanceOptions, instance_labels

options = st.builds(
    InstanceOptions,
    split=st.sampled_from(["none", "distance", "probability"]),
    min_distance=st.floats(0, 20) | st.just(1e6),
    min_size=st.sampled_from([0, 0, 1, 3.5, 20, 1e9]),
    max_size=st.none() | st.sampled_from([1e9, 1e12]),
    fill_holes=st.booleans() | st.floats(0, 20),
    smooth=st.sampled_from([0, 0, 0.5, 1, 3]),
    drop_border=st.booleans(),
    link=st.booleans(),
    least_overlap=st.floats(0.01, 1),
)
small = st.builds(
    InstanceOptions,
    split=st.sampled_from(["none", "distance", "probability"]),
    min_size=st.floats(0, 8),
    max_size=st.floats(8, 30),
    drop_border=st.booleans(),
)
spacings = st.sampled_from([(1, 1), (0.5, 0.5), (1, 2), (3, 0.75), (9, 1, 1)])


@st.composite
def scenes(draw):
    """Classes in up to three planes, and maps; blobs rather than noise."""
    planes = draw(st.sampled_from([(), (1,), (3,), (2, 2)]))
    height, width = draw(st.integers(4, 14)), draw(st.integers(4, 14))
    blocks = draw(hnp.arrays(np.int8, (*planes, 5, 5), elements=st.integers(0, 2)))
    zoom = -(-max(height, width) // 5)
    semantic = blocks.repeat(zoom, axis=-2).repeat(zoom, axis=-1)[..., :height, :width]
    seed = draw(st.integers(0, 1000))
    random = np.random.default_rng(seed)
    holes = random.random(semantic.shape) < draw(st.sampled_from([0, 0.1]))
    semantic = np.where(holes, 0, semantic).astype(np.int32)
    return semantic, random.random((2, *semantic.shape), np.float32)


def planes_of(array):
    return array.reshape(-1, *array.shape[-2:])


def same_parts(one, other):
    """Whether two labellings of a plane differ in their numbers only."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


@examples(300)
@given(scenes(), options, spacings)
def test_whatever_is_chosen(scene, chosen, spacing):
    semantic, maps = scene
    before = semantic.copy(), maps.copy()
    most = max(semantic.shape[-2:]) * min(spacing[-2:])  # a window that fits the plane
    chosen = replace(chosen, smooth=min(chosen.smooth, most))
    found = instance_labels(semantic, maps, chosen, spacing)
    # Nothing given is changed, and the same comes out again.
    np.testing.assert_array_equal(semantic, before[0])
    np.testing.assert_array_equal(maps, before[1])
    np.testing.assert_array_equal(instance_labels(semantic, maps, chosen, spacing), found)
    assert (found.shape, found.dtype) == (semantic.shape, np.int32)
    # Labels rise from 1 in the order of their first pixels, without gaps.
    numbers, first = np.unique(found, return_index=True)
    first = first[numbers > 0]
    assert numbers[numbers > 0].tolist() == list(range(1, len(first) + 1))
    assert (np.diff(first) > 0).all()
    alone = instance_labels(semantic, maps, replace(chosen, link=False), spacing)
    area = spacing[-2] * spacing[-1]
    for plane, whole, unlinked, classes in zip(
        planes_of(found), planes_of(found > 0), planes_of(alone), planes_of(semantic), strict=True
    ):
        assert same_parts(plane, unlinked)  # links only rename
        sizes = np.bincount(unlinked[whole])
        assert (sizes[sizes > 0] * area >= chosen.min_size - 1e-9).all()
        for number in np.unique(unlinked[whole]):
            mask = unlinked == number
            assert label(mask, connectivity=2).max() == 1  # in one piece
            if not chosen.smooth and not chosen.fill_holes:
                assert len(np.unique(classes[mask])) == 1
                assert classes[mask].all()
        if chosen.drop_border:
            framed = plane.copy()
            framed[1:-1, 1:-1] = 0
            assert not framed.any()
        every = not (chosen.drop_border or chosen.min_size or chosen.smooth or chosen.fill_holes)
        if every:
            np.testing.assert_array_equal(whole, classes > 0)


@examples(100)
@given(scenes(), small, spacings)
def test_objects_have_the_sizes_that_are_asked_for(scene, chosen, spacing):
    semantic, maps = scene
    found = instance_labels(semantic, maps, chosen, spacing)
    area = spacing[-2] * spacing[-1]
    every = instance_labels(semantic, maps, InstanceOptions(split=chosen.split), spacing)
    wanted = 0
    for plane, parts in zip(planes_of(found), planes_of(every), strict=True):
        for number in np.unique(parts[parts > 0]):
            mask = parts == number
            fits = chosen.min_size <= mask.sum() * area <= chosen.max_size
            at_edge = mask[[0, -1]].any() or mask[:, [0, -1]].any()
            wanted += fits and not (chosen.drop_border and at_edge)
        sizes = np.bincount(plane[plane > 0])
        sizes = sizes[sizes > 0] * area
        assert ((sizes >= chosen.min_size) & (sizes <= chosen.max_size)).all()
    assert found.max(initial=0) == wanted
