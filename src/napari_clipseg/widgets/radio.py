"""Radio buttons that stay as they are while layers come and go."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import RadioButtons


class SteadyRadioButtons(RadioButtons):
    """Radio buttons whose choices do not depend on the viewer's layers.

    napari resets the choices of a dock with each layer, and magicgui then makes the buttons anew,
    which tells of a change that is none, and takes their icons.
    """

    def reset_choices(self, *_: Any) -> None:
        """Set the choices at first; leave them as they are from then on."""
        if not self.choices:
            super().reset_choices()
