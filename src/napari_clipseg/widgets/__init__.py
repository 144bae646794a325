"""The window's side: the only rooms where napari, magicgui and Qt appear."""
