"""Segment an image by showing examples instead of naming them.

Run it with ``python examples/reference_prompt.py``.
"""

import numpy as np
from skimage.measure import label, regionprops

from napari_clipseg import Average, Blend, Example, segment
from napari_clipseg.sample_data import load_sample

sample = load_sample("shapes")

# Rectangles around the three green rings, as a user would draw them.
rings = regionprops(label(sample.truth == 2))
rectangles = [(ring.bbox[:2], ring.bbox[2:]) for ring in rings]
examples = [Example(sample.image, rectangle) for rectangle in rectangles]

result = segment(
    sample.image,
    {
        "one example": examples[0],
        "three examples": Average(examples),
        "text and example": Blend("green rings", examples[0], weight=0.5),
    },
)
for name, probability in zip(result.prompt_names, result.probability, strict=True):
    found, true = probability > result.threshold, sample.truth == 2
    overlap = np.count_nonzero(found & true) / np.count_nonzero(found | true)
    print(f"{name}: overlap with the truth {overlap:.2f}")
