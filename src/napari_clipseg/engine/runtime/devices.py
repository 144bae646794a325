"""The devices that PyTorch has on this machine, and their memory."""

from __future__ import annotations

import torch

CPU = torch.device("cpu")


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device of this name, or the best available one.

    Parameters
    ----------
    device : str or torch.device, optional
        Such as "cpu", "cuda", "cuda:1" or "mps".

    Raises
    ------
    ValueError
        If there is no such device.
    """
    available = _available()
    if device is None:
        return torch.device(available[0])
    try:
        place = torch.device(device)
    except RuntimeError:
        place = None
    if place is None or place.type not in available:
        raise ValueError(f"There is no device {str(device)!r} here; there is {available}.")
    if place.type == "cpu":
        return CPU  # "cpu:0" is the same
    count = torch.cuda.device_count() if place.type == "cuda" else 1
    if (place.index or 0) >= count:
        raise ValueError(
            f"There is no device {str(device)!r} here; the last of its kind is "
            f"{place.type}:{count - 1}."
        )
    return place


def _available() -> list[str]:
    """Return the types of device on this machine, the best first."""
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    return available


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device's memory is full."""
    # MPS has no class of its own for this error.
    return isinstance(error, torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "MPS backend out of memory" in str(error)
    )


def release_memory(device: torch.device) -> None:
    """Return memory to the device that PyTorch has reserved but does not use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
