"""The one exception type that the engine adds to Python's own."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: a file is missing, broken, or of another model.

    The message names the folder and the file, says what was wanted, and the cure.
    """
