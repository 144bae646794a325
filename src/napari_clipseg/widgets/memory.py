"""What the dock remembers from session to session, in a file of its own.

napari 0.9 has no settings for plugins.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QStandardPaths, QTimer

from napari_clipseg.widgets.prompt_list import lines_of

FOLDER = "NAPARI_CLIPSEG_CONFIG"  # environment variable that names another folder
if TYPE_CHECKING:
    from napari_clipseg.widgets.face import Face

FILE = "dock.json"
REST_MS = 500  # from a change until it is written


def settings_file() -> Path:
    """Return the file; its folder need not exist."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        place = QStandardPaths.StandardLocation.GenericConfigLocation
        folder = f"{QStandardPaths.writableLocation(place)}/napari-clipseg"
    return Path(folder) / FILE


class Memory:
    """Fills the dock with what it was left with, and writes what changes.

    Parameters
    ----------
    face : Face
        The dock.
    """

    def __init__(self, face: Face) -> None:
        self._face = face
        self._state: dict[str, Any] = {}
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.write)
        self._recall(_read())
        face.prompt.list.rows_changed.connect(self._on_changed)
        face.model.changed.connect(self._on_changed)
        for widget in face.remembered.values():
            widget.changed.connect(self._on_changed)
        for fold in face.folds.values():
            fold.button.toggled.connect(self._on_changed)

    def write(self) -> None:
        """Write what changed, if anything; a folder that cannot be written to is no fault."""
        state, self._state = self._state, {}
        if not state:
            return
        path = settings_file()
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(state, indent=1), encoding="utf-8")
            os.replace(partial, path)
        except OSError:
            with suppress(OSError):
                partial.unlink()

    def _on_changed(self, *_: Any) -> None:
        face = self._face
        # Examples belong to layers, and learned prompts to files: texts alone are remembered.
        texts = [row for row in face.prompt.rows if isinstance(row.what, str)]
        self._state = {
            "prompts": lines_of(texts).splitlines(),
            "history": face.prompt.line.history,
            "model": face.model.value,
            "folders": face.model.folders,
            "folds": {name: fold.open for name, fold in face.folds.items()},
            **{name: widget.value for name, widget in face.remembered.items()},
        }
        self._rest.start()

    def _recall(self, state: dict[str, Any]) -> None:
        face = self._face
        face.prompt.line.remember(_texts(state.get("history")))
        face.prompt.set_lines("\n".join(_texts(state.get("prompts"))))
        for folder in _texts(state.get("folders")):
            if Path(folder).is_dir():
                face.model.offer(folder)
        if (model := state.get("model")) in face.model.choices:
            face.model.offer(str(model))
        folds = state.get("folds")
        for name, fold in face.folds.items():
            fold.open = isinstance(folds, dict) and folds.get(name) is True
        for name, widget in face.remembered.items():
            value, now = state.get(name), widget.value
            if type(value) is type(now) and value in getattr(widget, "choices", (True, False)):
                widget.value = value


def _read() -> dict[str, Any]:
    """Return what was written; nothing where there is no such file, or it is broken."""
    try:
        state = json.loads(settings_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
