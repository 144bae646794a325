from __future__ import annotations

import numpy as np
import pytest

from napari_clipseg.images.edges.guided import edge_share, guided_filter


def slowly(one, guide, radius, epsilon):
    """Fit each window by least squares, and average the fits that a pixel lies in."""
    height, width, channels = guide.shape
    pad = ((2 * radius, 2 * radius),) * 2
    p = np.pad(one.astype(float), pad, mode="symmetric")
    image = np.pad(guide.astype(float), (*pad, (0, 0)), mode="symmetric")
    result = np.zeros((height, width))
    for row, column in np.ndindex(height, width):
        values = []
        for y in range(row + radius, row + 3 * radius + 1):
            for x in range(column + radius, column + 3 * radius + 1):
                window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
                colors, wanted = image[window].reshape(-1, channels), p[window].ravel()
                covariance = np.cov(colors.T, bias=True).reshape(channels, channels)
                shared = (colors - colors.mean(0)).T @ wanted / len(wanted)
                slope = np.linalg.solve(covariance + epsilon * np.eye(channels), shared)
                here = image[row + 2 * radius, column + 2 * radius]
                values.append(slope @ (here - colors.mean(0)) + wanted.mean())
        result[row, column] = np.mean(values)
    return result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("epsilon", [1e-1, 1e-3])
def test_the_papers_filter(channels, epsilon):
    rng = np.random.default_rng(0)
    guide = rng.random((9, 8, channels), np.float32)
    maps = rng.random((2, 9, 8), np.float32)
    found = guided_filter(maps, guide, 1, epsilon)
    assert found.dtype == np.float32
    for one, its in zip(maps, found, strict=True):
        np.testing.assert_allclose(its, slowly(one, guide, 1, epsilon), atol=2e-4)


def test_a_map_that_is_linear_in_the_guide_stays():
    guide = np.random.default_rng(0).random((40, 30, 3), np.float32)
    one = 0.2 + guide @ np.array([0.3, -0.1, 0.4], np.float32)
    np.testing.assert_allclose(guided_filter(one[None], guide, 3, 1e-6)[0], one, atol=1e-3)


def test_what_counts_as_an_edge():
    guide = np.full((40, 60, 1), 0.3, np.float32)
    guide[:, 30:] = 0.9
    share = edge_share(guide, 2, 1e-3)
    # Four of the five windows of a pixel at the edge hold it, with a variance of about 0.3².
    assert share[:, 29:31].min() > 0.75
    assert share[:, 29:31].max() < 0.8
    assert share[:, :25].max() < 1e-6  # beyond two windows
    assert share[:, 35:].max() < 1e-6
    faint = 0.3 + (guide - 0.3) / 100
    assert edge_share(faint, 2, 1e-3).max() < 0.01
    np.testing.assert_allclose(edge_share(np.repeat(guide, 3, 2), 2, 1e-3), share, atol=1e-6)
