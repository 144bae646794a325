"""Checkpoint folders on disk: where they are, which are known, and how their files are read.

Nothing here uses the network or knows the model.
"""
