"""What a run will take, before it is started, and how long it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicgui.widgets import Label
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_clipseg.images.io.source import Source
from napari_clipseg.recipe import Recipe
from napari_clipseg.widgets.memory import settings_file
from napari_clipseg.widgets.newest import Newest, Step
from napari_clipseg.widgets.worker import FIRST_TILE, Failure

LONG = 120.0  # seconds from which on the user is asked
MINUTE, HOUR = 60, 3600
KILO = 1000


@dataclass(frozen=True)
class RunEstimate:
    """What a run will take.

    Attributes
    ----------
    tiles : int
        Tiles that the model sees.
    seconds : float
        On this machine.
    nbytes : int
        Memory of the maps.
    """

    tiles: int
    seconds: float
    nbytes: int

    def __str__(self) -> str:
        """Return it in words."""
        tiles = f"{self.tiles} tile{'s' if self.tiles != 1 else ''}"
        return f"{tiles}, {time_in_words(self.seconds)}, {size_in_words(self.nbytes)}"


class Speeds:
    """How long a tile takes, by model, device and number of prompts; kept in a file.

    Parameters
    ----------
    path : Path, optional
        By default beside what the dock remembers.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or settings_file().with_name("seconds_of_tile.json")
        self._known: dict[str, float] | None = None

    def get(self, key: str) -> float | None:
        """Return the seconds of a tile, if they were measured."""
        if self._known is None:
            try:
                read = json.loads(self._path.read_text(encoding="utf-8"))
                self._known = {str(name): float(value) for name, value in read.items()}
            except (OSError, ValueError, AttributeError, TypeError):
                self._known = {}  # there is none, or it is broken: it is measured anew
        return self._known.get(key)

    def put(self, key: str, seconds: float) -> None:
        """Remember the seconds of a tile; a folder that cannot be written to is no error."""
        self.get(key)
        self._known = {**(self._known or {}), key: seconds}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        except OSError:
            pass


def estimate_run(source: Source, recipe: Recipe, speeds: Speeds) -> RunEstimate:
    """Return what a run will take; the speed is measured where it is not known.

    Parameters
    ----------
    source : Source
        The image; no pixel is read.
    recipe : Recipe
        What is asked for.
    speeds : Speeds
        What was measured before.
    """
    from napari_clipseg.engine.loading import load
    from napari_clipseg.files.estimate import seconds_of_tile
    from napari_clipseg.plans import plan_of

    engine = load(recipe.model)
    plan = plan_of(source, recipe, engine)
    key = f"{engine.weights} {engine.device} {len(recipe.all_prompts)}"
    seconds = speeds.get(key)
    if seconds is None:
        seconds = seconds_of_tile(engine, recipe)
        speeds.put(key, seconds)
    return RunEstimate(plan.tile_count, plan.tile_count * seconds, plan.map_bytes)


class EstimateLabel(Label):
    """A line that says what the next run will take.

    Parameters
    ----------
    speeds : Speeds, optional
        What was measured before.
    """

    def __init__(self, speeds: Speeds | None = None) -> None:
        super().__init__(value="", visible=False)
        self._asked: Callable[[], tuple[Source, Recipe] | None] = lambda: None
        self._speeds = speeds or Speeds()
        self.last: RunEstimate | None = None
        self._work = Newest(self._estimate, told=lambda _: None, returned=self._on_estimate)

    def ask_for(self, asked: Callable[[], tuple[Source, Recipe] | None]) -> None:
        """Set what returns the image and the recipe of the next run.

        A ValueError or TypeError says that there is none yet; None stands for a run that takes a
        moment, or whose model is not here.
        """
        self._asked = asked

    def renew(self) -> None:
        """Estimate what is asked for now; call it whenever that changes."""
        self.last = None
        try:
            question = self._asked()
        except (ValueError, TypeError):
            question = None
        if question is None:
            self._work.stop()
            self._show("")
        else:
            self._work.ask(question)

    def stop(self) -> None:
        """Drop what is being estimated."""
        self._work.stop()

    def _estimate(self, question: tuple[Source, Recipe], step: Step) -> RunEstimate:
        step(None)
        return estimate_run(*question, self._speeds)

    def _on_estimate(self, question: Any, outcome: RunEstimate | Failure | None) -> None:
        if isinstance(outcome, RunEstimate):
            self.last = outcome
            self._show(str(outcome))
        else:  # the run itself says what is wrong
            self._show("")

    def _show(self, text: str) -> None:
        self.value = text
        self.visible = bool(text)


class TimeLeft:
    """How long a run still takes, by the time of the steps that are done."""

    def __init__(self) -> None:
        self._began: float | None = None

    def after(self, done: int, total: int, now: float | None = None) -> str:
        """Return how long it still takes in words, or nothing while that is not known.

        Parameters
        ----------
        done, total : int
            Steps, of which the first two read model and prompts.
        now : float, optional
            Seconds of a clock.
        """
        now = time.monotonic() if now is None else now
        if done <= FIRST_TILE or self._began is None:
            self._began = now
            return ""
        left = (now - self._began) / (done - FIRST_TILE) * (total - done)
        return f", {time_in_words(left)} left"


def ask_for_time(estimate: RunEstimate, parent: QWidget) -> bool:
    """Ask whether a long run is wanted."""
    answer = QMessageBox.question(
        parent, "A long run", f"This takes {estimate}. It can be cancelled after each tile. Run it?"
    )
    return bool(answer == QMessageBox.StandardButton.Yes)


def time_in_words(seconds: float) -> str:
    """Return a time as somebody says it.

    Examples
    --------
    >>> [time_in_words(one) for one in (0.4, 48, 250, 9000)]
    ['about 1 s', 'about 48 s', 'about 4 min', 'about 2.5 h']
    """
    if seconds < 1.5 * MINUTE:
        return f"about {max(1, round(seconds))} s"
    if seconds < 1.5 * HOUR:
        return f"about {round(seconds / MINUTE)} min"
    return f"about {seconds / HOUR:.1f} h"


def size_in_words(nbytes: int) -> str:
    """Return a size as somebody says it.

    Examples
    --------
    >>> [size_in_words(one) for one in (900, 310_000_000, 2_400_000_000)]
    ['1 kB', '310 MB', '2.4 GB']
    """
    if nbytes < KILO**2:
        return f"{max(1, round(nbytes / KILO))} kB"
    if nbytes < KILO**3:
        return f"{round(nbytes / KILO**2)} MB"
    return f"{nbytes / KILO**3:.1f} GB"
