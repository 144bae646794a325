"""From the features of tiles to the logits of any prompts: decoded, or judged pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.cache import ByteCache, content_digest
from napari_clipseg.engine.engine import Engine
from napari_clipseg.images.descriptors import REACH, filter_responses, region_numbers
from napari_clipseg.images.io.source import Reader
from napari_clipseg.images.rendering import Appearance, Rendering, resolve
from napari_clipseg.learned import MAPS, LearnedClass, LearnedPrompt

if TYPE_CHECKING:
    from napari_clipseg.engine.features import Features

Float32 = NDArray[np.float32]


class Decoding:
    """How the prompts of a run are answered.

    A text, image or vector is decoded: one map of logits. A learned prompt has several maps of
    the tile, which are stitched like logits, and then judged together with the filtered pixels.

    Parameters
    ----------
    engine : Engine
        What decodes.
    prompts : sequence of prompts
        Resolved ones; learned ones of one class each.

    Raises
    ------
    ValueError, TypeError
        If a prompt cannot be embedded.
    CheckpointError
        If a learned prompt is one of another checkpoint.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Any],
    ) -> None:
        self._engine = engine
        self._learned = {i: p for i, p in enumerate(prompts) if isinstance(p, LearnedPrompt)}
        for learned in self._learned.values():
            learned.require_engine(engine)
        plain = [prompt for i, prompt in enumerate(prompts) if i not in self._learned]
        self._plain = [i for i in range(len(prompts)) if i not in self._learned]
        self._vectors = engine.embed(plain) if plain else None
        self._count = len(prompts)

    @property
    def judges(self) -> bool:
        """Whether there is a learned prompt, so that stitched maps must be judged."""
        return bool(self._learned)

    @property
    def image_channels(self) -> int:
        """The most channels that a learned prompt judges by."""
        return max((one.image_channels for one in self._learned.values()), default=0)

    @property
    def needs_regions(self) -> bool:
        """Whether the regions of tiles must be known, too."""
        return any(one.regions for one in self._learned.values())

    def tile_maps(self, features: Features) -> Float32:
        """Return the maps of tiles, to be stitched.

        Parameters
        ----------
        features : Features
            Of the tiles.

        Returns
        -------
        ndarray of float32
            ``(tiles, maps, rows, columns)``.
        """
        parts = [] if self._vectors is None else [self._engine.decode(features, self._vectors)]
        for learned in self._learned.values():
            parts.append(class_maps(self._engine, features, learned.classes[0]))
            parts.append(component_maps(features, learned.components, _size(parts[-1])))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def judge(self, stitched: Sequence[Float32], responses: Float32) -> Float32:
        """Return the logits of all prompts from stitched maps and filtered pixels.

        Parameters
        ----------
        stitched : sequence of ndarray of float32
            ``(maps, rows, columns)``: those of `tile_maps`, stitched, and those of regions.
        responses : ndarray of float32
            ``(rows, columns, filters)``: those of `Pixels.responses`.

        Returns
        -------
        ndarray of float32
            ``(prompts, rows, columns)``.
        """
        maps_of_tiles, *regions = stitched
        shape = maps_of_tiles.shape[1:]
        logits = np.empty((self._count, *shape), np.float32)
        at = len(self._plain)
        logits[self._plain] = maps_of_tiles[:at]
        for i, learned in self._learned.items():
            count = MAPS + len(learned.components) - 1
            maps = [maps_of_tiles[at : at + count], *(regions if learned.regions else [])]
            at += count
            logits[i] = learned.classes[0].judge(responses, np.concatenate(maps))
        return logits


def cached_regions(
    images: Sequence[NDArray[np.uint8]], cache: ByteCache[NDArray[Any]] | None
) -> list[Float32]:
    """Return the region numbers of images, from a cache if there is one."""
    if cache is None:
        return [region_numbers(image) for image in images]
    keys = [("regions", content_digest(image)) for image in images]
    return cache.get_or_make(keys, lambda new: [region_numbers(images[i]) for i in new])


def _size(maps: Float32) -> tuple[int, int]:
    height, width = maps.shape[-2:]
    return height, width


def class_maps(engine: Engine, features: Features, one: LearnedClass) -> Float32:
    """Return ``(tiles, 2, rows, columns)`` logits: of the first prompt, and of the fitted one."""
    first = engine.decode(features, one.vectors[:1])
    fitted = engine.decode(features.modulated(1 + one.scale, one.shift), one.vectors[1:])
    return np.concatenate([first, fitted], axis=1)


def component_maps(features: Features, components: Float32, size: tuple[int, int]) -> Float32:
    """Return principal components of the activations, enlarged from patches to pixels.

    Parameters
    ----------
    features : Features
        Of tiles.
    components : ndarray of float32
        ``(1 + components, blocks * reduce_dim)``: mean and components.
    size : tuple of int
        Rows and columns of the tiles' logits.

    Returns
    -------
    ndarray of float32
        ``(tiles, components, rows, columns)``.
    """
    from PIL import Image

    found = (features.patches() - components[0]) @ components[1:].T
    grids = found.reshape(len(features), *features.grid, -1).transpose(0, 3, 1, 2)
    maps = np.empty((*grids.shape[:2], *size), np.float32)
    for tile, channels in zip(maps, grids, strict=True):
        for out, grid in zip(tile, channels, strict=True):
            image = Image.fromarray(np.ascontiguousarray(grid, np.float32))
            out[:] = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
    return maps


@dataclass(frozen=True)
class Pixels:
    """The channels of an image that learned prompts judge pixels by, in 8 bits.

    First what the model sees, one channel if that is gray, else three; then each channel of the
    image that the model does not see.

    Attributes
    ----------
    reader : Reader
        Of the image.
    rendering : Rendering
        What the model sees.
    others : tuple of Rendering
        One for each further channel.
    gray : bool
        Whether what the model sees is one channel.
    cache : ByteCache, optional
        Of filtered pixels.
    """

    reader: Reader
    rendering: Rendering
    others: tuple[Rendering, ...]
    gray: bool
    cache: ByteCache[NDArray[Any]] | None = None

    @classmethod
    def of(
        cls,
        reader: Reader,
        rendering: Rendering,
        planes: Sequence[Sequence[int]] | None = None,
        cache: ByteCache[NDArray[Any]] | None = None,
    ) -> Pixels:
        """Return those of an image that is shown to the model by `rendering`."""
        source = reader.source
        unseen = [i for i in range(source.channels) if i not in rendering.channels]
        others = tuple(resolve(reader, Appearance(channels=(i,)), planes) for i in unseen)
        gray = not source.rgb and len(rendering.channels) == 1 and rendering.colormap is None
        return cls(reader, rendering, others, gray, cache)

    @property
    def count(self) -> int:
        """Number of channels."""
        return (1 if self.gray else 3) + len(self.others)

    def require(self, wanted: int) -> None:
        """Raise ValueError if a prompt that was taught with `wanted` channels cannot use these."""
        if wanted != self.count and not (self.gray and wanted == self.count + 2):
            raise ValueError(
                f"The learned prompt judges pixels by {wanted} channels, and the image has "
                f"{self.count}. Use an image with the same channels as those it was taught on, or "
                f"teach it anew."
            )

    def read(
        self, level: int, plane: Sequence[int], rows: slice, columns: slice, *, wanted: int
    ) -> NDArray[np.uint8]:
        """Return ``(rows, columns, wanted)``."""

        def shown(rendering: Rendering) -> NDArray[np.uint8]:
            return rendering.apply(
                self.reader.read(level, plane, rows, columns, rendering.channels)
            )

        seen = shown(self.rendering)
        first = seen[..., :1] if self.gray and wanted == self.count else seen
        return np.concatenate([first, *(shown(one)[..., :1] for one in self.others)], axis=2)

    def responses(
        self, level: int, plane: Sequence[int], rows: slice, columns: slice, *, wanted: int
    ) -> Float32:
        """Return the filtered pixels of a part of a plane: ``(rows, columns, filters)``.

        A part has the values that it has in the whole.
        """
        most = self.reader.source.shape_of(level)
        wide = [
            slice(max(part.start - REACH, 0), min(part.stop + REACH, length))
            for part, length in zip((rows, columns), most, strict=True)
        ]
        inner = [
            slice(part.start - around.start, part.stop - around.start)
            for part, around in zip((rows, columns), wide, strict=True)
        ]
        image = self.read(level, plane, *wide, wanted=wanted)
        if self.cache is None:
            return filter_responses(image, inner)
        bounds = tuple((part.start, part.stop) for part in inner)
        (found,) = self.cache.get_or_make(
            [("filters", content_digest(image), bounds)],
            lambda _: [filter_responses(image, inner)],
        )
        return found
