"""Checkpoints from the hub: listed, downloaded and verified into the hub's cache."""
