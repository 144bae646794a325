"""Any image as a lazy source with named axes, and a reader of parts of its planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.images.io.axes import CHANNEL, COLUMN, ROW, SAMPLE, Axes, name_axes, plane_axes
from napari_clipseg.images.io.checks import check_level, check_source, refuse_paths
from napari_clipseg.images.io.chunks import BlockReader, is_masked
from napari_clipseg.images.io.layers import is_layer, read_layer
from napari_clipseg.images.io.ome_metadata import is_ome_zarr, read_ome_zarr
from napari_clipseg.images.io.units import in_unit

COLORS = 3  # of an RGB image; a fourth value, transparency, is left out

Limits = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Source:
    """An image: its levels, the names of its axes, and how it is shown. It holds no pixels.

    Attributes
    ----------
    levels : tuple of array-like
        The image, then ever coarser copies of it, if there are any.
    axes : tuple of str
        A name for each axis: ``y``, ``x``, ``c`` for channels, ``s`` for the colors of an RGB
        image; planes lie along all others.
    contrast_limits : tuple of float, optional
        Values shown as black and as white.
    gamma : float
        Exponent of the brightness, 0 to 1.
    colormap : ndarray of uint8, optional
        ``(colors, 3)``: the colors of a gray image, from black to white; None for gray.
    spacing : tuple of float
        Height and width of a pixel of the finest level, in units.
    translation : tuple of float
        Where the center of the first pixel lies, row and column, in units.
    unit : str
        Unit of spacing and translation, also of those along z.
    z_spacing : float, optional
        Distance of neighboring planes along ``z``, in units; None if it is not known.
    z_translation : float
        Where the first plane along ``z`` lies, in units.
    channel_names : tuple of str
        Name of each channel; empty if they are not known.
    name : str
        What errors call the image; empty if it has no name.

    Examples
    --------
    >>> from napari_clipseg import as_source
    >>> source = as_source(np.zeros((3, 2, 40, 60)), axes="zcyx", spacing=(0.5, 0.5), unit="um")
    >>> source.shape, source.plane_axes, source.planes_shape, source.channels
    ((40, 60), ('z',), (3,), 2)
    >>> with source.open() as reader:
    ...     reader.read(0, (1,), rows=slice(0, 10), channels=(0, 1)).shape
    (10, 60, 2)
    """

    levels: tuple[Any, ...]
    axes: Axes
    contrast_limits: Limits | None = None
    gamma: float = 1.0
    colormap: NDArray[np.uint8] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    translation: tuple[float, float] = (0.0, 0.0)
    unit: str = "pixel"
    z_spacing: float | None = None
    z_translation: float = 0.0
    channel_names: tuple[str, ...] = ()
    name: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the finest level, in pixels."""
        return self.shape_of(0)

    def shape_of(self, level: int) -> tuple[int, int]:
        """Height and width of a level, in its pixels."""
        return self.length(ROW, level), self.length(COLUMN, level)

    @property
    def plane_axes(self) -> Axes:
        """Names of the axes along which planes lie."""
        return plane_axes(self.axes)

    @property
    def planes_shape(self) -> tuple[int, ...]:
        """Length of each axis along which planes lie."""
        return tuple(self.length(name, 0) for name in self.plane_axes)

    @property
    def channels(self) -> int:
        """Number of channels; 1 for gray and for RGB images."""
        return self.length(CHANNEL, 0) if CHANNEL in self.axes else 1

    @property
    def rgb(self) -> bool:
        """Whether the image has colors."""
        return SAMPLE in self.axes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.levels[0].dtype)
        return dtype

    @property
    def in_memory(self) -> bool:
        """Whether the image is a numpy array, and no memory map: reading costs nothing."""
        kind = type(self.levels[0])
        return kind is np.ndarray or kind is np.ma.MaskedArray

    @property
    def may_have_gaps(self) -> bool:
        """Whether pixels may be no finite numbers: floats, and what is masked."""
        return self.dtype.kind == "f" or any(map(is_masked, self.levels))

    def factor(self, level: int) -> tuple[float, float]:
        """Return how many pixels of the finest level lie under one of a level, down and across."""
        (height, width), (h, w) = self.shape, self.shape_of(level)
        return height / h, width / w

    def open(self) -> Reader:
        """Return a reader of the pixels, to be used in a ``with`` statement."""
        return Reader(self)

    def length(self, name: str, level: int = 0) -> int:
        """Length of the axis of that name, in pixels of a level."""
        return int(self.levels[level].shape[self.axes.index(name)])


class Reader:
    """Reads parts of an image, and caches the latest chunks until it is closed.

    Parameters
    ----------
    source : Source
        The image.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._blocks = tuple(BlockReader(level) for level in source.levels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop the cached chunks; nothing can be read afterwards."""
        for blocks in self._blocks:
            blocks.close()

    def read(
        self,
        level: int,
        plane: Sequence[int],
        rows: slice = slice(None),
        columns: slice = slice(None),
        channels: Sequence[int] = (0,),
    ) -> NDArray[Any]:
        """Read a part of a plane; nothing else is computed or loaded.

        Parameters
        ----------
        level : int
            0 is the finest.
        plane : sequence of int
            Index along each of the source's `plane_axes`, in the finest level.
        rows, columns : slice
            In pixels of the level.
        channels : sequence of int
            Indices of channels, for images with a channel axis.

        Returns
        -------
        ndarray
            ``(rows, columns, channels)``, or ``(rows, columns, 3)`` for an RGB image; in the
            image's own type; of masked arrays floats, NaN where masked. It may be a view of the
            image: do not write to it.
        """
        source = self.source
        at: dict[str, Any] = {ROW: rows, COLUMN: columns, SAMPLE: slice(0, COLORS)}
        for name, where in zip(source.plane_axes, plane, strict=True):
            # Levels may be coarser along these axes, too.
            at[name] = where * source.length(name, level) // source.length(name, 0)
        left = [name for name in source.axes if name in (ROW, COLUMN, SAMPLE)]
        order = [left.index(name) for name in (ROW, COLUMN, SAMPLE) if name in left]
        blocks = self._blocks[level]
        parts = []
        for channel in channels if CHANNEL in source.axes else (0,):
            at[CHANNEL] = channel
            part = blocks.read(tuple(at[name] for name in source.axes))
            parts.append(part.transpose(order))
        if source.rgb:
            return parts[0]
        return parts[0][..., None] if len(parts) == 1 else np.stack(parts, axis=-1)


def as_source(
    image: Any,
    *,
    axes: str | Sequence[str] | None = None,
    rgb: bool | None = None,
    contrast_limits: Limits | None = None,
    spacing: tuple[float, float] | None = None,
    translation: tuple[float, float] | None = None,
    unit: str | None = None,
    z_spacing: float | None = None,
    channel_names: Sequence[str] | None = None,
) -> Source:
    """Return any image as a source; no pixel is read.

    Parameters
    ----------
    image : array-like, layer, OME-Zarr group, sequence of arrays, or Source
        A numpy, dask, zarr or xarray array (or anything else with ``shape``, ``dtype`` and
        slices) of two axes or more; a napari image layer; an OME-Zarr group opened with zarr;
        a list of arrays that are ever coarser levels of one image.
    axes : str or sequence of str, optional
        Names of the axes, see `axes.name_axes`. By default the image's own names.
    rgb : bool, optional
        Whether the last axis holds colors, if `axes` is not given.
    contrast_limits : tuple of float, optional
        Values shown as black and as white; by default those of the layer, if it is one.
    spacing : tuple of float, optional
        Height and width of a pixel, in units; by default the image's own spacing, or 1.
    translation : tuple of float, optional
        Where the center of the first pixel lies, row and column, in units; by default where the
        image itself says, or 0.
    unit : str, optional
        Unit of spacing and translation.
    z_spacing : float, optional
        Distance of neighboring planes along ``z``, in units; by default what the image says.
    channel_names : sequence of str, optional
        Name of each channel; by default what the image says.

    Raises
    ------
    TypeError
        If the values are no real numbers, or it is a layer of another kind, or a path.
    ValueError
        If an axis is empty or of unknown length, the names do not fit, a level is not coarser than
        the one before, a spacing is not above 0, a translation is not finite, or there are more
        or fewer names than channels.

    Examples
    --------
    >>> source = as_source(np.zeros((3, 7, 32, 48), np.uint8), axes="czyx")
    >>> source.shape, source.channels, source.plane_axes, source.planes_shape
    ((32, 48), 3, ('z',), (7,))
    >>> with source.open() as reader:
    ...     reader.read(0, (6,), slice(0, 8), slice(0, 4), channels=[0, 2]).shape
    (8, 4, 2)
    """
    refuse_paths(image)
    known = _known(image, axes)
    levels = tuple(_as_array(level) for level in known.pop("levels"))
    own_axes, own_names = known.pop("axes", None), known.pop("channel_names", ())
    if axes is None and rgb is None:
        axes = own_axes
    if unit is not None and spacing is not None:  # what is not given is in the image's own unit
        _convert_z(known, unit)
    given = {
        "contrast_limits": contrast_limits,
        "spacing": spacing,
        "translation": translation,
        "unit": unit,
        "z_spacing": z_spacing,
    }
    known |= {name: value for name, value in given.items() if value is not None}
    for level in levels:
        check_level(level)
    source = Source(levels, name_axes(axes, levels[0].shape, rgb), **known)
    if channel_names is None:
        source = with_channel_names(source, own_names)
    else:
        source = replace(source, channel_names=tuple(map(str, channel_names)))
    check_source(source)
    return source


def _convert_z(known: dict[str, Any], unit: str) -> None:
    """Bring what is known along z into another unit; drop it where that cannot be done."""
    lengths = (known.pop(name, None) for name in ("z_spacing", "z_translation"))
    own = known.get("unit", "pixel")
    spacing, start = (None if one is None else in_unit(one, own, unit) for one in lengths)
    if spacing is not None:
        known |= {"z_spacing": spacing, "z_translation": start or 0.0}


def with_channel_names(source: Source, names: Sequence[str]) -> Source:
    """Return a source with names of its channels; with none where they do not fit."""
    fit = len(names) == source.channels and not source.rgb
    return replace(source, channel_names=tuple(names) if fit else ())


def _known(image: Any, axes: str | Sequence[str] | None) -> dict[str, Any]:
    """Return the levels of an image, and what it says of itself."""
    if isinstance(image, Source):
        return {one.name: getattr(image, one.name) for one in fields(image)}
    if is_layer(image):
        return read_layer(image, axes)
    if is_ome_zarr(image):
        return read_ome_zarr(image, axes)
    if hasattr(image, "dims") and hasattr(image, "coords"):  # xarray
        # Not its `data`: those of a file that is open would be loaded whole.
        names = [str(name) for name in image.dims]
        unnamed = names == [f"dim_{i}" for i in range(len(names))]
        return {"levels": [image]} | ({} if unnamed else {"axes": names})
    levels = isinstance(image, Sequence) and len(image) > 0 and all(map(_is_array, image))
    return {"levels": list(image) if levels else [image]}


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "__getitem__")


def _as_array(value: Any) -> Any:
    """Return an array that can be sliced; a list becomes a numpy array."""
    if isinstance(value, Mapping) or hasattr(value, "array_keys"):  # a zarr group is no mapping
        raise TypeError(
            f"The image is of type {type(value).__name__}; wanted an array, a layer or an OME-Zarr "
            f"group. Choose one of the arrays in it."
        )
    if isinstance(value, np.ma.MaskedArray) and not np.ma.is_masked(value):
        return np.asarray(value)
    return value if _is_array(value) else np.asarray(value)
