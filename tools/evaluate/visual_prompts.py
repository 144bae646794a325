"""Our visual prompts beside those of the authors: ``python tools/evaluate/visual_prompts.py``.

Prints the cosines between the vectors that a random CLIP ViT-B/16 gives to both. Random weights
make no difference between what matters to a trained CLIP and what does not.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data
from torch import Tensor
from torch.nn import functional as F

from napari_clipseg.engine.modeling.config import CLIPSegConfig, CLIPSegVisionConfig
from napari_clipseg.engine.modeling.model import CLIPSegModel
from napari_clipseg.engine.preprocessing.image_processor import ViTImageProcessor
from napari_clipseg.images import visual_prompts

SQUARE = 352
PROCESSOR = ViTImageProcessor(
    size={"height": SQUARE, "width": SQUARE},
    image_mean=(0.485, 0.456, 0.406),
    image_std=(0.229, 0.224, 0.225),
)
IMAGES = ("astronaut", "chelsea", "coffee", "cell", "coins", "immunohistochemistry")
DIAMETERS = (0.15, 0.3, 0.5)  # of the objects, in sides of the square


def authors_cut(image: Tensor, mask: Tensor) -> Tensor:
    """Cut a prompt out of a normalized image as "crop_blur_highlight352" of the authors does.

    After `img_preprocess`, `crop_mask` and `pad_to_square` of ``evaluation_utils.py`` in
    https://github.com/timojl/clipseg, with blur=3, bg_fac=0.1, center_context=0.1.

    Parameters
    ----------
    image : Tensor
        (3, 352, 352), normalized.
    mask : Tensor
        (352, 352), 0 and 1.
    """
    at = np.arange(-7, 8)
    weights = np.exp(-(at**2) / (2 * 3**2))
    blurred = image.numpy()
    for axis in (1, 2):
        blurred = ndimage.correlate1d(blurred, weights / weights.sum(), axis, mode="mirror")
    image = image * mask + 0.1 * torch.from_numpy(blurred) * (1 - mask)
    spans = []
    for axis in (1, 0):
        where = mask.amax(axis).nonzero()[:, 0]
        first, last = int(where[0]), int(where[-1]) + 1
        context = 0.1 * (last - first)
        spans.append(slice(int(max(0, first - context)), int(min(len(mask), last + context))))
    cut = image[:, spans[0], spans[1]]
    height, width = cut.shape[1:]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    return F.pad(cut, (left, side - width - left, top, side - height - top))


def authors_prompt(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Tensor:
    """Return (3, 352, 352): the prompt as the authors' training makes it from a square image."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, (SQUARE, SQUARE), mode="bilinear", align_corners=True)[0] / 255
    mean, std = (
        torch.tensor(v)[:, None, None] for v in (PROCESSOR.image_mean, PROCESSOR.image_std)
    )
    marked = F.interpolate(torch.from_numpy(mask)[None, None].float(), (SQUARE, SQUARE))[0, 0]
    return F.interpolate(authors_cut((pixels - mean) / std, marked)[None], (SQUARE, SQUARE))[0]


def seen(prompt: NDArray[np.uint8]) -> Tensor:
    """Return (3, 352, 352): an image as the processor prepares it."""
    return PROCESSOR(prompt)["pixel_values"][0]


def random_clip() -> CLIPSegModel:
    """Return a ViT-B/16 with random weights, its embeddings scaled as in OpenAI's code."""
    torch.manual_seed(0)
    clip = CLIPSegModel(CLIPSegConfig(vision_config=CLIPSegVisionConfig(patch_size=16))).eval()
    embeddings = clip.vision_model.embeddings
    width = len(embeddings.class_embedding)
    with torch.no_grad():
        for weight in (embeddings.class_embedding, embeddings.position_embedding.weight):
            weight.normal_(std=width**-0.5)
    return clip


def objects(image: NDArray[np.uint8]) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Return squares of the image's shorter side, each with an ellipse that marks an object."""
    rgb = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image
    side = min(rgb.shape[:2])
    top, left = ((n - side) // 2 for n in rgb.shape[:2])
    square = np.ascontiguousarray(rgb[top : top + side, left : left + side])
    rows, columns = np.ogrid[:side, :side]
    found = []
    for n, diameter in enumerate(DIAMETERS):
        down, across = (0.4 + 0.1 * n) * side, (0.55 - 0.1 * n) * side
        radius = diameter * side / 2
        mask = ((rows - down) / radius) ** 2 + ((columns - across) / (0.7 * radius)) ** 2 < 1
        found.append((square, mask))
    return found


def cosines() -> dict[str, list[float]]:
    """Return, for ours and for ours on black, the cosine with the authors' prompt, per object."""
    clip = random_clip()

    def vector(pixels: Tensor) -> Tensor:
        return clip.get_image_features(pixels[None])[0]

    def ours(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Tensor:
        return vector(seen(visual_prompts.visual_prompt(image, mask)))

    found: dict[str, list[float]] = {"faded to gray": [], "faded to black": []}
    with torch.inference_mode():
        for name in IMAGES:
            for image, mask in objects(getattr(data, name)()):
                theirs = vector(authors_prompt(image, mask))
                vectors = [ours(image, mask)]
                with patch.object(visual_prompts, "GRAY", np.zeros(3, np.float32)):
                    vectors.append(ours(image, mask))
                for row, own in zip(found.values(), vectors, strict=True):
                    row.append(float(F.cosine_similarity(theirs, own, dim=0)))
    return found


def main() -> int:
    """Print a table."""
    torch.set_num_threads(1)
    print("| background | lowest cosine | mean | highest | objects |\n|---|---|---|---|---|")
    for name, values in cosines().items():
        cells = (f"{value:.3f}" for value in (min(values), np.mean(values), max(values)))
        print(f"| {name} | {' | '.join(cells)} | {len(values)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
