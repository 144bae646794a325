"""What tokenizer and processors return: the model's arguments, by name."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

TENSORS, ARRAYS = "pt", "np"


class BatchEncoding(dict[str, Any]):
    """The model's arguments, by key and by attribute: ``model(**encoding)``.

    Examples
    --------
    >>> from napari_clipseg.engine import CLIPTokenizer
    >>> encoding = CLIPTokenizer.from_pretrained("demo")("red rings").to("cpu")
    >>> encoding.input_ids is encoding["input_ids"]
    True
    """

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"There is no {name}; this encoding has {', '.join(self) or 'none'}.")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value  # or model(**encoding) would not see it

    def to(
        self, device: str | int | torch.device | torch.dtype | None = None, dtype: Any = None
    ) -> Self:
        """Move all tensors to a device, in place, and return this encoding.

        Parameters
        ----------
        device : str, int, torch.device or torch.dtype, optional
            Such as "cuda". A type of numbers here is read as ``dtype``.
        dtype : torch.dtype, optional
            To which tensors of floats are converted; ids and masks keep theirs.

        Raises
        ------
        TypeError
            If a value is no tensor.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        for name, value in self.items():
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"{name} is of type {type(value).__name__}; only tensors can be moved. Make "
                    f"the encoding with return_tensors='pt'."
                )
            self[name] = value.to(device, dtype if value.is_floating_point() else None)
        return self


def require_kind(return_tensors: str | None) -> None:
    """Raise ValueError for a kind of values that there is not."""
    if return_tensors not in (TENSORS, ARRAYS, None):
        raise ValueError(
            f"return_tensors is {return_tensors!r}; wanted {TENSORS!r} for tensors, as the model "
            f"takes them, {ARRAYS!r} for arrays of numpy, or None for lists."
        )


def encode_pixels(name: str, pixels: Tensor, return_tensors: str | None) -> BatchEncoding:
    """Return images ``(images, 3, height, width)`` as tensor, array, or list of arrays."""
    require_kind(return_tensors)
    if return_tensors == TENSORS:
        return BatchEncoding({name: pixels})
    array = pixels.numpy()
    return BatchEncoding({name: array if return_tensors == ARRAYS else list(array)})


def encode_rows(
    rows: dict[str, list[list[int]]], return_tensors: str | None, one: bool
) -> BatchEncoding:
    """Return rows of whole numbers, of one length each name, as tensors, arrays, or lists.

    As in the reference library, the lists of ``one`` text are its row itself.
    """
    require_kind(return_tensors)
    if return_tensors is None:
        return BatchEncoding({name: x[0] if one else x for name, x in rows.items()})
    arrays = {
        name: np.array(x, np.int64).reshape(len(x), len(x[0]) if x else 0)
        for name, x in rows.items()
    }
    if return_tensors == ARRAYS:
        return BatchEncoding(arrays)
    return BatchEncoding({name: torch.from_numpy(x) for name, x in arrays.items()})
