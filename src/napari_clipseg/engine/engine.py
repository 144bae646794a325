"""The engine: pictures and prompts in, maps of logits out; numpy on both sides."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_clipseg.engine.runtime.batching import ANSWERS, PICTURES, Batches
from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.runtime.devices import CPU, pick_device
from napari_clipseg.engine.embedder import Embedder, Vector
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.features import Features
from napari_clipseg.engine.runtime.precision import PROMPT, holds, trial_picture, with_half_towers
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.cache import Kept, digest, is_picture
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.runtime.placed import Placed
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
from napari_clipseg.engine.prompts import Prompt
from napari_clipseg.engine.runtime.int8 import quantize_vision

# Of a public checkpoint, the features of 690 pictures.
KEPT_FEATURES = 256 * 2**20


class Engine:
    """A loaded checkpoint that answers prompts: encode once, then decode for each prompt.

    It may be used from several threads.

    Parameters
    ----------
    model : CLIPSegForImageSegmentation
        The network.
    processor : CLIPSegProcessor
        How its texts and pictures are prepared.
    name : str
        What was asked for when it was loaded; recorded with results.
    device : torch.device
        Where it computes.
    kept_features : int
        Bytes of features that are kept of pictures seen before; 0 to keep none.

    Examples
    --------
    >>> engine = load("demo")  # doctest: +SKIP
    >>> features = engine.encode([picture])  # doctest: +SKIP
    >>> logits = engine.decode(features, engine.embed(["red rings"]))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        processor: CLIPSegProcessor,
        name: str = "",
        device: torch.device = CPU,
        kept_features: int = KEPT_FEATURES,
    ) -> None:
        self.name = name
        self.config: CLIPSegConfig = model.config
        self._processor = processor
        self._batches = Batches(Placed(model.to(device).eval(), device), name, self.forget)
        self._embedder = Embedder(self._batches, processor, self.config.projection_dim)
        self._features: Kept[Features] = Kept(kept_features)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that pictures are brought to, in pixels."""
        wanted = self._processor.image_processor
        return wanted.height, wanted.width

    @property
    def device(self) -> torch.device:
        """Where it computes: the CPU, once the memory of another device did not suffice."""
        return self._batches.placed.device

    @property
    def precision(self) -> str:
        """Numbers that the vision tower multiplies: "float32", "float16" or "int8"."""
        return self._batches.placed.precision

    def encode(
        self, pictures: Sequence[NDArray[np.uint8]], *, keep: bool = True, resize: bool = True
    ) -> Features:
        """Look at pictures once.

        Parameters
        ----------
        pictures : sequence of ndarray of uint8
            ``(height, width, 3)`` each.
        keep : bool
            Whether to keep the features, and to use those kept of the same pictures before.
        resize : bool
            Whether to bring each picture to the model's square. Without it, all are to have
            one size: a whole number of patches high and wide.

        Returns
        -------
        Features
            To be given to `decode`, any number of times. Not to be written to: they may be
            those that are kept.

        Raises
        ------
        ValueError
            If there is no picture, one of another kind, or of a size that does not fit.
        """
        pictures = list(pictures)
        if not (keep and pictures and all(map(is_picture, pictures))):
            return Features.join(self._encode(pictures, resize))
        keys = [digest(picture) + bytes([resize]) for picture in pictures]
        return Features.join(
            self._features.remember(
                keys, lambda new: self._encode([pictures[i] for i in new], resize)
            )
        )

    def _encode(self, pictures: list[NDArray[np.uint8]], resize: bool) -> list[Features]:
        """Return the features of each picture."""
        pixels = self._processor(images=pictures, do_resize=resize)["pixel_values"]
        patch = self.config.vision_config.patch_size
        if pixels.shape[-2] % patch or pixels.shape[-1] % patch:
            raise ValueError(
                f"Got pictures of {pixels.shape[-2]} x {pixels.shape[-1]} pixels that are not to "
                f"be resized; wanted whole patches of {patch} x {patch} pixels. Resize them."
            )

        def step(placed: Placed, part: slice) -> list[Features]:
            vision, decoder = placed.network.clip.vision_model, placed.network.decoder
            x = pixels[part].to(placed.device, placed.dtype)
            activations = vision.activations(x, self.config.extract_layers)
            reduced = decoder.reduce([activation.float() for activation in activations])
            return Features(tuple(reduced), vision.embeddings.grid(*x.shape[-2:])).split()

        return self._batches.each(PICTURES, step, len(pixels))

    def embed(self, prompts: Sequence[Prompt]) -> Vector:
        """Turn prompts into vectors.

        Parameters
        ----------
        prompts : sequence of prompts
            Texts, reference pictures of shape ``(height, width, 3)`` and uint8, ready
            vectors ``(projection_dim,)``, `Average` and `Blend`, in any order. Vectors of
            texts and pictures are kept, so that one used before costs nothing.

        Returns
        -------
        ndarray of float32
            ``(prompts, projection_dim)``.

        Raises
        ------
        ValueError
            If there is no prompt, a text is blank or too long, or an array of another kind.
        TypeError
            If a prompt is of another type.
        """
        return self._embedder(prompts)

    def decode(self, features: Features, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answer all prompts on all pictures.

        Parameters
        ----------
        features : Features
            Of `encode`.
        embeddings : ndarray
            ``(prompts, projection_dim)``, of `embed`.

        Returns
        -------
        ndarray of float32
            ``(pictures, prompts, height, width)`` logits, of the size that was looked at.

        Raises
        ------
        ValueError
            If the vectors or the features are not of this model's shape.
        CheckpointError
            If the model's answer is not finite.
        """
        self._require_own(features, embeddings)
        pictures, prompts = len(features), len(embeddings)
        vectors = torch.from_numpy(np.asarray(embeddings, np.float32))

        def step(placed: Placed, part: slice) -> NDArray[np.float32]:
            # Every picture meets every prompt: picture by picture, the prompts of each in order.
            pairs = torch.arange(part.start, part.stop)
            of_pictures = features[pairs // max(prompts, 1)].to(placed.device)
            of_prompts = vectors[pairs % max(prompts, 1)].to(placed.device)
            reduced, decoder = of_pictures.reduced, placed.network.decoder
            logits: NDArray[np.float32]
            logits = decoder.segment(reduced, of_prompts, features.grid).cpu().numpy()
            return logits

        if self.precision == "float16":
            cure = "They are too large for half precision. Load it with half=False."
        else:
            cure = "Its weights are damaged. Get the checkpoint's files again."
        maps = np.empty(0, np.float32)
        for part, logits in self._batches.run(ANSWERS, step, pictures * prompts):
            if not np.isfinite(logits).all():
                raise CheckpointError(
                    f"The model {self.name!r} answered with values that are no numbers. {cure}"
                )
            if part.start == 0:
                maps = np.empty((pictures * prompts, *logits.shape[1:]), np.float32)
            maps[part] = logits
        return maps.reshape(pictures, prompts, *maps.shape[1:])

    def _require_own(self, features: Features, embeddings: NDArray[np.float32]) -> None:
        wanted = self.config.projection_dim
        if embeddings.ndim != 2 or embeddings.shape[1] != wanted:
            raise ValueError(
                f"Got embeddings of shape {embeddings.shape}; wanted (prompts, {wanted}), "
                f"as embed() of the same engine gives them."
            )
        blocks, width = len(self.config.extract_layers), self.config.reduce_dim
        if len(features.reduced) != blocks or features.reduced[0].shape[-1] != width:
            raise ValueError(
                f"Got features of {len(features.reduced)} blocks and width "
                f"{features.reduced[0].shape[-1]}; wanted {blocks} and {width}, as encode() of the "
                f"same checkpoint gives them."
            )

    def forget(self) -> None:
        """Let go of what is kept of pictures and prompts."""
        self._embedder.kept.clear()
        self._features.clear()

    def unload(self) -> None:
        """Let go of the network and of what was kept, and free their memory.

        The engine cannot be used again; `load` then reads the checkpoint anew.
        """
        with _loading:
            for key in [key for key, engine in _loaded.items() if engine is self]:
                del _loaded[key]
        self.forget()
        self._batches.unload()


_loaded: dict[tuple[Path, str, bool, bool], Engine] = {}
_loading = threading.Lock()


def load(
    model: str | Path = "demo",
    *,
    device: str | torch.device | None = None,
    fast: bool = False,
    half: bool = True,
) -> Engine:
    """Load a checkpoint, or return the engine that was loaded from it before.

    Parameters
    ----------
    model : str or Path
        "demo" (comes with the package), a checkpoint folder, or the name of a hub
        checkpoint that has been downloaded before.
    device : str or torch.device, optional
        Such as "cpu", "cuda" or "mps". By default the best that is there.
    fast : bool
        Whether to multiply 8-bit integers in the vision tower, on the CPU: faster, and
        nearly the same.
    half : bool
        Whether to use half precision on a GPU, if it gives the answers of full precision
        on a picture that is tried.

    Returns
    -------
    Engine
        Kept for the life of the process: the same arguments give the same engine.

    Raises
    ------
    CheckpointError
        If the checkpoint is not there, or its files are not whole.
    ValueError
        If there is no such device, or no fast mode on it.
    """
    place = pick_device(device)
    if fast and place.type != "cpu":
        raise ValueError(
            f"The fast mode is for the CPU, and the device is {str(place)!r}. Add device='cpu', "
            f"or leave fast=True out: a GPU has half precision."
        )
    folder = locate(model)
    with _loading:
        key = (folder.resolve(), str(place), fast, half)
        if key not in _loaded:
            network = CLIPSegForImageSegmentation.from_pretrained(folder)
            if fast:
                quantize_vision(network)
            engine = Engine(network, CLIPSegProcessor.from_pretrained(folder), str(model), place)
            _loaded[key] = halved(engine) if half and place.type != "cpu" else engine
        return _loaded[key]


def halved(engine: Engine) -> Engine:
    """Return an engine in half precision, or ``engine`` where that gives other answers."""
    placed, processor = engine._batches.placed, engine._processor
    half = Engine(with_half_towers(placed.network), processor, engine.name, placed.device)
    full_answer = trial(engine)
    try:
        half_answer = trial(half)
    except CheckpointError:  # it left the range of float16
        return engine
    return half if holds(full_answer, half_answer) else engine


def trial(engine: Engine) -> NDArray[np.float32]:
    """Return an engine's logits of a text and of an image prompt on the trial's picture."""
    picture = trial_picture()
    return engine.decode(engine.encode([picture], keep=False), engine.embed([PROMPT, picture]))
