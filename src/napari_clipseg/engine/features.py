"""What the decoder needs of an image, for any prompt."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """The reduced activations of one or more images.

    Attributes
    ----------
    reduced : tuple of Tensor
        ``(images, 1 + patches, reduce_dim)`` for each decoder block.
    grid : tuple of int
        Rows and columns of patches.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg.engine import load
    >>> features = load("demo", device="cpu").encode([np.zeros((100, 150, 3), np.uint8)])
    >>> len(features), features.grid, features.reduced[0].shape
    (1, (24, 24), torch.Size([1, 577, 64]))
    """

    reduced: tuple[Tensor, ...]
    grid: tuple[int, int]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.reduced[0])

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return sum(x.nbytes for x in self.reduced)

    def __getitem__(self, images: slice | Tensor) -> Features:
        """Return the features of some of the images: a slice, or their numbers."""
        return Features(tuple(x[images] for x in self.reduced), self.grid)

    def split(self) -> list[Features]:
        """Return the features of each image; each can be freed alone."""
        if len(self) == 1:
            return [self]
        return [
            Features(tuple(x[i : i + 1].clone() for x in self.reduced), self.grid)
            for i in range(len(self))
        ]

    @classmethod
    def join(cls, parts: Sequence[Features]) -> Features:
        """Return the features of all images of ``parts``, in order, on the last one's device.

        Parameters
        ----------
        parts : sequence of Features
            At least one, all with the same grid.

        Raises
        ------
        ValueError
            If the grids differ.
        """
        if len(parts) == 1:
            return parts[0]
        grids = sorted({part.grid for part in parts})
        if len(grids) > 1:
            raise ValueError(
                f"Got images of {len(grids)} grids, such as {grids[0]} and {grids[1]} patches; "
                f"wanted one. Give images of one size."
            )
        device = parts[-1].reduced[0].device
        columns = zip(*(part.to(device).reduced for part in parts), strict=True)
        return cls(tuple(torch.cat(column) for column in columns), parts[0].grid)

    def to(self, device: str | torch.device) -> Features:
        """Return the features on a device, such as "cpu" to free a GPU's memory."""
        return Features(tuple(x.to(device) for x in self.reduced), self.grid)

    def modulated(self, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> Features:
        """Return the features with each channel of each block scaled, then shifted.

        Feature-wise linear modulation (FiLM, https://arxiv.org/abs/1709.07871).

        Parameters
        ----------
        scale, shift : ndarray of float32
            ``(blocks, reduce_dim)``.
        """
        own = [torch.from_numpy(np.array(one, np.float32)) for one in (scale, shift)]
        return Features(
            tuple(
                x * times.to(x.device) + plus.to(x.device)
                for x, times, plus in zip(self.reduced, *own, strict=True)
            ),
            self.grid,
        )

    def patches(self) -> NDArray[np.float32]:
        """Return the activations of all patches: ``(images * patches, blocks * reduce_dim)``."""
        joined = torch.cat([x[:, 1:] for x in self.reduced], dim=2)
        array: NDArray[np.float32] = joined.flatten(0, 1).cpu().numpy()
        return array

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; an older file is replaced when all is written.

        Raises
        ------
        OSError
            If it cannot be written, such as on a full disk.
        """
        path = Path(path)
        partial = path.with_name(f"{path.name}.partial")
        tensors = {str(i): x.detach().cpu().contiguous() for i, x in enumerate(self.reduced)}
        try:
            save_file(tensors, partial, metadata={"grid": " ".join(map(str, self.grid))})
            os.replace(partial, path)
        except SafetensorError as error:
            raise OSError(
                f"{path} cannot be written: {error}. Choose a place that you may write to, with "
                f"{self.nbytes / 1e6:.0f} MB free."
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Features:
        """Read a file that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is broken, or no such file.
        """
        try:
            with safe_open(path, framework="pt") as file:
                rows, columns = map(int, (file.metadata() or {})["grid"].split())
                count = len(list(file.keys()))
                # Copies: the file may be changed later.
                reduced = tuple(file.get_tensor(str(i)).clone() for i in range(count))
            _require_grid(reduced, rows, columns)
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path} holds no features: {error!r}. Encode the images again."
            ) from error
        return cls(reduced, (rows, columns))


def _require_grid(reduced: Sequence[Tensor], rows: int, columns: int) -> None:
    wanted = 1 + rows * columns
    shapes = {tuple(x.shape) for x in reduced}
    if min(rows, columns) < 1 or len(shapes) != 1 or {x.dtype for x in reduced} != {torch.float32}:
        raise ValueError(
            f"{rows} x {columns} patches, shapes {sorted(shapes)}; wanted float32 of one shape"
        )
    (shape,) = shapes
    if len(shape) != 3 or shape[1] != wanted:
        raise ValueError(
            f"{rows} x {columns} patches, but the shape {shape}; wanted (images, {wanted}, width)"
        )
