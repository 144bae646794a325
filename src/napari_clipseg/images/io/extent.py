"""Where a map lies on its image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from napari_clipseg.images.io.axes import DEPTH, Axes


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What part of an image a map covers, and how its pixels lie on it.

    Attributes
    ----------
    axes : tuple of str
        Names of the axes along which planes lie.
    planes_shape : tuple of int
        Number of planes along each of these axes.
    planes : tuple of tuple of int
        Index of each plane in the image, in the order of the map.
    height, width : int
        Size of a plane of the map, in its own pixels.
    origin : tuple of float
        Center of the map's first pixel, in pixels of the image's finest level: row, column.
    factor : tuple of float
        Pixels of the finest level under one pixel of the map, down and across.
    spacing : tuple of float
        Height and width of a pixel of the map, in units.
    translation : tuple of float
        Where the center of the first pixel of the image's finest level lies, in units.
    unit : str
        Unit of spacing and translation, also of those along z.
    z_spacing : float, optional
        Distance of neighboring planes of the image along ``z``, in units; None if not known.
    z_translation : float
        Where the image's first plane along ``z`` lies, in units.
    """

    axes: Axes = ()
    planes_shape: tuple[int, ...] = ()
    planes: tuple[tuple[int, ...], ...] = ((),)
    height: int
    width: int
    origin: tuple[float, float] = (0.0, 0.0)
    factor: tuple[float, float] = (1.0, 1.0)
    spacing: tuple[float, float] = (1.0, 1.0)
    translation: tuple[float, float] = (0.0, 0.0)
    unit: str = "pixel"
    z_spacing: float | None = None
    z_translation: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one map: ``(*planes, height, width)``."""
        return (*self.planes_shape, self.height, self.width)

    @property
    def plane_starts(self) -> tuple[int, ...]:
        """Index in the image of the first plane along each axis of `axes`."""
        return self.planes[0]

    @property
    def plane_steps(self) -> tuple[int, ...]:
        """Step in the image from one plane to the next along each axis; 1 for a single plane."""
        steps = []
        for axis, length in enumerate(self.planes_shape):
            stride = math.prod(self.planes_shape[axis + 1 :])
            second = self.planes[stride] if length > 1 else None
            steps.append(1 if second is None else second[axis] - self.planes[0][axis])
        return tuple(steps)

    @property
    def place(self) -> tuple[float, float]:
        """Where the center of the map's first pixel lies, row and column, in units."""
        parts = zip(self.translation, self.origin, self.spacing, self.factor, strict=True)
        row, column = (first + at * size / factor for first, at, size, factor in parts)
        return row, column

    def planes_along(self, name: str) -> tuple[float, float]:
        """Return distance of the image's planes along an axis, and where the first one lies.

        In units along ``z`` where that is known; else planes lie 1 apart, and the first at 0.
        """
        if name == DEPTH and self.z_spacing is not None:
            return self.z_spacing, self.z_translation
        return 1.0, 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return strings, numbers and lists only; of the planes, the first and the steps."""
        values = asdict(self)
        del values["planes"]
        values |= {"plane_starts": self.plane_starts, "plane_steps": self.plane_steps}
        return {name: list(one) if isinstance(one, tuple) else one for name, one in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Extent:
        """Read what `to_dict` gave."""
        fields: dict[str, Any] = {
            name: tuple(one) if isinstance(one, list) else one for name, one in values.items()
        }
        starts, steps = fields.pop("plane_starts"), fields.pop("plane_steps")
        along = zip(starts, steps, fields["planes_shape"], strict=True)
        indices = (range(first, first + step * n, step) for first, step, n in along)
        return cls(planes=tuple(product(*indices)), **fields)
