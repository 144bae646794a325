"""What is chosen for a run besides image, prompts and model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.asking import Prompt
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.io.maps import DType
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail, Plan
from napari_clipseg.images.tiling.planning import Planes, make_plan
from napari_clipseg.images.io.source import Source

if TYPE_CHECKING:  # importing this module must not import torch
    from napari_clipseg.engine.engine import Engine

Region = Sequence[Sequence[float]] | NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Choices:
    """What is chosen for a run besides image, prompts and model; see `segmentation.segment`."""

    threshold: float | Sequence[float] | Literal["otsu"] | None = None
    low: float | None = None
    unwanted: Prompt | Sequence[Prompt] = ()
    instances: InstanceOptions | None = None
    planes: Planes | None = None
    region: Region | None = None
    level: int | None = None
    detail: Detail = field(default_factory=Detail)
    appearance: Appearance = field(default_factory=Appearance)
    refine: bool = False
    into: str | Path | None = None
    dtype: DType = "float32"

    def plan(self, source: Source, engine: Engine, prompts: int = 1) -> Plan:
        """Plan the run; see `images.planning.make_plan`."""
        return make_plan(
            source,
            side=max(engine.size),
            patch=engine.config.vision_config.patch_size,
            prompts=prompts,
            detail=self.detail,
            planes=self.planes,
            region=self.region,
            level=self.level,
        )
