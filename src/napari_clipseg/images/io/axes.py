"""Names of the axes of an image, the same for all libraries."""

from __future__ import annotations

from collections.abc import Sequence

ROW, COLUMN = "y", "x"
DEPTH = "z"
CHANNEL = "c"  # one intensity image per channel, such as one per dye
SAMPLE = "s"  # red, green and blue of an RGB image, as tifffile calls it
# By number of axes, in the order of OME-Zarr, where nothing else is known.
UNNAMED = {2: "yx", 3: "zyx", 4: "tzyx", 5: "tczyx"}
MOST = max(UNNAMED)
SYNONYMS = {
    "row": ROW,
    "rows": ROW,
    "height": ROW,
    "col": COLUMN,
    "column": COLUMN,
    "columns": COLUMN,
    "width": COLUMN,
    "channel": CHANNEL,
    "channels": CHANNEL,
    "ch": CHANNEL,
    "rgb": SAMPLE,
    "rgba": SAMPLE,
    "sample": SAMPLE,
    "samples": SAMPLE,
    "time": "t",
    "frame": "t",
    "frames": "t",
    "depth": "z",
    "plane": "z",
    "slice": "z",
}

Axes = tuple[str, ...]


def name_axes(names: Sequence[str] | None, shape: Sequence[int], rgb: bool | None = None) -> Axes:
    """Return the name of each axis of an image.

    Parameters
    ----------
    names : str or sequence of str, optional
        Letters (``"tzyx"``) or words; "time", "channel", "height" and similar words are
        understood, in upper case too. Planes lie along axes of any other name. By default the
        order of OME-Zarr: ``yx``, ``zyx``, ``tzyx``, ``tczyx``, with ``s`` last for an RGB
        image.
    shape : sequence of int
        Shape of the image.
    rgb : bool, optional
        Whether the last axis holds colors. By default it does where no names are given, the
        image has three axes or more, and the last one has the length 3 or 4.

    Raises
    ------
    ValueError
        If names and axes differ in number, a name occurs twice, rows or columns are
        missing, or an axis of colors is not of the length 3 or 4.
    """
    if names is None:
        if rgb is None:
            rgb = len(shape) >= 3 and shape[-1] in (3, 4)
        plain = len(shape) - rgb
        if plain not in UNNAMED:
            raise ValueError(
                f"The image has shape {tuple(shape)}; wanted (height, width) for gray or "
                f"(height, width, 3) for RGB, with at most {MOST - 2} axes before these. "
                f"Name the axes of others, such as axes='tzyx'."
            )
        axes: Axes = (*UNNAMED[plain], *(SAMPLE * rgb))
    else:
        axes = tuple(SYNONYMS.get(name.lower(), name.lower()) for name in names)
    written = "".join(axes) if all(len(name) == 1 for name in axes) else axes
    if len(axes) != len(shape):
        raise ValueError(
            f"Got {len(axes)} names {written!r} for the axes of an image of shape {tuple(shape)}; "
            f"wanted {len(shape)}."
        )
    if len(set(axes)) != len(axes) or ROW not in axes or COLUMN not in axes:
        raise ValueError(
            f"Got the axes {written!r}; wanted different names, {ROW!r} for rows and {COLUMN!r} "
            f"for columns among them, such as 'yx', 'zyx' or 'tczyx'."
        )
    if SAMPLE in axes and shape[axes.index(SAMPLE)] not in (3, 4):
        raise ValueError(
            f"The image has shape {tuple(shape)} and the axes {written!r}; wanted an axis "
            f"of colors {SAMPLE!r}, of length 3 (RGB) or 4 (RGBA). Name an axis of channels "
            f"{CHANNEL!r}."
        )
    if SAMPLE in axes and CHANNEL in axes:
        raise ValueError(
            f"Got the axes {written!r}; wanted colors {SAMPLE!r} or channels {CHANNEL!r}, not both."
        )
    return axes


def unnamed_axes(count: int, *, channels: bool = True) -> Axes:
    """Return names for two axes or more that have none.

    The last ones are those of OME-Zarr, with or without channels; more are numbered.

    Examples
    --------
    >>> unnamed_axes(3), unnamed_axes(5, channels=False)
    (('z', 'y', 'x'), ('axis 0', 't', 'z', 'y', 'x'))
    """
    most = MOST if channels else MOST - 1
    return (*(f"axis {i}" for i in range(count - most)), *UNNAMED[min(count, most)])


def plane_axes(axes: Axes) -> Axes:
    """Return the axes along which planes lie: all but rows, columns, channels and colors."""
    return tuple(name for name in axes if name not in (ROW, COLUMN, CHANNEL, SAMPLE))
