"""Probability maps aligned with the edges of their image."""
