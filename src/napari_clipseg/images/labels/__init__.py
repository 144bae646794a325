"""Probability maps to labels: one per prompt, or one per object, with a table of the objects."""
