"""A generator to go through, of which the return value is kept."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Step = TypeVar("Step")
Value = TypeVar("Value")


class Steps(Generic[Step, Value]):
    """Steps to go through in a loop; then `value` is what they gave.

    Parameters
    ----------
    steps : generator
        The steps.

    Examples
    --------
    >>> def two():
    ...     yield "first"
    ...     yield "second"
    ...     return 2
    >>> steps = Steps(two())
    >>> list(steps), steps.value
    (['first', 'second'], 2)
    """

    value: Value

    def __init__(self, steps: Generator[Step, None, Value]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[Step]:
        """Go through the steps."""
        self.value = yield from self._steps
