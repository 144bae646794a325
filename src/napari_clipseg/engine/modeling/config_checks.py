"""Checks of a config's values, with errors that name the value and say what was wanted."""

from __future__ import annotations

import reprlib

# A broken file must not make a model that no memory holds. The largest published CLIP has 48 layers
# and a width of 1664.
MOST = {"num_hidden_layers": 256, "image_size": 2**14, "patch_size": 2**10, "num_channels": 2**10}
MOST_OTHERS = 2**20
LARGEST_ID = 2**31 - 1
LARGEST_NUMBER = 1e30


def require_counts(config: object, *names: str) -> None:
    """Raise ValueError unless these are whole numbers from 1 to what a model may have."""
    for name in names:
        value, most = getattr(config, name), MOST.get(name, MOST_OTHERS)
        if not is_int(value) or not 1 <= value <= most:
            raise wrong(config, name, f"a whole number from 1 to {most}")


def require_indices(config: object, *names: str) -> None:
    """Raise ValueError unless these are whole numbers from 0 to the largest id."""
    for name in names:
        value = getattr(config, name)
        if not is_int(value) or not 0 <= value <= LARGEST_ID:
            raise wrong(config, name, f"a whole number from 0 to {LARGEST_ID}")


def require_ids_or_none(config: object, *names: str) -> None:
    """Raise ValueError unless these are None, or whole numbers that an id may be."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not (is_int(value) and abs(value) <= LARGEST_ID):
            raise wrong(config, name, f"null, or a whole number of at most {LARGEST_ID}")


def require_numbers(config: object, *names: str) -> None:
    """Raise ValueError unless these are finite numbers."""
    for name in names:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(config, name, "a number")
        if not abs(value) <= LARGEST_NUMBER:  # NaN is not, either
            raise wrong(config, name, f"a number of at most {LARGEST_NUMBER:g}")


def require_flags(config: object, *names: str) -> None:
    """Raise ValueError unless these are true or false."""
    for name in names:
        if not isinstance(getattr(config, name), bool):
            raise wrong(config, name, "true or false")


def require_divisible(config: object, whole: str, part: str) -> None:
    """Raise ValueError unless one count divides the other."""
    if getattr(config, whole) % getattr(config, part):
        raise ValueError(
            f"{type(config).__name__}.{whole} is {getattr(config, whole)}, which {part} "
            f"{getattr(config, part)} does not divide."
        )


def is_int(value: object) -> bool:
    """Return whether this is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)  # True is an int in Python


def wrong(config: object, name: str, wanted: str) -> ValueError:
    """Return the error for a value that cannot be used."""
    shown = reprlib.repr(getattr(config, name))
    return ValueError(f"{type(config).__name__}.{name} is {shown}; wanted {wanted}.")
