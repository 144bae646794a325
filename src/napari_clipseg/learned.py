"""A learned prompt: what was taught by strokes, how it answers, and its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.images.descriptors import FILTERS, REGIONS

Float32 = NDArray[np.float32]

FORMAT = "napari-clipseg learned prompt"
VERSION = 1
# Of the decoder for each class: with the prompt that teaching began with, and the fitted one.
MAPS = 2
PIXELS_AT_ONCE = 2**12
LIMIT = 6.0  # standard deviations
MOST_BYTES = 64 * 2**20  # of a file that is read


@dataclass(frozen=True, eq=False)
class LearnedClass:
    """One thing that was taught: how the decoder is asked for it, and how pixels are judged.

    Attributes
    ----------
    name : str
        What it is called.
    vectors : ndarray of float32
        ``(2, projection_dim)``: the prompt that teaching began with, and the fitted one.
    scale, shift : ndarray of float32
        ``(decoder blocks, reduce_dim)``: FiLM of the reduced activations, for the fitted one.
    center, spread : ndarray of float32
        ``(inputs,)``: mean and standard deviation of each input of the network.
    network : tuple of (ndarray, ndarray)
        Weights ``(inputs, outputs)`` and biases ``(outputs,)`` of each layer, ReLU between them;
        the last has one output, a logit.
    """

    name: str
    vectors: Float32
    scale: Float32
    shift: Float32
    center: Float32
    spread: Float32
    network: tuple[tuple[Float32, Float32], ...]

    def judge(self, responses: Float32, maps: Float32) -> Float32:
        """Return the logits of pixels.

        Parameters
        ----------
        responses : ndarray of float32
            ``(rows, columns, filters)``: the first inputs of the network.
        maps : ndarray of float32
            ``(maps, rows, columns)``: the others.

        Returns
        -------
        ndarray of float32
            ``(rows, columns)``.
        """
        filters = responses.reshape(-1, responses.shape[-1])
        others = maps.reshape(len(maps), -1)
        logits = np.empty(len(filters), np.float32)
        # Joined a few at a time, so that they stay in the processor's cache.
        inputs = np.empty((PIXELS_AT_ONCE, filters.shape[1] + len(maps)), np.float32)
        for start in range(0, len(filters), PIXELS_AT_ONCE):
            part = slice(start, start + PIXELS_AT_ONCE)
            x = inputs[: len(filters[part])]
            np.subtract(
                filters[part], self.center[: filters.shape[1]], out=x[:, : filters.shape[1]]
            )
            np.subtract(
                others[:, part].T, self.center[filters.shape[1] :], out=x[:, filters.shape[1] :]
            )
            x /= self.spread
            # What lies far outside of what was seen in teaching is judged like its border.
            np.clip(x, -LIMIT, LIMIT, out=x)
            for i, (weight, bias) in enumerate(self.network):
                x = x @ weight
                x += bias
                if i < len(self.network) - 1:
                    np.maximum(x, 0, out=x)
            logits[part] = x[:, 0]
        return logits.reshape(responses.shape[:-1])


@dataclass(frozen=True, eq=False)
class LearnedPrompt:
    """A prompt that was taught by strokes; use it in `segment` like any other prompt.

    `teach` makes one. It gives a map for each of its classes.

    Attributes
    ----------
    classes : tuple of LearnedClass
        The things that it finds.
    model : str
        Name of the checkpoint that it was taught with.
    weights : str, optional
        Hash of the checkpoint's weights, see `Engine.weights`.
    image_channels : int
        Channels of an image that pixels are judged by: 1 for gray, 3 for what the model sees in
        color, and one for each further channel.
    regions : bool
        Whether they are judged by the shape of the region that they lie in, too.
    components : ndarray of float32
        ``(1 + components, decoder blocks * reduce_dim)``: the mean of the activations, and their
        principal components.
    score : float, optional
        Expected IoU, from strokes that were held out; None where they are too few to tell.
    record : dict
        How it was taught: strokes, images, settings, scores, date. JSON values only.
    samples : mapping of str to ndarray
        The pixels that it was taught with, to go on from it.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg import segment, teach
    >>> from napari_clipseg.sample_data import load_sample
    >>> image = load_sample("shapes").image
    >>> strokes = np.zeros(image.shape[:2], np.uint8)
    >>> strokes[40:44, 20:60], strokes[100:140, 88:92] = 1, 2
    >>> learned = teach(image, strokes)
    >>> segment(image, learned).probability.shape == (1, *image.shape[:2])
    True
    """

    classes: tuple[LearnedClass, ...]
    model: str
    weights: str | None
    image_channels: int
    regions: bool
    components: Float32
    score: float | None = None
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    samples: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """What its classes are called."""
        return tuple(one.name for one in self.classes)

    @property
    def input_count(self) -> int:
        """Number of inputs of each class's network."""
        return input_count(self.image_channels, self.regions, len(self.components) - 1)

    def split(self) -> tuple[LearnedPrompt, ...]:
        """Return a prompt for each class, without what is only needed to go on teaching."""
        return tuple(replace(self, classes=(one,), record={}, samples={}) for one in self.classes)

    def teach(self, image: Any, strokes: Any, **options: Any) -> LearnedPrompt:
        """Go on from it with more images and strokes; the earlier strokes count, too.

        Parameters
        ----------
        image, strokes, **options
            See `teach`; the model is the one that it was taught with, unless another is given.

        Raises
        ------
        ValueError
            If it has no painted pixels to go on from, or the strokes have a value that it does
            not know.
        """
        from napari_clipseg.teaching.teach import teach

        return teach(image, strokes, **{"prompt": self, "model": self.model, **options})

    def require_engine(self, engine: Engine) -> None:
        """Raise CheckpointError if it was taught with another checkpoint than the engine's."""
        config = engine.config
        blocks = len(config.extract_layers)
        shapes = (config.projection_dim, blocks, config.reduce_dim)
        own = (self.classes[0].vectors.shape[1], *self.classes[0].scale.shape)
        other = self.weights is not None and engine.weights is not None
        if own != shapes or (other and self.weights != engine.weights):
            raise CheckpointError(
                f"The learned prompt {', '.join(self.names)!r} was taught with the model "
                f"{self.model!r} ({self.weights}), and this is {engine.name!r} "
                f"({engine.weights}). Choose the model that it was taught with, or teach it anew."
            )

    def to_bytes(self) -> bytes:
        """Return its file: safetensors, from which no code can run."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {"components": self.components}
        for i, one in enumerate(self.classes):
            for name in ("vectors", "scale", "shift", "center", "spread"):
                tensors[f"classes.{i}.{name}"] = getattr(one, name)
            for j, (weight, bias) in enumerate(one.network):
                tensors[f"classes.{i}.network.{j}.weight"] = weight
                tensors[f"classes.{i}.network.{j}.bias"] = bias
        tensors |= {f"samples.{name}": array for name, array in self.samples.items()}
        about = {
            "format": FORMAT,
            "version": VERSION,
            "names": list(self.names),
            "model": self.model,
            "weights": self.weights,
            "image_channels": self.image_channels,
            "regions": self.regions,
            "score": self.score,
            "record": dict(self.record),
        }
        arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        return bytes(save(arrays, {FORMAT: json.dumps(about, allow_nan=False)}))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; an older file is replaced when all is written.

        Raises
        ------
        OSError
            If it cannot be written, such as on a full disk.
        """
        path = Path(path).expanduser()
        partial = path.with_name(f"{path.name}.partial")
        try:
            partial.write_bytes(self.to_bytes())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> LearnedPrompt:
        """Read a file that `save` wrote, in this version or an earlier one.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is broken, of a newer version, or no such file.
        """
        path = Path(path).expanduser()
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MB; a learned prompt has less than "
                f"{MOST_BYTES // 2**20} MB. Choose a file that LearnedPrompt.save wrote."
            )
        return cls.from_bytes(path.read_bytes(), str(path))

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "The file") -> LearnedPrompt:
        """Read what `to_bytes` gave; `source` is named in errors."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            # Copies lie in memory as new arrays do: they multiply bit for bit alike.
            tensors = {name: np.array(array) for name, array in load(data).items()}
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])
            about = json.loads(header["__metadata__"][FORMAT])
            version = about["version"]
            if not isinstance(version, int) or version > VERSION:
                raise ValueError(
                    f"it is of version {version!r}, and this napari-clipseg reads up to version "
                    f"{VERSION}: update it with python -m pip install -U napari-clipseg"
                )
            learned = cls(
                tuple(_class(tensors, i, name) for i, name in enumerate(about["names"])),
                str(about["model"]),
                about["weights"],
                int(about["image_channels"]),
                bool(about["regions"]),
                tensors["components"],
                about["score"],
                about["record"],
                {
                    name.removeprefix("samples."): array
                    for name, array in tensors.items()
                    if name.startswith("samples.")
                },
            )
            learned._require_shapes()
        except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"{source} holds no learned prompt: {error}. Choose a file that "
                f"LearnedPrompt.save wrote."
            ) from error
        return learned

    def _require_shapes(self) -> None:
        if not self.classes:
            raise ValueError("it has no class")
        for one in self.classes:
            widths = [self.input_count, *(len(bias) for _, bias in one.network)]
            shapes = [weight.shape for weight, _ in one.network]
            fits = (
                one.center.shape == one.spread.shape == (self.input_count,)
                and shapes == list(pairwise(widths))
                and widths[-1] == 1
                and one.vectors.ndim == one.scale.ndim == 2
                and len(one.vectors) == MAPS
                and one.scale.shape == one.shift.shape
                and self.components.ndim == 2
                and self.components.shape[1] == one.scale.size
            )
            arrays = [one.vectors, one.scale, one.shift, one.center, one.spread]
            arrays += [array for layer in one.network for array in layer]
            if not fits or not all(np.isfinite(array).all() for array in arrays):
                raise ValueError(f"the arrays of {one.name!r} do not fit together")


def input_count(image_channels: int, regions: bool, components: int) -> int:
    """Return the number of inputs that pixels are judged by."""
    return FILTERS * image_channels + MAPS + components + (REGIONS if regions else 0)


def _class(tensors: Mapping[str, Float32], i: int, name: str) -> LearnedClass:
    layers: list[tuple[Float32, Float32]] = []
    while f"classes.{i}.network.{len(layers)}.weight" in tensors:
        prefix = f"classes.{i}.network.{len(layers)}"
        layers.append((tensors[f"{prefix}.weight"], tensors[f"{prefix}.bias"]))
    if not layers or not isinstance(name, str):
        raise ValueError(f"class {i} has no network, or no name")
    return LearnedClass(
        name,
        vectors=tensors[f"classes.{i}.vectors"],
        scale=tensors[f"classes.{i}.scale"],
        shift=tensors[f"classes.{i}.shift"],
        center=tensors[f"classes.{i}.center"],
        spread=tensors[f"classes.{i}.spread"],
        network=tuple(layers),
    )
