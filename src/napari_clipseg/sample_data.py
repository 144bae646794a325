"""Sample images, some with their ground truth: for File ▸ Open Sample, the demo and the tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# What napari wants of a sample: (data, keyword arguments of the layer, type of the layer).
LayerData = tuple[NDArray[np.uint8], dict[str, Any], Literal["image"]]

SAMPLE = "napari_clipseg_sample"  # entry of the metadata of a sample's layer
SAMPLES = ("shapes", "micrograph")


@dataclass(frozen=True, eq=False)
class Sample:
    """An image, what to ask of it, and the right answer.

    Attributes
    ----------
    name : str
        One of `SAMPLES`.
    image : ndarray of uint8
        RGB ``(height, width, 3)`` or gray ``(height, width)``.
    truth : ndarray of uint8
        ``(height, width)``: 0 is background, ``k`` is what ``prompts[k - 1]`` names.
    prompts : tuple of str
        The text prompts that `truth` answers.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    prompts: tuple[str, ...]


def load_sample(name: str) -> Sample:
    """Read a sample that comes with the package.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.

    Raises
    ------
    ValueError
        If there is no sample of that name.
    """
    if name not in SAMPLES:
        raise ValueError(f"no sample is called {name!r}; choose one of {', '.join(SAMPLES)}")
    about = json.loads(_folder().joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return Sample(name, _read_png(name), _read_png(f"{name}_truth"), tuple(about["prompts"]))


def shapes() -> list[LayerData]:
    """Colored shapes on a plain ground, as an RGB image layer."""
    return _as_layer("shapes")


def micrograph() -> list[LayerData]:
    """A scene as a fluorescence microscope would show it, as a gray image layer."""
    return _as_layer("micrograph")


def coins() -> list[LayerData]:
    """A photograph of coins that scikit-image ships, as a gray image layer."""
    from skimage import data

    return [_layer(data.coins(), "coins", ("coins",))]


def deep_field() -> list[LayerData]:
    """A photograph of distant galaxies that scikit-image ships, as an RGB image layer."""
    from skimage import data

    return [_layer(data.hubble_deep_field(), "deep field", ("spots",))]


def _as_layer(name: str) -> list[LayerData]:
    sample = load_sample(name)
    return [_layer(sample.image, name, sample.prompts)]


def _layer(image: NDArray[np.uint8], name: str, prompts: tuple[str, ...]) -> LayerData:
    """Return an image layer; its metadata say what can be asked of it."""
    return image, {"name": name, "metadata": {SAMPLE: {"prompts": list(prompts)}}}, "image"


def _read_png(stem: str) -> NDArray[np.uint8]:
    # Through a stream: the package may be installed where a resource is no file with a path.
    with _folder().joinpath(f"{stem}.png").open("rb") as stream, Image.open(stream) as image:
        return np.array(image)  # a copy: PIL lends its pixels for reading only


def _folder() -> Any:
    return files("napari_clipseg") / "samples"
