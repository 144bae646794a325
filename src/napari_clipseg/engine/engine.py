"""The engine: images and prompts in, maps of logits out; numpy on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.cache import ByteCache, content_digest
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.prompts import Prompt, require_images

# Importing this module must not import torch, which takes seconds: napari, the command line and
# type checks like isinstance(x, Engine) need the class only. So methods import what needs torch.
if TYPE_CHECKING:
    import torch

    from napari_clipseg.engine.checkpoints.locate import FolderState
    from napari_clipseg.engine.features import Features
    from napari_clipseg.engine.modeling.config import CLIPSegConfig
    from napari_clipseg.engine.modeling.decoder import CLIPSegDecoder
    from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
    from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
    from napari_clipseg.engine.runtime.batching import Placed

# For a public checkpoint, the features of 690 images.
FEATURE_CACHE_BYTES = 256 * 2**20


class Engine:
    """A loaded checkpoint: encode images once, then decode them for each prompt.

    It may be used from several threads. `load` makes one from a checkpoint.

    Parameters
    ----------
    model : CLIPSegForImageSegmentation
        The network.
    processor : CLIPSegProcessor
        How its texts and images are prepared.
    name : str
        Name of the checkpoint; recorded with results.
    device : str or torch.device
        Where it computes.
    feature_cache_bytes : int
        Bytes of features that are cached; 0 for none.
    source : FolderState, optional
        The folder that the weights were read from, as it was then.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.engine import load
    >>> engine = load("demo", device="cpu")
    >>> features = engine.encode([np.zeros((100, 150, 3), np.uint8)])
    >>> engine.decode(features, engine.embed(["red rings", "blue disks"])).shape
    (1, 2, 192, 192)
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        processor: CLIPSegProcessor,
        name: str = "",
        device: str | torch.device = "cpu",
        feature_cache_bytes: int = FEATURE_CACHE_BYTES,
        *,
        source: FolderState | None = None,
    ) -> None:
        import torch

        from napari_clipseg.engine.embedder import Embedder
        from napari_clipseg.engine.runtime.batching import Batches, Placed

        self.name = name
        self._config = model.config
        self._processor = processor
        self._source = source
        self._weights: str | None = None
        placed = Placed(model.to(device).eval(), torch.device(device))
        self._batches = Batches(placed, name, self.clear_cache)
        self._embedder = Embedder(self._batches, processor, model.config.projection_dim)
        self._features: ByteCache[Features] = ByteCache(feature_cache_bytes)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels to which images are resized."""
        wanted = self._processor.image_processor
        return wanted.height, wanted.width

    @property
    def config(self) -> CLIPSegConfig:
        """The checkpoint's configuration."""
        return self._config

    @property
    def decoder(self) -> CLIPSegDecoder:
        """The decoder, to fit prompts through it; its weights are shared with all runs."""
        return self._batches.placed.network.decoder

    @property
    def device(self) -> torch.device:
        """Where it computes: the CPU, once the memory of another device was too small."""
        return self._batches.placed.device

    @property
    def precision(self) -> str:
        """Numbers that the vision tower multiplies: "float32", "float16" or "int8"."""
        return self._batches.placed.precision

    @property
    def batch_size(self) -> int:
        """How many images go through the vision tower at once: fewer after memory ran out."""
        from napari_clipseg.engine.runtime.batching import IMAGES

        return self._batches.size(IMAGES)

    @property
    def weights(self) -> str | None:
        """Hash of the checkpoint's weights, "sha256:" and 64 hexadecimal digits.

        None if the network came from no folder, or if the folder's files were replaced before
        the hash was first asked for. See `checkpoints.weight_files.weights_digest`.
        """
        if self._weights is None and self._source is not None:
            from napari_clipseg.engine.checkpoints.locate import FolderState
            from napari_clipseg.engine.checkpoints.weight_files import weights_digest

            folder = self._source.folder
            if folder.is_dir() and FolderState.of(folder) == self._source:
                self._weights = weights_digest(folder)
        return self._weights

    @property
    def is_loaded(self) -> bool:
        """Whether it can be used: false after `unload`."""
        return self._batches.loaded

    def encode(
        self, images: Sequence[NDArray[np.uint8]], *, cache: bool = True, resize: bool = True
    ) -> Features:
        """Run the vision tower on images.

        Parameters
        ----------
        images : sequence of ndarray of uint8
            ``(height, width, 3)`` each.
        cache : bool
            Whether to use features that are cached, by content hash of the image, and to cache
            new ones.
        resize : bool
            Whether to resize each image to `size`. Without it, all images must have the same
            size: a whole number of patches high and wide.

        Returns
        -------
        Features
            For `decode`, with any number of prompts. Do not change them: they may be cached.

        Raises
        ------
        ValueError
            If there is no image, or one of another type, or of a size that does not fit.
        """
        from napari_clipseg.engine.features import Features

        self._require_unchanged()
        images = list(images)
        require_images(images)
        if not (cache and images):
            return Features.join(self._encode(images, resize))
        keys = [(content_digest(image), resize) for image in images]
        return Features.join(
            self._features.get_or_make(
                keys, lambda new: self._encode([images[i] for i in new], resize)
            )
        )

    def _encode(self, images: list[NDArray[np.uint8]], resize: bool) -> list[Features]:
        """Return the features of each image."""
        from napari_clipseg.engine.features import Features
        from napari_clipseg.engine.runtime.batching import IMAGES

        pixels = self._processor(
            images=images, do_resize=resize, input_data_format="channels_last"
        ).pixel_values
        patch = self.config.vision_config.patch_size
        if pixels.shape[-2] % patch or pixels.shape[-1] % patch:
            raise ValueError(
                f"Got images of {pixels.shape[-2]} x {pixels.shape[-1]} pixels that are not to "
                f"be resized; wanted whole patches of {patch} x {patch} pixels. Resize them."
            )

        def step(placed: Placed, part: slice) -> list[Features]:
            return Features(*placed.reduce(pixels[part])).split()

        return self._batches.each(IMAGES, step, len(pixels))

    def embed(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Turn prompts into vectors.

        Parameters
        ----------
        prompts : sequence of prompts
            Texts, example images of shape ``(height, width, 3)`` and uint8, vectors
            ``(projection_dim,)``, `Average` and `Blend`, in any order. Vectors of texts and
            images are cached.

        Returns
        -------
        ndarray of float32
            ``(prompts, projection_dim)``.

        Raises
        ------
        ValueError
            If there is no prompt, a text is blank or too long, or an array is neither an image
            nor a vector.
        TypeError
            If a prompt is of another type.
        CheckpointError
            If a vector is not finite, or the weights' file was changed in place.
        """
        self._require_unchanged()
        vectors = self._embedder(prompts)
        if not np.isfinite(vectors).all():
            raise self._not_finite("vectors")
        return vectors

    def decode(self, features: Features, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run the decoder for every image with every prompt.

        Parameters
        ----------
        features : Features
            From `encode`.
        embeddings : ndarray
            ``(prompts, projection_dim)``, from `embed`.

        Returns
        -------
        ndarray of float32
            ``(images, prompts, height, width)`` logits, of the size of the encoded images. On a
            CPU, those of an image and a prompt are the same bit for bit, whatever else is asked
            for in the call; on a GPU they may differ in their last bits.

        Raises
        ------
        ValueError
            If the features or the vectors have not this model's shape, or a vector has values
            that are not finite.
        CheckpointError
            If a logit is not finite, or the weights' file was changed in place.
        """
        import torch

        from napari_clipseg.engine.runtime.batching import MAPS

        self._require_unchanged()
        own = self._require_own(features, embeddings)
        images, prompts = len(features), len(own)
        # By the bits of each vector: where it is among the prompts.
        places: dict[bytes, list[int]] = {}
        for i, vector in enumerate(own):
            places.setdefault(vector.tobytes(), []).append(i)
        columns = list(places.values())
        distinct = len(columns)
        vectors = torch.from_numpy(own[[column[0] for column in columns]])

        def step(placed: Placed, part: slice) -> NDArray[np.float32]:
            # Pairs of image and prompt: all prompts of the first image, then of the second, ...
            pairs = torch.arange(part.start, part.stop)
            image, prompt = pairs // max(distinct, 1), pairs % max(distinct, 1)
            return placed.logits(features[image].reduced, vectors[prompt], features.grid)

        maps = np.empty(0, np.float32)
        for part, logits in self._batches.run(MAPS, step, images * distinct):
            if not np.isfinite(logits).all():
                raise self._not_finite("logits")
            if part.start == 0:
                maps = np.empty((images, prompts, *logits.shape[1:]), np.float32)
            for pair, one in enumerate(logits, part.start):
                maps[pair // distinct, columns[pair % distinct]] = one
        return maps

    def _require_unchanged(self) -> None:
        """Raise CheckpointError if weights that are mapped from a file were overwritten there."""
        if self._source is not None and (changed := self._source.overwritten()):
            raise CheckpointError(
                f"{', '.join(changed)} in {self._source.folder} was changed in place after the "
                f"model {self.name!r} was loaded from it. Load the model again; to replace a file "
                f"safely, write another one and rename it."
            )

    def _not_finite(self, values: str) -> CheckpointError:
        if self.precision == "float16":
            cure = "They are too large for float16. Load it with precision='float32'."
        else:
            cure = "Its weights are damaged. Get the checkpoint's files again."
        return CheckpointError(
            f"The model {self.name!r} gave {values} that are not finite (NaN or infinite). {cure}"
        )

    def _require_own(
        self, features: Features, embeddings: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the vectors as an array of our own, if they and the features are this model's."""
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
        with np.errstate(over="ignore"):
            own = np.array(embeddings, np.float32, order="C")
        if not np.isfinite(own).all():
            (bad, *_) = np.flatnonzero(~np.isfinite(own).all(axis=1))
            raise ValueError(
                f"The vector of prompt {bad} has values that are not finite (NaN or infinite); "
                f"wanted finite ones, as embed() of the same engine gives them."
            )
        return own

    def clear_cache(self) -> None:
        """Drop the cached features and vectors."""
        self._embedder.cache.clear()
        self._features.clear()

    def unload(self) -> None:
        """Drop the network and the caches, and release their memory.

        The engine cannot be used again; `load` then reads the checkpoint anew.
        """
        self.clear_cache()
        self._batches.unload()
