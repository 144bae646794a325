"""Segment an image with text prompts, relabel the result, and repeat it from its recipe.

Run it with ``python examples/segment_a_sample.py``; it writes ``shapes.json``, the recipe.
"""

import numpy as np

from napari_clipseg import Recipe, segment
from napari_clipseg.sample_data import load_sample

image = load_sample("shapes").image  # uint8, (height, width, 3)
result = segment(image, ["red rings", "green rings"], negative_prompts="nuclei", threshold=0.4)
for label, name in enumerate(result.prompt_names, start=1):
    print(f"{name}: {np.count_nonzero(result.labels == label)} pixels")

# Other labels of the same probability map: the model does not run again.
stricter = result.relabel(threshold=0.7)
print(f"above 0.4: {np.count_nonzero(result.labels)} pixels")
print(f"above 0.7: {np.count_nonzero(stricter.labels)} pixels")

# The recipe is all that was asked for, with the hash of the model's weights.
stricter.recipe.save("shapes.json")
again = segment(image, Recipe.load("shapes.json"))
print("the same labels again:", np.array_equal(again.labels, stricter.labels))
