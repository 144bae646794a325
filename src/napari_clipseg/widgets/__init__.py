"""The dock: the only package in which napari, magicgui and Qt appear."""
