"""The command line: ``napari-clipseg`` and its commands. Quick to start: no torch before a run."""
