"""Segment each plane of a stack, number its objects, and write the labels.

Run it with ``python examples/stack_to_labels.py``; it writes ``labels.npy``.
"""

import numpy as np

from napari_clipseg import Detail, InstanceOptions, segment
from napari_clipseg.sample_data import load_sample

# A stack of three planes in which everything moves a little from plane to plane.
plane = load_sample("micrograph").image
stack = np.stack([np.roll(plane, shift, axis=1) for shift in (0, 4, 8)])

result = segment(
    stack,
    "nuclei",
    axes="zyx",
    detail=Detail("medium"),
    instances=InstanceOptions(split="distance", min_size=20, link=True),
)
print(f"labels: {result.labels.shape}, {result.labels.dtype}")
print(f"objects: {np.unique(result.labels[result.labels > 0]).size}")
print(f"columns of their table: {', '.join(result.objects)}")
np.save("labels.npy", result.labels)
