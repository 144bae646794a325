"""Packages that one format alone needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

EXTRAS = {
    "zarr": "zarr",
    "pyarrow": "parquet",
    "distributed": "cluster",
}  # the extra of pyproject.toml with each package


def require(module: str, what: str) -> Any:
    """Import a module, or say how to get its package.

    Parameters
    ----------
    module : str
        Its full name.
    what : str
        What needs it, as the first words of the error.

    Raises
    ------
    ModuleNotFoundError
        If it is missing; the message has the line for pip.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise ModuleNotFoundError(
            f"{what} needs the package {package}. Get it: python -m pip install "
            f"'napari-clipseg[{EXTRAS[package]}]'"
        ) from error
