"""What a user looks for, as the dock lists it: texts, examples and learned prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari.layers import Image

from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.prompts import Prompt
from napari_clipseg.widgets.drawn import Marked, example_of

NOT = "-"


@dataclass(frozen=True)
class Drawn:
    """An example on an image.

    Attributes
    ----------
    marked : Image, Shapes, Points or Labels
        What says where it is; see `drawn.example_of`.
    image : Image
        Where it is.
    """

    marked: Marked
    image: Image


@dataclass(eq=False)
class PromptRow:
    """A row of the list.

    Attributes
    ----------
    name : str
        What it is called; of a text, the text itself.
    what : Drawn or prompt
        What is looked for.
    unwanted : bool
        Whether it is a negative prompt.
    """

    name: str
    what: Drawn | Prompt
    unwanted: bool = False

    @property
    def line(self) -> str:
        """As it is typed: with a minus if it is not wanted."""
        return f"{NOT} {self.name}" if self.unwanted else self.name

    @property
    def names(self) -> tuple[str, ...]:
        """What its maps are called."""
        return self.what.names if isinstance(self.what, LearnedPrompt) else (self.name,)

    def prompt(self, point: Sequence[float]) -> Prompt:
        """Return the prompt; `point` is the viewer's position in world coordinates."""
        if isinstance(self.what, Drawn):
            return example_of(self.what.marked, self.what.image, point)
        return self.what


def from_line(line: str) -> PromptRow | None:
    """Return what a line asks for: a text, not wanted if it begins with a minus.

    Examples
    --------
    >>> from napari_clipseg.widgets.prompt_rows import from_line
    >>> one = from_line(" - debris ")
    >>> one.name, one.unwanted, one.line
    ('debris', True, '- debris')
    """
    line = line.strip()
    unwanted = line.startswith(NOT)
    text = line.removeprefix(NOT).strip() if unwanted else line
    return PromptRow(text, text, unwanted) if text else None


def fields_of(rows: Sequence[PromptRow], point: Sequence[float]) -> dict[str, object]:
    """Return prompts, names and negative prompts of rows, as fields of a recipe.

    Raises
    ------
    ValueError
        If nothing is wanted, or an example is marked nowhere; the message says what to do.
    """
    wanted = [row for row in rows if not row.unwanted]
    if not wanted:
        raise ValueError("There is no prompt yet. Write what to look for, such as 'nuclei'.")
    # Texts and learned prompts have names of their own.
    names = tuple(
        None if isinstance(row.what, str | LearnedPrompt) else name
        for row in wanted
        for name in row.names
    )
    return {
        "prompts": tuple(row.prompt(point) for row in wanted),
        "names": names if any(names) else (),
        "negative_prompts": tuple(row.prompt(point) for row in rows if row.unwanted),
    }
